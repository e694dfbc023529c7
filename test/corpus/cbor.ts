/**
 * CBOR items (RFC 8949 §3) put together by hand, so that a head can be longer than it need be, claim
 * more than follows, or be of a kind that no encoder of ours writes.
 */
import { concatBytes, encodeUtf8 } from "@countersign/attestation";

/** Bytes of the argument after the initial byte. */
export type Width = 0 | 1 | 2 | 4 | 8;

export type Entry = readonly [key: Uint8Array, value: Uint8Array];

/** Additional information that announces an argument of this width. */
const INFORMATION: Readonly<Record<Exclude<Width, 0>, number>> = { 1: 24, 2: 25, 4: 26, 8: 27 };
const INDEFINITE = 31;

export const NULL: Uint8Array = Uint8Array.of(0xf6);
export const UNDEFINED: Uint8Array = Uint8Array.of(0xf7);
export const BREAK: Uint8Array = Uint8Array.of(0xff);

/** A head alone; `width` may be more than the argument needs. */
export function head(
  major: number,
  argument: number | bigint,
  width: Width = leastWidth(argument),
): Uint8Array {
  if (width === 0) return Uint8Array.of((major << 5) | Number(argument));
  const bytes = new Uint8Array(1 + width);
  bytes[0] = (major << 5) | INFORMATION[width];
  let rest = BigInt(argument);
  for (let at = width; at > 0; at--) {
    bytes[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

export function uint(value: number | bigint, width?: Width): Uint8Array {
  return head(0, value, width);
}

/** A negative integer. */
export function negative(value: number): Uint8Array {
  return head(1, -1 - value);
}

export function bstr(bytes: Uint8Array, width?: Width): Uint8Array {
  return concatBytes(head(2, bytes.length, width), bytes);
}

export function tstr(text: string, width?: Width): Uint8Array {
  const bytes = encodeUtf8(text);
  return concatBytes(head(3, bytes.length, width), bytes);
}

export function array(items: readonly Uint8Array[], width?: Width): Uint8Array {
  return concatBytes(head(4, items.length, width), ...items);
}

/** Keys stay in the order given. */
export function map(entries: readonly Entry[], width?: Width): Uint8Array {
  return concatBytes(head(5, entries.length, width), ...entries.flat());
}

export function tag(number: number, item: Uint8Array, width?: Width): Uint8Array {
  return concatBytes(head(6, number, width), item);
}

/** An item of indefinite length: chunks of a string, items of an array, keys and values of a map. */
export function indefinite(major: 2 | 3 | 4 | 5, parts: readonly Uint8Array[]): Uint8Array {
  return concatBytes(Uint8Array.of((major << 5) | INDEFINITE), ...parts, BREAK);
}

function leastWidth(argument: number | bigint): Width {
  if (argument < 24) return 0;
  if (argument < 0x100) return 1;
  if (argument < 0x1_0000) return 2;
  return argument < 0x1_0000_0000 ? 4 : 8;
}
