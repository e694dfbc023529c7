/**
 * Whether a value that was written freely fits a schema that compiles.
 *
 * It fits by what JSON Schema 2020-12 says of the keywords that we honour (keywords.ts). That is more
 * than what a constraint would have written: other spellings of a number or a name, other orders of
 * members, members that the schema does not speak of.
 */
import type { JsonSchema } from "../generation.ts";
import type { JsonValue } from "../model.ts";
import {
  type SchemaObject,
  countOf,
  isObject,
  listOf,
  listedTypes,
  numberOf,
  own,
} from "./keywords.ts";
import { resolve } from "./reference.ts";
import { comparableText, comparableValues, is } from "./values.ts";

/** @param schema - that `compileConstraint` took. */
export function fitsSchema(value: JsonValue, schema: JsonSchema): boolean {
  return new SchemaFit(schema).fits(schema, value);
}

/**
 * One value and one document. What is found of a schema and a value is kept, so that time grows with
 * their product, however often branches lead to the same.
 */
class SchemaFit {
  readonly #root: unknown;
  readonly #plain = new Map<unknown, readonly unknown[]>();
  readonly #listed = new Map<SchemaObject, ReadonlySet<string>>();
  readonly #found = new Map<SchemaObject, Map<JsonValue, boolean>>();
  readonly #texts = new Map<JsonValue, string>();

  constructor(root: unknown) {
    this.#root = root;
  }

  fits(schema: unknown, value: JsonValue): boolean {
    return this.#plainOf(schema).some((plain) => {
      return isObject(plain) ? this.#fitsPlain(plain, value) : plain === true;
    });
  }

  /**
   * The schemas without references and branches that a value may fit in place of this one.
   *
   * What compiles has one schema at most in `allOf`, and branches of `oneOf` that exclude each other, so
   * all of them are alternatives. One that leads to itself is no alternative to itself.
   */
  #plainOf(schema: unknown): readonly unknown[] {
    const known = this.#plain.get(schema);
    if (known !== undefined) return known;
    const seen = new Set<unknown>([schema]);
    const plain: unknown[] = [];
    // A set is walked in the order of insertion, what is added on the way included.
    for (const each of seen) {
      const targets = isObject(each) ? this.#targets(each) : null;
      if (targets === null) plain.push(each);
      else for (const target of targets) seen.add(target);
    }
    this.#plain.set(schema, plain);
    return plain;
  }

  /** Where a reference or branches lead; null for a schema that speaks of values itself. */
  #targets(schema: SchemaObject): readonly unknown[] | null {
    if (Object.hasOwn(schema, "$ref")) {
      return [resolve(this.#root, own(schema, "$ref"), null).schema];
    }
    return (
      listOf(schema, "anyOf", null) ??
      listOf(schema, "oneOf", null) ??
      listOf(schema, "allOf", null)
    );
  }

  #fitsPlain(schema: SchemaObject, value: JsonValue): boolean {
    const found = this.#found.get(schema) ?? new Map<JsonValue, boolean>();
    this.#found.set(schema, found);
    const known = found.get(value);
    if (known !== undefined) return known;
    const fits = this.#isOfType(schema, value) && this.#fitsKeywords(schema, value);
    found.set(value, fits);
    return fits;
  }

  #isOfType(schema: SchemaObject, value: JsonValue): boolean {
    const types = listedTypes(schema, null);
    return types === null || types.some((type) => is(value, type));
  }

  #fitsKeywords(schema: SchemaObject, value: JsonValue): boolean {
    if (Object.hasOwn(schema, "const") || Object.hasOwn(schema, "enum")) {
      const listed = this.#listed.get(schema) ?? comparableValues(schema, null);
      this.#listed.set(schema, listed);
      return listed.has(this.#textOf(value));
    }
    if (typeof value === "string") return fitsLength(schema, value);
    if (typeof value === "number") return fitsBounds(schema, value);
    if (Array.isArray(value)) return this.#fitsItems(schema, value);
    return !isObject(value) || this.#fitsMembers(schema, value);
  }

  #textOf(value: JsonValue): string {
    const text = this.#texts.get(value) ?? comparableText(value);
    this.#texts.set(value, text);
    return text;
  }

  #fitsItems(schema: SchemaObject, items: readonly JsonValue[]): boolean {
    // Counts first: behind `maxItems`, schemas of items were never compiled.
    if (items.length < countOf(schema, "minItems", null, 0)) return false;
    if (items.length > countOf(schema, "maxItems", null, Infinity)) return false;
    const first = listOf(schema, "prefixItems", null) ?? [];
    const rest = own(schema, "items", true);
    return items.every((item, index) => {
      return this.fits(index < first.length ? first[index] : rest, item);
    });
  }

  #fitsMembers(schema: SchemaObject, members: { readonly [name: string]: JsonValue }): boolean {
    const described = own(schema, "properties", {});
    const further = own(schema, "additionalProperties", true);
    const required = listOf(schema, "required", null) ?? [];
    if (!required.every((name) => typeof name === "string" && Object.hasOwn(members, name))) {
      return false;
    }
    return Object.entries(members).every(([name, value]) => {
      const of = isObject(described) ? own(described, name, further) : further;
      return this.fits(of, value);
    });
  }
}

/** In characters, each a code point (JSON Schema Validation §6.3.1). */
function fitsLength(schema: SchemaObject, text: string): boolean {
  const min = countOf(schema, "minLength", null, 0);
  const max = countOf(schema, "maxLength", null, Infinity);
  // A code point has one or two code units.
  if (text.length < min || text.length > 2 * max) return false;
  if (text.length >= 2 * min && text.length <= max) return true;
  const characters = Array.from(text).length;
  return characters >= min && characters <= max;
}

/** A double that is not finite was written beyond all numbers that a schema speaks of. */
function fitsBounds(schema: SchemaObject, value: number): boolean {
  return (
    Number.isFinite(value) &&
    value >= (numberOf(schema, "minimum", null) ?? -Infinity) &&
    value <= (numberOf(schema, "maximum", null) ?? Infinity) &&
    value > (numberOf(schema, "exclusiveMinimum", null) ?? -Infinity) &&
    value < (numberOf(schema, "exclusiveMaximum", null) ?? Infinity)
  );
}
