/** The values that `const` and `enum` list. */
import { type SchemaObject, type Type, isObject, listOf } from "./keywords.ts";
import { type Place, refuse } from "./place.ts";

const MAX_VALUES = 1024;
const MAX_VALUE_DEPTH = 32;

/** The JSON text of each listed value that the listed types take, as we write it. */
export function listedValues(
  schema: SchemaObject,
  types: readonly Type[] | null,
  place: Place,
): readonly string[] {
  const values = valuesOf(schema, place);
  const fitting = values.filter((value) => types === null || types.some((type) => is(value, type)));
  return fitting.map((value) => JSON.stringify(value));
}

/** The listed values in a form that is the same for equal ones, whatever the order of their members. */
export function comparableValues(schema: SchemaObject, place: Place): ReadonlySet<string> {
  return new Set(valuesOf(schema, place).map(comparableText));
}

/** Equal for equal values, see {@link comparableValues}. */
export function comparableText(value: unknown): string {
  return JSON.stringify(sorted(value));
}

export function is(value: unknown, type: Type): boolean {
  switch (type) {
    case "object":
      return isObject(value);
    case "array":
      return Array.isArray(value);
    case "string":
    case "number":
    case "boolean":
      return typeof value === type;
    case "integer":
      return Number.isInteger(value);
    case "null":
      return value === null;
    default:
      return type satisfies never;
  }
}

/** Where both are given, only what is in both. */
function valuesOf(schema: SchemaObject, place: Place): readonly unknown[] {
  const listed = listOf(schema, "enum", place);
  if (listed !== null) {
    const at = { parent: place, key: "enum" };
    if (listed.length > MAX_VALUES) refuse(at, `more than ${MAX_VALUES} values`);
    for (const value of listed) requireWritable(value, at, 0);
  }
  if (!Object.hasOwn(schema, "const")) return listed ?? [];
  const only = schema["const"];
  requireWritable(only, { parent: place, key: "const" }, 0);
  const text = comparableText(only);
  const known = listed === null || listed.some((value) => comparableText(value) === text);
  return known ? [only] : [];
}

function requireWritable(value: unknown, place: Place, depth: number): void {
  if (depth > MAX_VALUE_DEPTH) refuse(place, `a value nested more than ${MAX_VALUE_DEPTH} deep`);
  if (typeof value === "number" && !Number.isFinite(value)) refuse(place, "not a finite number");
  if (typeof value !== "object" || value === null) return;
  for (const part of Object.values(value)) requireWritable(part, place, depth + 1);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([key, part]) => [key, sorted(part)] as const);
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
