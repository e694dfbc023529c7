/**
 * A validator for the part of JSON Schema 2020-12 that our schemas use. Any other keyword, anywhere in
 * a schema, is an error, so that a schema cannot say what the tests do not judge.
 */
type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type Schema = { readonly [key: string]: Json };

/** Keywords that say nothing about a value. `format` is one in 2020-12, unless asked for. */
const ANNOTATIONS = new Set(["$schema", "$id", "$defs", "title", "description", "format"]);
const TYPES = ["object", "array", "string", "boolean", "integer", "null"] as const;
type Type = (typeof TYPES)[number];

/** Whether `value` satisfies `schema`. @throws Error for a keyword that is not known here. */
export function satisfies(value: unknown, schema: Schema, root: Schema): boolean {
  return violation(value, schema, root) === null;
}

/**
 * The first thing that keeps `value` from satisfying `schema`, as a JSON pointer to it and the
 * keyword; null where it does.
 *
 * @throws Error where any part of `root` has a keyword that is not known here.
 */
export function violation(value: unknown, schema: Schema, root: Schema): string | null {
  requireKnown(root);
  return firstViolation(value, schema, root, "");
}

const judged = new WeakSet<Schema>();

/** Walks the whole schema once: a keyword that no value happens to reach is not let through. */
function requireKnown(root: Schema): void {
  if (judged.has(root)) return;
  walk(root, root);
  judged.add(root);
}

function walk(schema: Json, root: Schema): void {
  for (const [keyword, operand] of Object.entries(asSchema(schema))) {
    const requireOperand = OPERANDS.get(keyword);
    if (requireOperand === undefined) throw new Error(`keyword ${keyword} is not known here`);
    requireOperand(operand, root);
  }
}

type OperandRule = (operand: Json, root: Schema) => void;

const walkEach: OperandRule = (operand, root) => {
  for (const sub of Object.values(asSchema(operand))) walk(sub, root);
};

/** Every keyword that is known here, and what its operand must be. */
const OPERANDS: ReadonlyMap<string, OperandRule> = new Map<string, OperandRule>([
  ...["$schema", "$id", "title", "description", "format", "pattern"].map(
    (keyword) => [keyword, text] as const,
  ),
  ...["minimum", "maximum", "minItems", "maxItems", "minProperties"].map(
    (keyword) => [keyword, number] as const,
  ),
  ["$ref", (operand, root) => void definition(root, text(operand))],
  ["$defs", walkEach],
  ["properties", walkEach],
  ["patternProperties", walkEach],
  ["items", walk],
  ["not", walk],
  ["oneOf", (operand, root) => void list(operand).map((sub) => walk(sub, root))],
  ["const", scalar],
  ["enum", (operand) => void list(operand).map(scalar)],
  ["required", (operand) => void list(operand).map(text)],
  ["type", (operand) => void typesOf(operand)],
  ["uniqueItems", (operand) => only(operand, true)],
  ["additionalProperties", (operand) => only(operand, false)],
]);

function firstViolation(value: unknown, schema: Json, root: Schema, at: string): string | null {
  const parent = asSchema(schema);
  for (const [keyword, operand] of Object.entries(parent)) {
    if (ANNOTATIONS.has(keyword)) continue;
    const found = keywordViolation({ value, keyword, operand, schema: parent, root, at });
    if (found !== null) return found;
  }
  return null;
}

interface Case {
  readonly value: unknown;
  readonly keyword: string;
  readonly operand: Json;
  readonly schema: Schema;
  readonly root: Schema;
  readonly at: string;
}

/** Keywords that apply other schemas; the rest are facts of the value alone. */
function keywordViolation(given: Case): string | null {
  const { value, keyword, operand, schema, root, at } = given;
  const fails = (sub: Json): boolean => firstViolation(value, sub, root, at) !== null;
  switch (keyword) {
    case "$ref":
      return firstViolation(value, definition(root, text(operand)), root, at);
    case "not":
      return fails(operand) ? null : `${at}: not`;
    case "oneOf": {
      const count = list(operand).filter((choice) => !fails(choice)).length;
      return count === 1 ? null : `${at}: oneOf, ${count} hold`;
    }
    case "items":
      return Array.isArray(value)
        ? firstOf(
            value.map((item: unknown, i) => [item, operand, `${at}/${i}`]),
            root,
          )
        : null;
    case "properties":
    case "patternProperties":
      return isObject(value) ? membersViolation(value, keyword, asSchema(operand), given) : null;
    case "additionalProperties": {
      if (!isObject(value)) return null;
      const surplus = Object.keys(value).find((key) => !isNamed(key, schema));
      return surplus === undefined ? null : `${at}/${surplus}: additionalProperties`;
    }
    default:
      return assertionHolds(value, keyword, operand) ? null : `${at}: ${keyword}`;
  }
}

function membersViolation(
  value: Readonly<Record<string, unknown>>,
  keyword: string,
  subs: Schema,
  { root, at }: Case,
): string | null {
  const pairs = Object.entries(value).flatMap(([key, member]) =>
    Object.entries(subs)
      .filter(([name]) => (keyword === "properties" ? name === key : pattern(name).test(key)))
      .map(([, sub]) => [member, sub, `${at}/${key}`] as const),
  );
  return firstOf(pairs, root);
}

function firstOf(
  pairs: readonly (readonly [value: unknown, schema: Json, at: string])[],
  root: Schema,
): string | null {
  for (const [value, schema, at] of pairs) {
    const found = firstViolation(value, schema, root, at);
    if (found !== null) return found;
  }
  return null;
}

function isNamed(key: string, schema: Schema): boolean {
  if (Object.hasOwn(asSchema(schema["properties"] ?? {}), key)) return true;
  return Object.keys(asSchema(schema["patternProperties"] ?? {})).some((p) => pattern(p).test(key));
}

function assertionHolds(value: unknown, keyword: string, operand: Json): boolean {
  switch (keyword) {
    case "const":
      return value === operand;
    case "enum":
      return list(operand).some((choice) => choice === value);
    case "type":
      return typesOf(operand).some((type) => typeHolds(value, type));
    case "pattern":
      return typeof value !== "string" || pattern(text(operand)).test(value);
    case "minimum":
      return typeof value !== "number" || value >= number(operand);
    case "maximum":
      return typeof value !== "number" || value <= number(operand);
    case "minItems":
      return !Array.isArray(value) || value.length >= number(operand);
    case "maxItems":
      return !Array.isArray(value) || value.length <= number(operand);
    case "uniqueItems":
      return !Array.isArray(value) || new Set(value.map(canonical)).size === value.length;
    case "minProperties":
      return !isObject(value) || Object.keys(value).length >= number(operand);
    case "required":
      return !isObject(value) || list(operand).every((key) => Object.hasOwn(value, text(key)));
    default:
      throw new Error(`keyword ${keyword} is not known here`);
  }
}

function typeHolds(value: unknown, type: Type): boolean {
  switch (type) {
    case "object":
      return isObject(value);
    case "array":
      return Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    case "null":
      return value === null;
    case "string":
    case "boolean":
      return typeof value === type;
    default:
      return type satisfies never;
  }
}

function typesOf(operand: Json): readonly Type[] {
  return (isList(operand) ? operand : [operand]).map((name) => {
    const type = TYPES.find((candidate) => candidate === name);
    if (type === undefined) throw new Error(`type ${JSON.stringify(name)} is not known here`);
    return type;
  });
}

/** Equal for equal values: JSON Schema compares objects without regard to order. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) =>
    isObject(member)
      ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}

function definition(root: Schema, pointer: string): Json {
  const name = /^#\/\$defs\/(?<name>\w+)$/u.exec(pointer)?.groups?.["name"] ?? "";
  const found = asSchema(root["$defs"] ?? {})[name];
  if (found === undefined) throw new Error(`${pointer} is not defined`);
  return found;
}

function pattern(source: string): RegExp {
  return new RegExp(source, "u");
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: Json): string {
  if (typeof value !== "string") throw new Error("want a string in the schema");
  return value;
}

function number(value: Json): number {
  if (typeof value !== "number") throw new Error("want a number in the schema");
  return value;
}

function only(value: Json, known: boolean): void {
  if (value !== known) throw new Error(`want ${known} in the schema`);
}

function scalar(value: Json): void {
  if (typeof value === "object" && value !== null) throw new Error("want a scalar in the schema");
}

function list(value: Json): readonly Json[] {
  if (!isList(value)) throw new Error("want a list in the schema");
  return value;
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

function asSchema(value: Json): Schema {
  if (typeof value !== "object" || value === null || isList(value)) {
    throw new Error("want an object in the schema");
  }
  return value;
}
