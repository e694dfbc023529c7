/** Variable-length integers (RFC 9000 §16), up to 2^53 - 1. */
import { ProtocolError, type ProtocolErrorCode } from "./errors.ts";

/** Bytes of the shortest encoding. */
export function varintBytes(value: number): 1 | 2 | 4 | 8 {
  if (value < 0x40) return 1;
  if (value < 0x4000) return 2;
  return value < 0x4000_0000 ? 4 : 8;
}

/** Writes the shortest encoding of `value` at `offset`; the offset after it. */
export function writeVarint(target: Uint8Array, offset: number, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`varint of ${value}`);
  const length = varintBytes(value);
  let rest = value;
  for (let i = length - 1; i >= 0; i--) {
    target[offset + i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  target[offset] = (target[offset] ?? 0) | (Math.log2(length) << 6);
  return offset + length;
}

/** The shortest encoding. */
export function encodeVarint(value: number): Uint8Array {
  const bytes = new Uint8Array(varintBytes(value));
  writeVarint(bytes, 0, value);
  return bytes;
}

/** Length of the varint that starts with `first`. */
export function varintLength(first: number): number {
  return 1 << (first >> 6);
}

/**
 * The value of the varint at `offset`, all of whose bytes are there.
 *
 * @throws {@link ProtocolError} `tooLarge` above 2^53 - 1.
 */
export function readVarint(bytes: Uint8Array, offset: number, tooLarge: ProtocolErrorCode): number {
  const first = bytes[offset] ?? 0;
  const length = varintLength(first);
  let value = first & 0x3f;
  for (let i = 1; i < length; i++) value = value * 256 + (bytes[offset + i] ?? 0);
  if (value > Number.MAX_SAFE_INTEGER) throw new ProtocolError(tooLarge, "varint above 2^53");
  return value;
}
