/** Mutation of bytes whatever they mean. */
import { concatBytes } from "@countersign/attestation";
import type { Random } from "./random.ts";

/** Where encodings change: ends of ranges, first bytes of CBOR and DER items. */
const TELLING = [
  0x00, 0x01, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1f, 0x30, 0x3f, 0x40, 0x58, 0x5f, 0x60, 0x78, 0x7f,
  0x80, 0x81, 0x82, 0x98, 0x9f, 0xa0, 0xb8, 0xbf, 0xc0, 0xd2, 0xf4, 0xf5, 0xf6, 0xf7, 0xf9, 0xfb,
  0xfe, 0xff,
];
/** One change in a row as often as two or more. */
const MOST_CHANGES = 4;
const MOST_SPAN = 64;

/** A changed copy; `other` gives parts to put in. Never longer than both together. */
export function mutateBytes(random: Random, bytes: Uint8Array, other: Uint8Array): Uint8Array {
  const most = bytes.length + other.length + MOST_SPAN;
  const times = random.once(2) ? 1 : 1 + random.below(MOST_CHANGES);
  let changed = new Uint8Array(bytes);
  for (let i = 0; i < times; i++) changed = change(random, changed, other);
  return changed.subarray(0, most);
}

function change(random: Random, bytes: Uint8Array, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const at = random.below(bytes.length + 1);
  const span = 1 + random.below(random.once(4) ? MOST_SPAN : 4);
  const [before, after] = [bytes.slice(0, at), bytes.slice(at)];
  switch (random.below(9)) {
    case 0:
      return overwritten(bytes, at, Uint8Array.of((bytes[at] ?? 0) ^ (1 << random.below(8))));
    case 1:
      return overwritten(bytes, at, random.once(2) ? random.bytes(1) : telling(random));
    case 2:
      return overwritten(bytes, at, Uint8Array.of((bytes[at] ?? 0) + (random.once(2) ? 1 : 255)));
    case 3:
      return joined(before, after.subarray(span));
    case 4:
      return joined(before, after.subarray(0, span), after);
    case 5:
      return joined(before, random.bytes(span), after);
    case 6:
      return overwritten(bytes, at, part(random, other, span));
    case 7:
      return joined(before, part(random, other, span), after);
    default:
      return random.once(2) ? before : joined(before, part(random, other, other.length));
  }
}

function telling(random: Random): Uint8Array {
  return Uint8Array.of(random.pick(TELLING));
}

function part(random: Random, bytes: Uint8Array, span: number): Uint8Array {
  const from = random.below(bytes.length + 1);
  return bytes.subarray(from, from + span);
}

function overwritten(bytes: Uint8Array, at: number, by: Uint8Array): Uint8Array<ArrayBuffer> {
  return joined(bytes.subarray(0, at), by, bytes.subarray(at + by.length)).slice(0, bytes.length);
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(concatBytes(...parts));
}
