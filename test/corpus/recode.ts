/** Our own structures, taken apart and written again with one thing changed. */
import {
  type CborKey,
  type CborMap,
  type CborValue,
  decodeCbor,
  DETERMINISTIC,
  encodeCbor,
  equalBytes,
  isMap,
} from "@countersign/attestation";
import type { Entry } from "./cbor.ts";

/** A value to put under a key; undefined takes the key away. */
export type Change = readonly [key: CborKey, value: CborValue | undefined];

/** The structure with these changes, still deterministic. */
export function recode(bytes: Uint8Array, ...changes: readonly Change[]): Uint8Array {
  return encodeCbor(changed(mapOf(bytes), changes));
}

/** A map with these changes. */
export function changed(map: CborMap, changes: readonly Change[]): CborMap {
  const copy = new Map(map);
  for (const [key, value] of changes) {
    if (value === undefined) copy.delete(key);
    else copy.set(key, value);
  }
  return copy;
}

/** The map that `bytes` encode. */
export function mapOf(bytes: Uint8Array): CborMap {
  const value = decodeCbor(bytes, DETERMINISTIC);
  if (!isMap(value)) throw new TypeError("no map to change");
  return value;
}

/** Its entries, each encoded, in the order of the encoding. */
export function entriesOf(bytes: Uint8Array): readonly Entry[] {
  return Array.from(mapOf(bytes), ([key, value]): Entry => [encodeCbor(key), encodeCbor(value)]);
}

/** The entries with any bytes in place of one key's value. */
export function replaced(
  entries: readonly Entry[],
  key: CborKey,
  value: Uint8Array,
): readonly Entry[] {
  const encoded = encodeCbor(key);
  if (!entries.some(([name]) => equalBytes(name, encoded))) throw new TypeError(`no key ${key}`);
  return entries.map((entry) => (equalBytes(entry[0], encoded) ? [encoded, value] : entry));
}

/** A binary64 (RFC 8949 §3.3), which no structure of ours has. */
export function float64(value: number): Uint8Array {
  const bytes = new Uint8Array(9);
  bytes[0] = 0xfb;
  new DataView(bytes.buffer).setFloat64(1, value);
  return bytes;
}
