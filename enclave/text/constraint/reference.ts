import { type SchemaObject, isObject, own } from "./keywords.ts";
import { type Place, refuse } from "./place.ts";

/** Characters of a $ref. */
const MAX_REFERENCE = 1024;
/** References that lead to references; more is a circle. */
const MAX_HOPS = 64;

/** What a reference names, and where it stands. */
export interface Target {
  readonly schema: unknown;
  readonly place: Place;
}

/** What a local $ref names: `#`, or `#` and a JSON pointer (RFC 6901 §6). */
export function resolve(root: unknown, reference: unknown, from: Place): Target {
  const at = { parent: from, key: "$ref" };
  if (typeof reference !== "string" || reference.length > MAX_REFERENCE) {
    refuse(at, "not a reference");
  }
  const [before, ...segments] = decodeFragment(reference, at).split("/");
  if (before !== "#") refuse(at, "only references within the schema are supported");
  let schema = root;
  let place: Place = null;
  for (const segment of segments) {
    const key = segment.replaceAll("~1", "/").replaceAll("~0", "~");
    schema = childOf(schema, key);
    place = { parent: place, key };
    if (schema === undefined) refuse(at, "names nothing");
  }
  return { schema, place };
}

/** Follows references until there is something else. */
export function follow(root: unknown, schema: unknown, place: Place): unknown {
  let target = schema;
  for (let hop = 0; hop <= MAX_HOPS; hop += 1) {
    const reference = isObject(target) ? own(target, "$ref") : undefined;
    if (reference === undefined) return target;
    target = resolve(root, reference, place).schema;
  }
  return refuse(place, "a reference that leads to itself, or through too many others");
}

function childOf(value: unknown, key: string): unknown {
  if (Array.isArray(value)) {
    const items: readonly unknown[] = value;
    return /^(0|[1-9][0-9]{0,8})$/.test(key) ? items[Number(key)] : undefined;
  }
  const object: SchemaObject = isObject(value) ? value : {};
  return own(object, key);
}

function decodeFragment(reference: string, place: Place): string {
  try {
    return decodeURIComponent(reference);
  } catch {
    return refuse(place, "not well-formed");
  }
}
