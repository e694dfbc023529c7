/**
 * Reading of our own structures: deterministic CBOR maps with integer keys.
 *
 * A structure is refused when a key is missing or unknown, or a value has another type or size than
 * its parser names. What a parser takes out is a copy.
 */
import {
  type CborKey,
  type CborMap,
  type CborProfile,
  CborTag,
  type CborValue,
  decodeCbor,
  DETERMINISTIC,
  isArray,
  isMap,
} from "./cbor.ts";
import { AttestationError, type AttestationErrorCode } from "./errors.ts";

/** Bytes of a SHA-256 digest. */
export const DIGEST_BYTES = 32;

/** A name that people and paths use: printable ASCII without spaces. */
const NAME = /^[!-~]{1,128}$/u;
/** A value that people read: printable ASCII. */
const PHRASE = /^[ -~]{0,256}$/u;

export interface Shape {
  readonly code: AttestationErrorCode;
  /** What messages call the structure. */
  readonly name: string;
  /** What key 1 says: purpose and version. Judged before the other keys, which it gives meaning to. */
  readonly tag?: string;
  readonly required: readonly CborKey[];
  readonly optional?: readonly CborKey[];
}

/** One map whose keys are all known, and none missing. */
export class Fields {
  readonly #map: CborMap;
  readonly #shape: Shape;

  /** @throws {@link AttestationError} `shape.code` unless `value` is a map with exactly such keys. */
  constructor(value: CborValue, shape: Shape) {
    this.#shape = shape;
    if (!isMap(value)) throw this.refusal("not a map");
    this.#map = value;
    const { tag } = shape;
    if (tag !== undefined && value.get(1) !== tag) {
      throw this.refusal(`tag is not ${tag}: another version, or another structure`);
    }
    for (const key of shape.required) if (!value.has(key)) throw this.refusal(`no key ${key}`);
    for (const key of value.keys()) {
      if (!shape.required.includes(key) && shape.optional?.includes(key) !== true) {
        throw this.refusal(`unknown key ${printable(key)}`);
      }
    }
  }

  refusal(found: string): AttestationError {
    return new AttestationError(this.#shape.code, `${this.#shape.name}: ${found}`);
  }

  has(key: CborKey): boolean {
    return this.#map.has(key);
  }

  value(key: CborKey): CborValue {
    const value = this.#map.get(key);
    if (value === undefined) throw this.refusal(`no key ${key}`);
    return value;
  }

  int(key: CborKey): number {
    const value = this.value(key);
    if (typeof value !== "number") throw this.refusal(`key ${key} is no integer of 53 bits`);
    return value;
  }

  uint(key: CborKey): number {
    const value = this.int(key);
    if (value < 0) throw this.refusal(`key ${key} is ${value}, want ≥ 0`);
    return value;
  }

  /** Printable ASCII without spaces, 1 to 128 characters. */
  nameText(key: CborKey): string {
    return requireName(this.value(key), () => this.refusal(`key ${key} is no name`));
  }

  bytes(key: CborKey, least: number, most: number = least): Uint8Array {
    const value = this.value(key);
    if (!(value instanceof Uint8Array)) throw this.refusal(`key ${key} is no byte string`);
    if (value.length < least || value.length > most) {
      throw this.refusal(`key ${key} has ${value.length} bytes, want ${least} to ${most}`);
    }
    return value;
  }

  digest(key: CborKey): Uint8Array {
    return this.bytes(key, DIGEST_BYTES);
  }

  array(key: CborKey, least: number, most: number): readonly CborValue[] {
    const value = this.value(key);
    if (!isArray(value)) throw this.refusal(`key ${key} is no array`);
    if (value.length < least || value.length > most) {
      throw this.refusal(`key ${key} has ${value.length} items, want ${least} to ${most}`);
    }
    return value;
  }

  map(key: CborKey, most: number): CborMap {
    const value = this.value(key);
    if (!isMap(value)) throw this.refusal(`key ${key} is no map`);
    if (value.size > most)
      throw this.refusal(`key ${key} has ${value.size} entries, want ≤ ${most}`);
    return value;
  }
}

/** Decodes `bytes` into a map of `shape`. @throws {@link AttestationError} `cbor/…`, `shape.code`. */
export function parseFields(
  bytes: Uint8Array,
  shape: Shape,
  profile: CborProfile = DETERMINISTIC,
): Fields {
  return new Fields(decodeCbor(bytes, profile), shape);
}

/** A name: printable ASCII without spaces, 1 to 128 characters. */
export function requireName(value: CborValue, refusal: () => AttestationError): string {
  if (typeof value !== "string" || !NAME.test(value)) throw refusal();
  return value;
}

/** A phrase: printable ASCII, at most 256 characters. */
export function requirePhrase(value: CborValue, refusal: () => AttestationError): string {
  if (typeof value !== "string" || !PHRASE.test(value)) throw refusal();
  return value;
}

export function isTag(value: CborValue, tag: number): value is CborTag {
  return value instanceof CborTag && value.tag === tag;
}

function printable(key: CborKey): string {
  return typeof key === "string" ? "of text" : String(key);
}
