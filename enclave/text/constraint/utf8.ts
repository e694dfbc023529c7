import type { NetworkBuilder } from "./network.ts";

/** Unicode scalar values: all code points but the surrogates (Unicode §3.9, D76). */
const SCALARS = [
  [0, 0xd7ff],
  [0xe000, 0x10ffff],
] as const;
/** Last code points of one, two, three and four bytes (RFC 3629 §3). */
const LENGTH_ENDS = [0x7f, 0x7ff, 0xffff, 0x10ffff] as const;

/** Code points from the first to the last. */
export type CodePoints = readonly [first: number, last: number];

/** Reads the UTF-8 of any one scalar value in `ranges`, and nothing ill-formed. */
export function readCodePoints(
  builder: NetworkBuilder,
  from: number,
  ranges: readonly CodePoints[],
  to: number,
): void {
  for (const [first, last] of ranges) {
    for (const [low, high] of SCALARS) {
      let start = Math.max(first, low);
      for (const end of LENGTH_ENDS) {
        const stop = Math.min(end, last, high);
        if (start > stop) continue;
        readBytes(builder, from, encode(start), encode(stop), to);
        start = stop + 1;
      }
    }
  }
}

/** What of `ranges` is not in `taken`. */
export function without(
  ranges: readonly CodePoints[],
  taken: readonly number[],
): readonly CodePoints[] {
  const left: CodePoints[] = [];
  for (const [first, last] of ranges) {
    let start = first;
    for (const point of taken.toSorted((a, b) => a - b)) {
      if (point < start || point > last) continue;
      if (point > start) left.push([start, point - 1]);
      start = point + 1;
    }
    if (start <= last) left.push([start, last]);
  }
  return left;
}

/** Reads every sequence between `low` and `high`, which are equally long, in the order of UTF-8. */
function readBytes(
  builder: NetworkBuilder,
  from: number,
  low: readonly number[],
  high: readonly number[],
  to: number,
): void {
  const [lowByte = 0, ...lowRest] = low;
  const [highByte = 0, ...highRest] = high;
  if (lowRest.length === 0) {
    builder.byte(from, lowByte, highByte, to);
    return;
  }
  const lowest = lowRest.map(() => 0x80);
  const highest = lowRest.map(() => 0xbf);
  const follow = (first: number, last: number, least: number[], most: number[]): void => {
    if (first > last) return;
    readBytes(builder, builder.range(from, first, last), least, most, to);
  };
  if (lowByte === highByte) {
    follow(lowByte, highByte, lowRest, highRest);
    return;
  }
  // The first and the last leading byte may have fewer continuations than those between.
  const wholeLow = lowRest.every((byte) => byte === 0x80);
  const wholeHigh = highRest.every((byte) => byte === 0xbf);
  if (!wholeLow) follow(lowByte, lowByte, lowRest, highest);
  follow(wholeLow ? lowByte : lowByte + 1, wholeHigh ? highByte : highByte - 1, lowest, highest);
  if (!wholeHigh) follow(highByte, highByte, lowest, highRest);
}

/** RFC 3629 §3. */
function encode(point: number): readonly number[] {
  if (point <= 0x7f) return [point];
  const last = 0x80 | (point & 0x3f);
  if (point <= 0x7ff) return [0xc0 | (point >> 6), last];
  const middle = 0x80 | ((point >> 6) & 0x3f);
  if (point <= 0xffff) return [0xe0 | (point >> 12), middle, last];
  return [0xf0 | (point >> 18), 0x80 | ((point >> 12) & 0x3f), middle, last];
}
