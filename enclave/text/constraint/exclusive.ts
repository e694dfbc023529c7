/**
 * Whether no value fits two schemas, as far as that shows plainly: then `oneOf` is the same as `anyOf`,
 * which an automaton can follow. "No" means that it does not show.
 */
import { type SchemaObject, isObject, listOf, listedTypes, own } from "./keywords.ts";
import { type Place, refuse } from "./place.ts";
import { follow } from "./reference.ts";
import { comparableValues } from "./values.ts";

/** Members within members that are compared, and comparisons in all (64 characters each), for one schema. */
const MAX_DEPTH = 4;
const MAX_COMPARISONS = 262_144;

/** Kinds of values that no two types share; every integer is a number as well. */
type Kind = "object" | "array" | "string" | "integer" | "fraction" | "boolean" | "null";
const KINDS: readonly Kind[] = [
  "object",
  "array",
  "string",
  "integer",
  "fraction",
  "boolean",
  "null",
];

export class Exclusion {
  readonly #root: unknown;
  #comparisons = 0;

  constructor(root: unknown) {
    this.#root = root;
  }

  /** Whether no value fits `a` and `b`. */
  between(a: unknown, b: unknown, place: Place, depth = 0): boolean {
    this.#spend(1, place);
    const left = follow(this.#root, a, place);
    const right = follow(this.#root, b, place);
    const kinds = this.#kinds(left, place, 0);
    const shared = [...this.#kinds(right, place, 0)].filter((kind) => kinds.has(kind));
    if (shared.length === 0) return true;
    if (!isObject(left) || !isObject(right)) return false;
    const listed = this.#values(left, place);
    const others = this.#values(right, place);
    if (listed !== null && others !== null) {
      return ![...listed].some((value) => others.has(value));
    }
    const onlyObjects = shared.every((kind) => kind === "object");
    return onlyObjects && depth < MAX_DEPTH && this.#tellApart(left, right, place, depth);
  }

  /** Whether both require a member whose values in one are never those in the other. */
  #tellApart(a: SchemaObject, b: SchemaObject, place: Place, depth: number): boolean {
    const required = new Set(listOf(b, "required", place) ?? []);
    const left = own(a, "properties");
    const right = own(b, "properties");
    if (!isObject(left) || !isObject(right)) return false;
    return (listOf(a, "required", place) ?? []).some((name) => {
      if (typeof name !== "string" || !required.has(name)) return false;
      if (!Object.hasOwn(left, name) || !Object.hasOwn(right, name)) return false;
      return this.between(left[name], right[name], place, depth + 1);
    });
  }

  #values(schema: SchemaObject, place: Place): ReadonlySet<string> | null {
    if (!Object.hasOwn(schema, "const") && !Object.hasOwn(schema, "enum")) return null;
    const values = comparableValues(schema, place);
    for (const value of values) this.#spend(1 + value.length / 64, place);
    return values;
  }

  /** Every kind that a value which fits may have: too many, where it does not show. */
  #kinds(schema: unknown, place: Place, depth: number): ReadonlySet<Kind> {
    if (schema === false) return new Set();
    if (!isObject(schema) || depth > MAX_DEPTH) return new Set(KINDS);
    const branches = listOf(schema, "anyOf", place) ?? listOf(schema, "oneOf", place);
    if (branches !== null) {
      this.#spend(branches.length, place);
      const each = branches.map((branch) =>
        this.#kinds(follow(this.#root, branch, place), place, depth + 1),
      );
      return new Set(each.flatMap((kinds) => [...kinds]));
    }
    const listed = this.#values(schema, place);
    if (listed !== null) return new Set([...listed].map(kindOf));
    const types = listedTypes(schema, place);
    if (types === null) return new Set(KINDS);
    return new Set(
      types.flatMap((type): Kind[] => (type === "number" ? ["integer", "fraction"] : [type])),
    );
  }

  #spend(comparisons: number, place: Place): void {
    this.#comparisons += comparisons;
    if (this.#comparisons > MAX_COMPARISONS) refuse(place, "too much to compare");
  }
}

/** Of a value's JSON text. */
function kindOf(text: string): Kind {
  const value: unknown = JSON.parse(text);
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  switch (typeof value) {
    case "string":
      return "string";
    case "boolean":
      return "boolean";
    case "number":
      return Number.isInteger(value) ? "integer" : "fraction";
    default:
      return "object";
  }
}
