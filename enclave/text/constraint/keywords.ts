/**
 * What of JSON Schema 2020-12 we honour. A keyword that is not in this table is refused: an answer
 * that is said to fit a schema fits all of it.
 */
import { type Place, refuse } from "./place.ts";

/** Says nothing about values (JSON Schema Validation §9), or only holds what a $ref names. */
const SILENT = new Set([
  "$schema",
  "$comment",
  "$defs",
  "definitions",
  "title",
  "description",
  "default",
  "examples",
  "deprecated",
  "readOnly",
  "writeOnly",
]);

/** Keywords that say which branch or value: none of them goes together with another keyword. */
const SOLE = ["$ref", "anyOf", "oneOf", "allOf"] as const;

/** Keywords that say something about values of one type only, by the type. */
const TYPED = {
  string: ["minLength", "maxLength"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  object: ["properties", "required", "additionalProperties"],
  array: ["items", "prefixItems", "minItems", "maxItems", "uniqueItems"],
} as const;

const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"] as const;
export type Type = (typeof TYPES)[number];

export type SchemaObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is SchemaObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A member of a schema itself, never one that every object inherits; `absent` where there is none. */
export function own(schema: SchemaObject, keyword: string, absent?: unknown): unknown {
  return Object.hasOwn(schema, keyword) ? schema[keyword] : absent;
}

/** What decides which values a schema takes. */
export type Form = "$ref" | "anyOf" | "oneOf" | "allOf" | "values" | "types";

/** Refuses keywords that are not honoured, or not together. */
export function formOf(schema: SchemaObject, place: Place): Form {
  const present = Object.keys(schema).filter((keyword) => {
    if (SILENT.has(keyword)) return false;
    // An identifier at the root names the whole; one below would change what a $ref means.
    return !(keyword === "$id" && place === null);
  });
  for (const keyword of present) {
    if (!isHonoured(keyword)) {
      refuse({ parent: place, key: keyword }, "a JSON Schema keyword that is not supported");
    }
  }
  const sole = SOLE.find((keyword) => present.includes(keyword));
  const valued = present.includes("const") || present.includes("enum");
  const beside = present.find((keyword) => {
    if (sole !== undefined) return keyword !== sole;
    return valued && !["type", "const", "enum"].includes(keyword);
  });
  if (beside !== undefined) {
    const other = sole ?? "const or enum";
    refuse({ parent: place, key: beside }, `not supported together with ${other}`);
  }
  return sole ?? (valued ? "values" : "types");
}

const HONOURED: ReadonlySet<string> = new Set([
  ...SOLE,
  "type",
  "const",
  "enum",
  ...Object.values(TYPED).flat(),
]);

function isHonoured(keyword: string): boolean {
  return HONOURED.has(keyword);
}

/**
 * The types that a schema may be written as. Without `type`, those that its keywords speak of, if any:
 * the standard would take all others too, which is never what is meant, and a narrower answer still fits.
 */
export function typesOf(schema: SchemaObject, place: Place): readonly Type[] {
  const listed = listedTypes(schema, place);
  if (listed !== null) return listed;
  const spoken = (["object", "array", "string", "number"] as const).filter((type) =>
    TYPED[type].some((keyword) => Object.hasOwn(schema, keyword)),
  );
  return spoken.length > 0 ? spoken : TYPES;
}

/** The value of `type` as a list; null where there is none. */
export function listedTypes(schema: SchemaObject, place: Place): readonly Type[] | null {
  const type = own(schema, "type");
  if (type === undefined) return null;
  const at = { parent: place, key: "type" };
  const list: readonly unknown[] = Array.isArray(type) ? type : [type];
  if (list.length === 0) refuse(at, "no type");
  const types = list.map((name) => {
    return TYPES.find((known) => known === name) ?? refuse(at, "not a type");
  });
  if (new Set(types).size !== types.length) refuse(at, "a type twice");
  return types;
}

/** A count; `absent` where the keyword is. */
export function countOf(
  schema: SchemaObject,
  keyword: string,
  place: Place,
  absent: number,
): number {
  const value = own(schema, keyword);
  if (value === undefined) return absent;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  return refuse({ parent: place, key: keyword }, "not a count");
}

export function numberOf(schema: SchemaObject, keyword: string, place: Place): number | null {
  const value = own(schema, keyword);
  if (value === undefined) return null;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  return refuse({ parent: place, key: keyword }, "not a number");
}

export function listOf(
  schema: SchemaObject,
  keyword: string,
  place: Place,
): readonly unknown[] | null {
  const value = own(schema, keyword);
  if (value === undefined) return null;
  const list: readonly unknown[] | null = Array.isArray(value) ? value : null;
  return list ?? refuse({ parent: place, key: keyword }, "not a list");
}
