/** Compiles a JSON Schema, as far as keywords.ts goes, to a network that writes values that fit it. */
import { type Bound, number } from "./decimal.ts";
import { Exclusion } from "./exclusive.ts";
import { type Member, array, object, string } from "./json.ts";
import {
  type SchemaObject,
  type Type,
  countOf,
  formOf,
  isObject,
  listOf,
  listedTypes,
  numberOf,
  own,
  typesOf,
} from "./keywords.ts";
import type { NetworkBuilder, Piece } from "./network.ts";
import { type Place, refuse } from "./place.ts";
import { resolve } from "./reference.ts";
import { listedValues } from "./values.ts";

/** Schemas within schemas; where a reference leads, counting begins again. */
const MAX_NESTING = 64;
const MAX_BRANCHES = 256;
/** Members that may be left out, of one object: each of them may come next, at once. */
const MAX_OPTIONAL = 256;

/** A schema in its document. */
interface Site {
  readonly place: Place;
  readonly depth: number;
}

/** Any JSON value. */
export function anyValue(builder: NetworkBuilder): Piece {
  return (from) => {
    const start = builder.partStart("any", (at) =>
      builder.either(at, [
        (value) => builder.literals(value, ["true", "false", "null"]),
        (value) => string(builder, value, 0, Infinity),
        (value) => number(builder, value, { integer: false, min: null, max: null }),
        (value) => object(builder, value, [], anyValue(builder)),
        (value) =>
          array(builder, value, { first: [], rest: anyValue(builder), min: 0, max: Infinity }),
      ]),
    );
    return builder.call(from, start);
  };
}

export class SchemaCompiler {
  readonly #builder: NetworkBuilder;
  readonly #root: unknown;
  readonly #exclusion: Exclusion;

  constructor(builder: NetworkBuilder, root: unknown) {
    this.#builder = builder;
    this.#root = root;
    this.#exclusion = new Exclusion(root);
  }

  /** Reads a value that fits the whole schema. */
  readonly root: Piece = (from) => this.#value(this.#root, { place: null, depth: 0 }, from);

  #value(schema: unknown, site: Site, from: number): number {
    const { place } = site;
    if (site.depth > MAX_NESTING) refuse(place, `nested more than ${MAX_NESTING} deep`);
    if (schema === true) return anyValue(this.#builder)(from);
    // A state that nothing leads to: no value fits.
    if (schema === false) return this.#builder.state();
    if (!isObject(schema)) return refuse(place, "not a schema");
    const form = formOf(schema, place);
    switch (form) {
      case "$ref":
        return this.#reference(schema, place, from);
      case "anyOf":
      case "oneOf":
      case "allOf":
        return this.#branches(schema, form, site, from);
      case "values": {
        const texts = listedValues(schema, listedTypes(schema, place), place);
        return this.#builder.literals(from, texts);
      }
      case "types": {
        const types = typesOf(schema, place);
        // Every integer is a number: both together would only be two readings of the same text.
        const wide = types.filter((type) => type !== "integer" || !types.includes("number"));
        const pieces = wide.map(
          (type): Piece =>
            (at) =>
              this.#typed(schema, type, site, at),
        );
        return this.#builder.either(from, pieces);
      }
      default:
        return form satisfies never;
    }
  }

  #reference(schema: SchemaObject, from: Place, start: number): number {
    const target = resolve(this.#root, own(schema, "$ref"), from);
    const site = { place: target.place, depth: 0 };
    if (!isObject(target.schema)) return this.#value(target.schema, site, start);
    const part = this.#builder.partStart(target.schema, (at) =>
      this.#value(target.schema, site, at),
    );
    return this.#builder.call(start, part);
  }

  #branches(
    schema: SchemaObject,
    form: "anyOf" | "oneOf" | "allOf",
    site: Site,
    from: number,
  ): number {
    const at = below(site, form);
    const branches = listOf(schema, form, site.place) ?? [];
    if (branches.length === 0) refuse(at.place, "no branches");
    if (branches.length > MAX_BRANCHES) refuse(at.place, `more than ${MAX_BRANCHES} branches`);
    if (form === "allOf" && branches.length > 1) {
      refuse(at.place, "more than one schema at once is not supported");
    }
    const pieces = branches.map((branch, index): Piece => {
      return (start) => this.#value(branch, below(at, `${index}`), start);
    });
    const end = this.#builder.either(from, pieces);
    // Only now, when every branch is known to be a schema that we understand.
    if (form === "oneOf") this.#requireExclusive(branches, at.place);
    return end;
  }

  #requireExclusive(branches: readonly unknown[], place: Place): void {
    for (const [index, branch] of branches.entries()) {
      for (const other of branches.slice(index + 1)) {
        if (this.#exclusion.between(branch, other, place)) continue;
        refuse(place, "a value may fit two branches; use anyOf, or members that tell them apart");
      }
    }
  }

  #typed(schema: SchemaObject, type: Type, site: Site, from: number): number {
    const builder = this.#builder;
    switch (type) {
      case "object":
        return this.#object(schema, site, from);
      case "array":
        return this.#array(schema, site, from);
      case "string": {
        const min = countOf(schema, "minLength", site.place, 0);
        const max = countOf(schema, "maxLength", site.place, Infinity);
        return string(builder, from, min, max);
      }
      case "number":
      case "integer": {
        const min = tighter(boundsOf(schema, "minimum", "exclusiveMinimum", site.place), 1);
        const max = tighter(boundsOf(schema, "maximum", "exclusiveMaximum", site.place), -1);
        return number(builder, from, { integer: type === "integer", min, max });
      }
      case "boolean":
        return builder.literals(from, ["true", "false"]);
      case "null":
        return builder.literal(from, "null");
      default:
        return type satisfies never;
    }
  }

  #object(schema: SchemaObject, site: Site, from: number): number {
    const properties = own(schema, "properties", {});
    const at = below(site, "properties");
    if (!isObject(properties)) return refuse(at.place, "not an object");
    const required = this.#required(schema, site.place);
    const further = below(site, "additionalProperties");
    const members = Object.entries(properties).map(([name, value]): Member => {
      const piece: Piece = (start) => this.#value(value, below(at, name), start);
      return { name, required: required.has(name), value: piece };
    });
    // What is required and not described is one of the additional members.
    for (const name of required) {
      if (Object.hasOwn(properties, name)) continue;
      const piece: Piece = (start) =>
        this.#value(own(schema, "additionalProperties", true), further, start);
      members.push({ name, required: true, value: piece });
    }
    if (members.filter((member) => !member.required).length > MAX_OPTIONAL) {
      refuse(at.place, `more than ${MAX_OPTIONAL} members that are not required`);
    }
    // Unasked, we write no members that the schema does not describe, unless it describes none.
    const none = Object.keys(properties).length === 0;
    const open = own(schema, "additionalProperties", none);
    const other: Piece = (start) => this.#value(open, further, start);
    return object(this.#builder, from, members, open === false ? null : other);
  }

  #required(schema: SchemaObject, place: Place): ReadonlySet<string> {
    const names = new Set<string>();
    for (const name of listOf(schema, "required", place) ?? []) {
      if (typeof name !== "string") refuse({ parent: place, key: "required" }, "not a name");
      names.add(name);
    }
    return names;
  }

  #array(schema: SchemaObject, site: Site, from: number): number {
    const { place } = site;
    const unique = own(schema, "uniqueItems");
    if (unique !== undefined && unique !== false) {
      refuse({ parent: place, key: "uniqueItems" }, "not supported, unless it is false");
    }
    const prefix = listOf(schema, "prefixItems", place) ?? [];
    const at = below(site, "prefixItems");
    const min = countOf(schema, "minItems", place, 0);
    const max = countOf(schema, "maxItems", place, Infinity);
    const first = prefix.map((item, index): Piece => {
      return (start) => this.#value(item, below(at, `${index}`), start);
    });
    // Unasked, we write no items behind those that the schema describes, unless there must be some.
    const items = own(schema, "items", prefix.length === 0 || min > prefix.length);
    const rest: Piece = (start) => this.#value(items, below(site, "items"), start);
    return array(this.#builder, from, { first, rest: items === false ? null : rest, min, max });
  }
}

const below = ({ place, depth }: Site, key: string): Site => {
  return { place: { parent: place, key }, depth: depth + 1 };
};

function boundsOf(
  schema: SchemaObject,
  inclusive: string,
  exclusive: string,
  place: Place,
): readonly Bound[] {
  const bounds: Bound[] = [];
  const within = numberOf(schema, inclusive, place);
  const beyond = numberOf(schema, exclusive, place);
  if (within !== null) bounds.push({ value: within, exclusive: false });
  if (beyond !== null) bounds.push({ value: beyond, exclusive: true });
  return bounds;
}

/** The bound that leaves less: the higher of lower bounds (`sign` 1), the lower of upper ones (−1). */
function tighter(bounds: readonly Bound[], sign: 1 | -1): Bound | null {
  return bounds.reduce<Bound | null>((best, bound) => {
    if (best === null || sign * (bound.value - best.value) > 0) return bound;
    return bound.value === best.value && bound.exclusive ? bound : best;
  }, null);
}
