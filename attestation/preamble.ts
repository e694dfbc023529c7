/**
 * What leaf 0 of a transcript shows: the control data of a Binary HTTP message (RFC 9292 §3.4, §3.5).
 *
 * A proof's reader has the leaf, and no connection that knew what was asked; so it is read here. The
 * enclave parsed the whole of it before it answered.
 */
import { decodeUtf8 } from "./bytes.ts";

/** RFC 9292 §3.1: framing indicators, of known length and of indeterminate length. */
const REQUEST_FRAMING: readonly number[] = [0, 2];
const RESPONSE_FRAMING: readonly number[] = [1, 3];

/** The path that a request's leaf 0 names; null where there is none. */
export function shownPath(leaf: Uint8Array | undefined): string | null {
  const reader = framed(leaf, REQUEST_FRAMING);
  // Method, scheme, authority, path: each a length and its bytes.
  const parts = [reader?.string(), reader?.string(), reader?.string(), reader?.string()];
  try {
    return parts[3] === undefined || parts[3] === null ? null : decodeUtf8(parts[3]);
  } catch {
    return null;
  }
}

/** The status that a response's leaf 0 names; null where there is none. */
export function shownStatus(leaf: Uint8Array | undefined): number | null {
  return framed(leaf, RESPONSE_FRAMING)?.varint() ?? null;
}

function framed(leaf: Uint8Array | undefined, framings: readonly number[]): Reader | null {
  const reader = new Reader(leaf ?? new Uint8Array(0));
  const framing = reader.varint();
  return framing !== null && framings.includes(framing) ? reader : null;
}

class Reader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** RFC 9000 §16. A value beyond 53 bits is rounded, and means nothing here either. */
  varint(): number | null {
    const first = this.#bytes[this.#offset];
    if (first === undefined) return null;
    const end = this.#offset + (1 << (first >> 6));
    if (end > this.#bytes.length) return null;
    let value = first & 0x3f;
    for (const byte of this.#bytes.subarray(this.#offset + 1, end)) value = value * 256 + byte;
    this.#offset = end;
    return value;
  }

  string(): Uint8Array | null {
    const length = this.varint();
    if (length === null || this.#offset + length > this.#bytes.length) return null;
    this.#offset += length;
    return this.#bytes.subarray(this.#offset - length, this.#offset);
  }
}
