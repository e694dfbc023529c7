/** Writes the DER (ITU-T X.690 §10) that certificates are made of. */
import { concatBytes, encodeUtf8 } from "@countersign/attestation/attester";

/** Identifier octets (X.690 §8.1.2). */
const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  sequence: 0x30,
  set: 0x31,
} as const satisfies Record<string, number>;

export function sequence(...items: readonly Uint8Array[]): Uint8Array {
  return element(TAG.sequence, ...items);
}

export function set(...items: readonly Uint8Array[]): Uint8Array {
  return element(TAG.set, ...items);
}

/** `[number]`, explicit. */
export function tagged(number: number, item: Uint8Array): Uint8Array {
  return element(0xa0 | number, item);
}

/** `[number]` IMPLICIT of a primitive. */
export function implicit(number: number, content: Uint8Array): Uint8Array {
  return element(0x80 | number, content);
}

/** An unsigned integer of big-endian `bytes`. */
export function unsigned(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const digits = bytes.subarray(start);
  const sign = (digits[0] ?? 0) >= 0x80 ? Uint8Array.of(0) : new Uint8Array(0);
  return element(TAG.integer, sign, digits);
}

export function truth(): Uint8Array {
  return element(TAG.boolean, Uint8Array.of(0xff));
}

export function octets(...content: readonly Uint8Array[]): Uint8Array {
  return element(TAG.octetString, ...content);
}

/** A bit string of whole octets. */
export function bits(content: Uint8Array): Uint8Array {
  return element(TAG.bitString, Uint8Array.of(0), content);
}

/** A named bit list (X.690 §11.2.2): trailing zero bits are left out. @param byte - not zero. */
export function namedBits(byte: number): Uint8Array {
  let unused = 0;
  while (((byte >> unused) & 1) === 0) unused++;
  return element(TAG.bitString, Uint8Array.of(unused, byte));
}

/** @param dotted - such as "2.5.4.3". */
export function objectIdentifier(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const octetsOf = [first * 40 + second, ...rest].flatMap(base128);
  return element(TAG.objectIdentifier, Uint8Array.from(octetsOf));
}

export function utf8(text: string): Uint8Array {
  return element(TAG.utf8String, encodeUtf8(text));
}

/** YYMMDDHHMMSSZ (RFC 5280 §4.1.2.5.1): to 2049. */
export function utcTime(unixMs: number): Uint8Array {
  const digits = new Date(unixMs).toISOString().replaceAll(/\D/gu, "");
  return element(TAG.utcTime, encodeUtf8(`${digits.slice(2, 14)}Z`));
}

function base128(value: number): readonly number[] {
  const digits = [value & 0x7f];
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) digits.unshift((rest & 0x7f) | 0x80);
  return digits;
}

function element(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const body = concatBytes(...content);
  return concatBytes(Uint8Array.of(tag), length(body.length), body);
}

/** X.690 §10.1: the definite form in the fewest octets. */
function length(value: number): Uint8Array {
  if (value < 0x80) return Uint8Array.of(value);
  if (value < 0x100) return Uint8Array.of(0x81, value);
  if (value < 0x1_0000) return Uint8Array.of(0x82, value >> 8, value & 0xff);
  throw new TypeError(`DER element of ${value} bytes`);
}
