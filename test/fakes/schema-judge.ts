/**
 * A plain validator for the part of JSON Schema 2020-12 that constraints honour, written from the
 * standard and sharing nothing with the compiler that it judges. An unknown keyword is an error.
 */
type Rule = (operand: unknown, value: unknown, judge: Judge, schema: Schema) => boolean;
type Judge = (schema: unknown, value: unknown) => boolean;
type Schema = Readonly<Record<string, unknown>>;

/** Whether `value` fits `root`. */
export function fitsSchema(root: unknown, value: unknown): boolean {
  /** What is being judged: a schema that leads to itself for the same value says nothing for it. */
  const open = new Map<Schema, Set<unknown>>();
  const judge: Judge = (schema, instance) => {
    if (typeof schema === "boolean") return schema;
    if (!isObject(schema)) throw new Error("not a schema");
    const instances = open.get(schema) ?? new Set();
    if (instances.has(instance)) return false;
    open.set(schema, instances.add(instance));
    const fits = everyKeyword(schema, instance);
    instances.delete(instance);
    return fits;
  };
  const everyKeyword = (schema: Schema, instance: unknown): boolean => {
    return Object.entries(schema).every(([keyword, operand]) => {
      if (keyword === "$ref") return judge(resolve(root, operand), instance);
      const rule = RULES.get(keyword);
      if (rule === undefined) throw new Error(`unknown keyword ${keyword}`);
      return rule(operand, instance, judge, schema);
    });
  };
  return judge(root, value);
}

const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...["$defs", "title", "description", "default"].map(
    (name) => [name, (): boolean => true] as const,
  ),
  ["type", (operand, value) => [operand].flat().some((type) => hasType(value, type))],
  ["const", (operand, value) => same(operand, value)],
  ["enum", (operand, value) => list(operand).some((option) => same(option, value))],
  ["anyOf", (operand, value, judge) => list(operand).some((branch) => judge(branch, value))],
  [
    "oneOf",
    (operand, value, judge) => list(operand).filter((branch) => judge(branch, value)).length === 1,
  ],
  ["allOf", (operand, value, judge) => list(operand).every((branch) => judge(branch, value))],
  [
    "minLength",
    (operand, value) => typeof value !== "string" || Array.from(value).length >= num(operand),
  ],
  [
    "maxLength",
    (operand, value) => typeof value !== "string" || Array.from(value).length <= num(operand),
  ],
  ["minimum", (operand, value) => typeof value !== "number" || value >= num(operand)],
  ["maximum", (operand, value) => typeof value !== "number" || value <= num(operand)],
  ["exclusiveMinimum", (operand, value) => typeof value !== "number" || value > num(operand)],
  ["exclusiveMaximum", (operand, value) => typeof value !== "number" || value < num(operand)],
  ["minItems", (operand, value) => !Array.isArray(value) || value.length >= num(operand)],
  ["maxItems", (operand, value) => !Array.isArray(value) || value.length <= num(operand)],
  [
    "required",
    (operand, value) =>
      !isObject(value) || list(operand).every((name) => Object.hasOwn(value, String(name))),
  ],
  [
    "properties",
    (operand, value, judge) =>
      !isObject(value) ||
      !isObject(operand) ||
      Object.entries(value).every(([name, member]) => {
        return !Object.hasOwn(operand, name) || judge(operand[name], member);
      }),
  ],
  [
    "additionalProperties",
    (operand, value, judge, { properties }) =>
      !isObject(value) ||
      Object.entries(value).every(([name, member]) => {
        return (isObject(properties) && Object.hasOwn(properties, name)) || judge(operand, member);
      }),
  ],
  [
    "prefixItems",
    (operand, value, judge) =>
      !Array.isArray(value) ||
      list(operand).every((item, index) => index >= value.length || judge(item, value[index])),
  ],
  [
    "items",
    (operand, value, judge, { prefixItems }) =>
      !Array.isArray(value) ||
      list(value)
        .slice(prefixItems === undefined ? 0 : list(prefixItems).length)
        .every((item) => judge(operand, item)),
  ],
]);

function hasType(value: unknown, type: unknown): boolean {
  switch (type) {
    case "object":
      return isObject(value);
    case "array":
      return Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    case "null":
      return value === null;
    default:
      return typeof value === type;
  }
}

function same(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => same(item, b[index]));
  }
  if (isObject(a) && isObject(b)) {
    const keys = Object.keys(a);
    const equal = keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
    return equal && keys.length === Object.keys(b).length;
  }
  return a === b;
}

function resolve(root: unknown, reference: unknown): unknown {
  const [, ...keys] = String(reference).split("/");
  return keys.reduce<unknown>((at, key) => (isObject(at) ? at[key] : undefined), root);
}

function isObject(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error("not a list");
  return value;
}

function num(value: unknown): number {
  if (typeof value !== "number") throw new Error("not a number");
  return value;
}
