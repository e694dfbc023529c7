/**
 * A validator for the part of JSON Schema 2020-12 that policy.schema.json uses; any other keyword
 * is an error, so that the schema cannot say what the tests do not judge.
 */
type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type Schema = { readonly [key: string]: Json };

const ANNOTATIONS = new Set(["$schema", "$id", "$defs", "title", "description", "format"]);

/** Whether `value` satisfies `schema`. @throws Error for a keyword that is not known here. */
export function satisfies(value: unknown, schema: Schema, root: Schema): boolean {
  return Object.entries(schema).every(
    ([keyword, operand]) =>
      ANNOTATIONS.has(keyword) || keywordHolds(value, keyword, operand, schema, root),
  );
}

function keywordHolds(
  value: unknown,
  keyword: string,
  operand: Json,
  schema: Schema,
  root: Schema,
): boolean {
  const within = (inner: unknown, sub: Json): boolean => satisfies(inner, asSchema(sub), root);
  switch (keyword) {
    case "$ref":
      return within(value, definition(root, text(operand)));
    case "const":
      return value === operand;
    case "enum":
      return list(operand).some((choice) => choice === value);
    case "not":
      return !within(value, operand);
    case "oneOf":
      return list(operand).filter((choice) => within(value, choice)).length === 1;
    case "type":
      return typeHolds(value, text(operand));
    case "pattern":
      return typeof value !== "string" || new RegExp(text(operand), "u").test(value);
    case "minimum":
      return typeof value !== "number" || value >= Number(operand);
    case "maximum":
      return typeof value !== "number" || value <= Number(operand);
    case "minItems":
      return !Array.isArray(value) || value.length >= Number(operand);
    case "maxItems":
      return !Array.isArray(value) || value.length <= Number(operand);
    case "uniqueItems":
      return (
        !Array.isArray(value) || new Set(value.map((v) => JSON.stringify(v))).size === value.length
      );
    case "items":
      return !Array.isArray(value) || value.every((item) => within(item, operand));
    case "minProperties":
      return !isObject(value) || Object.keys(value).length >= Number(operand);
    case "required":
      return !isObject(value) || list(operand).every((key) => Object.hasOwn(value, text(key)));
    case "properties":
    case "patternProperties":
    case "additionalProperties":
      return (
        !isObject(value) ||
        Object.entries(value).every(([key, inner]) => {
          const subs = schemasFor(key, schema);
          if (subs.length === 0) return schema["additionalProperties"] !== false;
          return subs.every((sub) => within(inner, sub));
        })
      );
    default:
      throw new Error(`keyword ${keyword} is not known here`);
  }
}

function schemasFor(key: string, schema: Schema): readonly Json[] {
  const named = Object.entries(asSchema(schema["properties"] ?? {})).filter(([k]) => k === key);
  const patterned = Object.entries(asSchema(schema["patternProperties"] ?? {})).filter(([k]) =>
    new RegExp(k, "u").test(key),
  );
  return [...named, ...patterned].map(([, sub]) => sub);
}

function typeHolds(value: unknown, type: string): boolean {
  switch (type) {
    case "object":
      return isObject(value);
    case "array":
      return Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    case "string":
    case "boolean":
      return typeof value === type;
    default:
      throw new Error(`type ${type} is not known here`);
  }
}

function definition(root: Schema, pointer: string): Json {
  const found = asSchema(root["$defs"] ?? {})[pointer.replace("#/$defs/", "")];
  if (found === undefined) throw new Error(`${pointer} is not defined`);
  return found;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: Json): string {
  if (typeof value !== "string") throw new Error("want a string in the schema");
  return value;
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
