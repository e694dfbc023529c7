/**
 * Distinguished Encoding Rules (ITU-T X.690 §10, §11): the part that certificates use.
 *
 * Lengths are definite and minimal, tags are one byte, contents have their one DER form. The reader
 * hands out views; its callers own the bytes.
 */
import { encodeHex } from "./bytes.ts";
import { AttestationError } from "./errors.ts";
import { parseTimestamp } from "./time.ts";

/** Identifier octets (X.690 §8.1.2); the constructed bit included. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Certificates are at most 1024 bytes; two length bytes are plenty. */
const MAX_LENGTH_BYTES = 2;

export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  /** Identifier, length and content. */
  readonly encoded: Uint8Array;
}

/** Reads elements one after another. Every method throws `certificate/der`. */
export class DerReader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#offset === this.#bytes.length;
  }

  /** The next element's identifier octet, or null at the end. */
  get next(): number | null {
    return this.#bytes[this.#offset] ?? null;
  }

  /** The next element. */
  element(): DerElement {
    const start = this.#offset;
    const tag = this.#byte();
    if ((tag & 0x1f) === 0x1f) throw malformed("tag of more than one byte");
    const length = this.#length();
    const content = this.#bytes.subarray(this.#offset, this.#offset + length);
    if (content.length !== length) throw malformed(`${length} bytes wanted at the end of input`);
    this.#offset += length;
    return { tag, content, encoded: this.#bytes.subarray(start, this.#offset) };
  }

  /** The next element, which must have this identifier. */
  expect(tag: number): DerElement {
    const element = this.element();
    if (element.tag !== tag) throw malformed(`tag ${element.tag}, want ${tag}`);
    return element;
  }

  /** The contents of the next element, as a reader of its own. */
  enter(tag: number): DerReader {
    return new DerReader(this.expect(tag).content);
  }

  /** Requires that nothing follows. */
  end(): void {
    if (!this.done) throw malformed("bytes after the last element");
  }

  #byte(): number {
    const byte = this.#bytes[this.#offset];
    if (byte === undefined) throw malformed("input ends early");
    this.#offset++;
    return byte;
  }

  /** X.690 §10.1: definite, in the fewest bytes. */
  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count === 0) throw malformed("indefinite length");
    if (count > MAX_LENGTH_BYTES) throw malformed(`length of ${count} bytes`);
    let length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + this.#byte();
    if (length < (count === 1 ? 0x80 : 0x100)) throw malformed("length is not minimal");
    return length;
  }
}

/** The one element that `bytes` are. */
export function readDer(bytes: Uint8Array, tag: number): DerReader {
  const outer = new DerReader(bytes);
  const inner = outer.enter(tag);
  outer.end();
  return inner;
}

/** X.690 §8.1.2.5: the bit of an identifier octet that says the contents are elements. */
const CONSTRUCTED = 0x20;
const MAX_DEPTH = 8;

/** X.690 §8.1.2.2: the class bits of an identifier octet; zero is the universal class. */
const CLASS = 0xc0;

/** Requires that all that is left is DER, and so are the contents of constructed elements. */
export function requireWellFormed(reader: DerReader, depth = 0): void {
  if (depth > MAX_DEPTH) throw malformed(`nested deeper than ${MAX_DEPTH}`);
  while (!reader.done) {
    const element = reader.element();
    const constructed = (element.tag & CONSTRUCTED) !== 0;
    if ((element.tag & CLASS) === 0) requireUniversal(element, constructed);
    if (constructed) requireWellFormed(new DerReader(element.content), depth + 1);
  }
}

/** Universal types that we know, each in its one form (X.690 §10.2: strings are primitive). */
function requireUniversal({ tag, content }: DerElement, constructed: boolean): void {
  const isList = tag === TAG.sequence || tag === TAG.set;
  if (constructed !== isList || (isList && content.length === 0)) throw malformed(`tag ${tag}`);
  if (tag === TAG.boolean) parseBoolean(content);
  if (tag === TAG.integer) parseUnsigned(content);
  if (tag === TAG.objectIdentifier) parseObjectIdentifier(content);
  // X.690 §8.1.5: end-of-contents belongs to indefinite lengths; no sequence is primitive.
  if (tag === 0 || tag === (TAG.sequence & ~CONSTRUCTED) || tag === (TAG.set & ~CONSTRUCTED)) {
    throw malformed(`tag ${tag}`);
  }
}

/** Contents of an OBJECT IDENTIFIER in hex: subidentifiers are whole and minimal (X.690 §8.19). */
export function parseObjectIdentifier(content: Uint8Array): string {
  let start = true;
  for (const byte of content) {
    if (start && byte === 0x80) throw malformed("OBJECT IDENTIFIER is not minimal");
    start = byte < 0x80;
  }
  if (content.length === 0 || !start) throw malformed("OBJECT IDENTIFIER ends early");
  return encodeHex(content);
}

/** Big-endian magnitude, no leading zero, of a positive or zero INTEGER (X.690 §8.3). */
export function parseUnsigned(content: Uint8Array): Uint8Array {
  const [first, second] = content;
  if (first === undefined) throw malformed("empty INTEGER");
  if (first >= 0x80) throw unusual("negative INTEGER");
  if (first !== 0 || second === undefined) return content;
  if (second < 0x80) throw malformed("INTEGER is not minimal");
  return content.subarray(1);
}

/** X.690 §11.1: TRUE is 0xff. */
export function parseBoolean(content: Uint8Array): boolean {
  const [byte] = content;
  if (content.length !== 1 || (byte !== 0 && byte !== 0xff)) throw malformed("BOOLEAN");
  return byte === 0xff;
}

/** The bytes of a BIT STRING without unused bits. */
export function parseOctetAligned(content: Uint8Array): Uint8Array {
  if (content[0] !== 0) throw malformed("BIT STRING with unused bits");
  return content.subarray(1);
}

/** A named-bit-list as a number, bit 0 lowest (X.690 §11.2.2: no trailing zero bits; up to 16). */
export function parseNamedBits(content: Uint8Array): number {
  const [unused, first, second] = content;
  if (unused === undefined || unused > 7 || content.length > 3) throw malformed("BIT STRING");
  const last = content[content.length - 1] ?? 0;
  if (content.length === 1 || (last & ((1 << unused) - 1)) !== 0 || ((last >> unused) & 1) === 0) {
    throw malformed("named bits are not minimal");
  }
  let bits = 0;
  for (let i = 0; i < 8; i++) {
    if (((first ?? 0) & (0x80 >> i)) !== 0) bits |= 1 << i;
    if (((second ?? 0) & (0x80 >> i)) !== 0) bits |= 1 << (i + 8);
  }
  return bits;
}

const DIGITS = /^\d+Z$/u;

/** Unix milliseconds of a UTCTime or GeneralizedTime in the form of RFC 5280 §4.1.2.5. */
export function parseTime(element: DerElement): number {
  const text = String.fromCharCode(...element.content);
  const utc = element.tag === TAG.utcTime;
  if (!utc && element.tag !== TAG.generalizedTime) throw malformed("not a time");
  if (text.length !== (utc ? 13 : 15) || !DIGITS.test(text)) throw malformed("time format");
  const full = utc ? (text < "5" ? "20" : "19") + text : text;
  if (!utc && full < "2050") throw unusual("GeneralizedTime before 2050");
  const [year, month, day] = [full.slice(0, 4), full.slice(4, 6), full.slice(6, 8)];
  const [hour, minute, second] = [full.slice(8, 10), full.slice(10, 12), full.slice(12, 14)];
  const time = parseTimestamp(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (time === null) throw malformed("no such time");
  return time;
}

/** Good DER that no certificate of ours has. */
function unusual(what: string): AttestationError {
  return new AttestationError("certificate/profile", what);
}

function malformed(what: string): AttestationError {
  return new AttestationError("certificate/der", what);
}
