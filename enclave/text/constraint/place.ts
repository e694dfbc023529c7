import { EnclaveError } from "../../errors.ts";

/** Where in a schema something stands; null is the schema itself. */
export type Place = { readonly parent: Place; readonly key: string } | null;

/** Characters of a pointer that an error names. */
const MAX_POINTER = 256;

/** `#` and the JSON pointer (RFC 6901): `#/properties/name/pattern`. */
export function pointerOf(place: Place): string {
  const keys: string[] = [];
  for (let at = place; at !== null; at = at.parent) {
    keys.push(at.key.slice(0, MAX_POINTER).replaceAll("~", "~0").replaceAll("/", "~1"));
  }
  const pointer = ["#", ...keys.toReversed()].join("/");
  return pointer.length > MAX_POINTER ? `${pointer.slice(0, MAX_POINTER)}…` : pointer;
}

/** The schema is refused for what stands at `place`. */
export function refuse(place: Place, message: string): never {
  throw new EnclaveError("constraint/schema", message, { param: pointerOf(place) });
}
