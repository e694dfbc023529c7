/**
 * CBOR (RFC 8949), strict in both directions.
 *
 * The decoder accepts minimal heads, well-formed UTF-8, unique keys and nothing after the item.
 * Two profiles: our own structures are deterministic (§4.2.1); of a vendor's, key order is free and
 * the outermost map may have indefinite length, because that is what AWS emits. Floats, simple values other than
 * false, true and null, and undefined are refused by both. Limits hold before anything is allocated.
 */
import { compareBytes, decodeUtf8, encodeUtf8 } from "./bytes.ts";
import { CborWriter } from "./cbor-writer.ts";
import { AttestationError } from "./errors.ts";

/** A map key: an integer or a text string. */
export type CborKey = number | bigint | string;
/** A map (RFC 8949 §3.1), in the order of its bytes. */
export type CborMap = ReadonlyMap<CborKey, CborValue>;
/** Integers are `number` where they fit 53 bits, `bigint` beyond. */
export type CborValue =
  number | bigint | string | boolean | null | Uint8Array | readonly CborValue[] | CborMap | CborTag;

/** A tagged item (RFC 8949 §3.4). */
export class CborTag {
  readonly tag: number;
  readonly value: CborValue;

  constructor(tag: number, value: CborValue) {
    this.tag = tag;
    this.value = value;
  }
}

/** What a decoder accepts: the form, and limits that hold before anything is allocated. */
export interface CborProfile {
  /** `deterministic`: keys sorted, definite lengths. `vendor`: any key order, indefinite outermost map. */
  readonly form: "deterministic" | "vendor";
  readonly maxBytes: number;
  /** Nesting of arrays, maps and tags. */
  readonly maxDepth: number;
  /** Data items in all, keys included. */
  readonly maxItems: number;
}

/** Our own structures: 1 MiB, 8 deep, 65 536 items. PROTOCOL.md, "CBOR". */
export const DETERMINISTIC: CborProfile = {
  form: "deterministic",
  maxBytes: 1 << 20,
  maxDepth: 8,
  maxItems: 65_536,
};

/**
 * The largest map of any structure has 256 entries. Keys that a peer chooses can be made to collide in
 * a hash table, so that time grows with the square of their number.
 */
const MAX_MAP_ENTRIES = 512;

const BREAK = 0xff;
const INDEFINITE_MAP = 0xbf;
const TWO_32 = 0x1_0000_0000;
/** The least argument that needs 1, 2, 4 and 8 bytes. */
const LEAST = [24, 0x100, 0x1_0000, TWO_32];

/**
 * Decodes exactly one item.
 *
 * Byte strings are copies. @throws {@link AttestationError} `cbor/…`.
 */
export function decodeCbor(bytes: Uint8Array, profile: CborProfile): CborValue {
  if (bytes.length > profile.maxBytes) {
    throw new AttestationError("cbor/too-large", `more than ${profile.maxBytes} bytes`);
  }
  const reader = new Reader(bytes, profile);
  const value = reader.item(0);
  if (reader.offset !== bytes.length) {
    throw new AttestationError("cbor/trailing", `${bytes.length - reader.offset} bytes after item`);
  }
  return value;
}

class Reader {
  offset = 0;
  #items = 0;
  readonly #bytes: Uint8Array;
  readonly #profile: CborProfile;

  constructor(bytes: Uint8Array, profile: CborProfile) {
    this.#bytes = bytes;
    this.#profile = profile;
  }

  item(depth: number): CborValue {
    this.#items++;
    if (this.#items > this.#profile.maxItems) {
      throw new AttestationError("cbor/too-large", `more than ${this.#profile.maxItems} items`);
    }
    if (depth > this.#profile.maxDepth) {
      throw new AttestationError("cbor/too-deep", `deeper than ${this.#profile.maxDepth}`);
    }
    const initial = this.#byte();
    const major = initial >> 5;
    if (major === 7) return simple(initial);
    if (initial === INDEFINITE_MAP && depth === 0 && this.#profile.form === "vendor") {
      return this.#map(null, depth);
    }
    const argument = this.#argument(initial & 31);
    switch (major) {
      case 0:
        return argument;
      case 1:
        return typeof argument === "bigint" ? -1n - argument : negative(argument);
      case 2:
        // Not slice(): of a Node Buffer, that would be a view.
        return new Uint8Array(this.#take(this.#count(argument, 1)));
      case 3:
        return this.#text(this.#count(argument, 1));
      case 4:
        return this.#array(this.#count(argument, 1), depth);
      case 5:
        return this.#map(this.#count(argument, 2), depth);
      default:
        if (typeof argument === "bigint") {
          throw new AttestationError("cbor/unsupported", "tag above 2^53");
        }
        return new CborTag(argument, this.item(depth + 1));
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.offset];
    if (byte === undefined) throw new AttestationError("cbor/truncated", "item ends early");
    this.offset++;
    return byte;
  }

  #take(length: number): Uint8Array {
    const end = this.offset + length;
    if (end > this.#bytes.length) throw new AttestationError("cbor/truncated", "item ends early");
    const taken = this.#bytes.subarray(this.offset, end);
    this.offset = end;
    return taken;
  }

  /** RFC 8949 §3: the argument of a head, in its shortest form only. */
  #argument(info: number): number | bigint {
    if (info < 24) return info;
    if (info === 31) throw new AttestationError("cbor/indefinite", "indefinite length");
    if (info > 27) throw new AttestationError("cbor/unsupported", `additional information ${info}`);
    const width = 1 << (info - 24);
    let value = 0;
    for (const byte of this.#take(Math.min(width, 4))) value = value * 256 + byte;
    let wide: number | bigint = value;
    if (width === 8) {
      let low = 0;
      for (const byte of this.#take(4)) low = low * 256 + byte;
      const safe = value * TWO_32 + low;
      wide = safe <= Number.MAX_SAFE_INTEGER ? safe : BigInt(value) * BigInt(TWO_32) + BigInt(low);
    }
    if (wide < (LEAST[info - 24] ?? 0)) {
      throw new AttestationError("cbor/non-minimal", `${wide} in ${width} bytes`);
    }
    return wide;
  }

  /** A length that the remaining bytes can hold, at `least` bytes an element. */
  #count(argument: number | bigint, least: number): number {
    const remaining = this.#bytes.length - this.offset;
    if (typeof argument === "bigint" || argument * least > remaining) {
      throw new AttestationError("cbor/truncated", `length ${argument}, ${remaining} bytes left`);
    }
    return argument;
  }

  #text(length: number): string {
    try {
      return decodeUtf8(this.#take(length));
    } catch (cause) {
      if (cause instanceof AttestationError) throw cause;
      throw new AttestationError("cbor/utf8", "text string is not UTF-8", { cause });
    }
  }

  #array(count: number, depth: number): readonly CborValue[] {
    const items: CborValue[] = [];
    for (let i = 0; i < count; i++) items.push(this.item(depth + 1));
    return items;
  }

  #map(count: number | null, depth: number): CborMap {
    if (count !== null && count > MAX_MAP_ENTRIES) throw tooManyEntries();
    const map = new Map<CborKey, CborValue>();
    let previous: Uint8Array | null = null;
    for (let i = 0; count === null || i < count; i++) {
      if (count === null && this.#bytes[this.offset] === BREAK) {
        this.offset++;
        return map;
      }
      if (i === MAX_MAP_ENTRIES) throw tooManyEntries();
      const start = this.offset;
      const key = this.item(depth + 1);
      if (typeof key !== "number" && typeof key !== "bigint" && typeof key !== "string") {
        throw new AttestationError("cbor/key-type", "map key is neither integer nor text");
      }
      const encoded = this.#bytes.subarray(start, this.offset);
      if (map.has(key)) throw new AttestationError("cbor/duplicate-key", "map key twice");
      if (this.#profile.form === "deterministic" && previous !== null) {
        if (compareBytes(previous, encoded) >= 0) {
          throw new AttestationError("cbor/key-order", "map keys are not sorted");
        }
      }
      previous = encoded;
      map.set(key, this.item(depth + 1));
    }
    return map;
  }
}

function tooManyEntries(): AttestationError {
  return new AttestationError("cbor/too-large", `map of more than ${MAX_MAP_ENTRIES} entries`);
}

function negative(argument: number): number | bigint {
  return argument === Number.MAX_SAFE_INTEGER ? -1n - BigInt(argument) : -1 - argument;
}

function simple(initial: number): boolean | null {
  switch (initial & 31) {
    case 20:
      return false;
    case 21:
      return true;
    case 22:
      return null;
    default:
      throw new AttestationError("cbor/unsupported", `major type 7, value ${initial & 31}`);
  }
}

/** Bytes to begin with: for a whole structure, and for one key. */
const STRUCTURE_BYTES = 512;
const KEY_BYTES = 16;

/**
 * The deterministic encoding (RFC 8949 §4.2.1).
 *
 * @throws TypeError on what has none: a number that is no integer of 64 bits and a sign, text with
 * lone surrogates, a map that holds a key as number and as bigint.
 */
export function encodeCbor(value: CborValue): Uint8Array {
  const writer = new CborWriter(STRUCTURE_BYTES);
  write(value, writer);
  return writer.written();
}

function write(value: CborValue, writer: CborWriter): void {
  if (typeof value === "number" || typeof value === "bigint") {
    writeInteger(value, writer);
  } else if (typeof value === "string") {
    if (!value.isWellFormed()) throw new TypeError("text has lone surrogates");
    const text = encodeUtf8(value);
    writer.head(3, text.length);
    writer.bytes(text);
  } else if (typeof value === "boolean") {
    writer.byte(value ? 0xf5 : 0xf4);
  } else if (value === null) {
    writer.byte(0xf6);
  } else if (value instanceof Uint8Array) {
    writer.head(2, value.length);
    writer.bytes(value);
  } else if (value instanceof CborTag) {
    if (!Number.isSafeInteger(value.tag) || value.tag < 0) throw new TypeError("tag is no uint");
    writer.head(6, value.tag);
    write(value.value, writer);
  } else if (value instanceof Map) {
    writeMap(value, writer);
  } else if (isArray(value)) {
    writer.head(4, value.length);
    for (const item of value) write(item, writer);
  } else {
    throw new TypeError("value has no CBOR encoding here");
  }
}

/** Whether an item, or what a map holds under a key, is a map. */
export function isMap(value: CborValue | undefined): value is CborMap {
  return value instanceof Map;
}

/** Whether an item, or what a map holds under a key, is an array. */
export function isArray(value: CborValue | undefined): value is readonly CborValue[] {
  return Array.isArray(value);
}

function writeMap(map: CborMap, writer: CborWriter): void {
  const entries: (readonly [Uint8Array, CborValue])[] = [];
  for (const [key, item] of map) {
    const encoded = new CborWriter(KEY_BYTES);
    write(key, encoded);
    entries.push([encoded.written(), item]);
  }
  entries.sort((a, b) => compareBytes(a[0], b[0]));
  writer.head(5, entries.length);
  let previous: Uint8Array | null = null;
  for (const [key, item] of entries) {
    if (previous !== null && compareBytes(previous, key) === 0) throw new TypeError("key twice");
    previous = key;
    writer.bytes(key);
    write(item, writer);
  }
}

function writeInteger(value: number | bigint, writer: CborWriter): void {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new TypeError(`${value} is not an integer of 53 bits`);
  }
  if (value >= 0) writer.head(0, value);
  else writer.head(1, typeof value === "bigint" ? -1n - value : -1 - value);
}
