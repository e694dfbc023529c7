/**
 * Mutants of CBOR items, aimed at their heads: flipping bits at random would mostly hit the inside
 * of a certificate, of which no decoder has an opinion.
 */
import { concatBytes } from "@countersign/attestation";
import { mutate } from "../fakes/fuzz.ts";
import { hex } from "../fakes/nitro.ts";

/** Where one item lies: its head, its content, all that belongs to it. */
interface Span {
  readonly start: number;
  readonly headEnd: number;
  readonly end: number;
  readonly major: number;
  readonly argument: bigint;
}

/** Items that a decoder may refuse, well-formed and not (RFC 8949 §3, Appendix F). */
export const ODD_ITEMS: readonly Uint8Array[] = [
  // Simple values: undefined, unassigned, in two bytes, reserved, break; false, true, null.
  "f7 e0 f3 f820 f8ff f814 fc ff f4 f5 f6",
  // Floats: one, NaN, infinity, zero of the other sign, in three widths.
  "f93c00 f97e00 f97c00 f98000 fa3f800000 fb3ff0000000000000 fa7fc00000 fb7ff8000000000000",
  // Integers: around 2^53 and 2^64, reserved additional information.
  "1b001fffffffffffff 1b0020000000000000 1bffffffffffffffff 1c 1f 3f",
  "3b001ffffffffffffe 3b001fffffffffffff 3b0020000000000000 3bffffffffffffffff",
  // Not in the shortest form.
  "1800 190017 1a0000ffff 1b00000000ffffffff 3817 5800 7800 9800 b800",
  // Tags: bignums, encoded CBOR, COSE_Sign1, dates, self-described, a set, a reference, above 2^53.
  "c24101 c349010000000000000000 c200 d81843820102 d280 c11a5f000000 c074323031 d9d9f700 d9010280",
  "d81d00 c600 d84000 c480 dbffffffffffffffff00 db002000000000000000 db000000010000000000",
  // Text: a byte order mark, bytes that are not UTF-8, surrogates, an overlong form.
  "63efbbbf 65efbbbf6161 62c328 63eda080 62c080 61ff 64f0908080 60",
  // Indefinite length, whole and not; chunks of another type; a break for a map's value.
  "5f4100ff 7f6161ff 9f00ff bf616100ff bfff 9fff 5fff 5f6161ff 9f bf bf00ffff bf009f00ffff",
  // Maps: a key twice, keys of odd types, a key without value, keys out of order.
  "a200000000 a2616100616101 a140 a14000 a18000 a1f500 a1f600 a1f93c0000 a100 a100ff",
  "a201000000 a2616200616100 a26161000000",
  // Lengths that nothing can hold, and nesting.
  "5affffffff 5bffffffffffffffff 9affffffff 9bffffffffffffffff baffffffff bbffffffffffffffff",
  `7bffffffffffffffff ${"81".repeat(40)}00 a10081a10081a10000`,
].flatMap((line) => line.split(" ").map(hex));

/** One or two changes of a well-formed item. */
export function mutateCbor(random: () => number, item: Uint8Array): Uint8Array {
  const once = change(random, item);
  // The second one is aimed as well as the first's damage allows.
  return random() < 0.3 ? change(random, once) : once;
}

function change(random: () => number, item: Uint8Array): Uint8Array {
  const spans = spansOf(item);
  const span = spans[Math.floor(random() * spans.length)];
  if (span === undefined || random() < 0.1) return mutate(random, item);
  const odd = ODD_ITEMS[Math.floor(random() * ODD_ITEMS.length)] ?? hex("f7");
  const own = item.subarray(span.start, span.end);
  const content = item.subarray(span.headEnd, span.end);
  const put = (...parts: readonly Uint8Array[]): Uint8Array =>
    concatBytes(item.subarray(0, span.start), ...parts, item.subarray(span.end));
  switch (Math.floor(random() * 10)) {
    case 0:
      return put(headOf(span.major, span.argument, 1 + Math.floor(random() * 3)), content);
    case 1:
      return put(headOf(span.major, span.argument + (random() < 0.5 ? 1n : -1n)), content);
    case 2:
      return put(headOf(span.major, wide(random)), content);
    case 3:
      return put(headOf(Math.floor(random() * 8), span.argument), content);
    case 4:
      return put(odd);
    case 5:
      return put(odd, own);
    case 6:
      return put(own, own);
    case 7:
      return put(hex(TAG_HEADS[Math.floor(random() * TAG_HEADS.length)] ?? "d2"), own);
    case 8:
      return put(Uint8Array.of((span.major << 5) | 31), content, Uint8Array.of(0xff));
    default:
      return appended(random, span, put, content, odd);
  }
}

const TAG_HEADS = ["c0", "c2", "c6", "d2", "d818", "d81c", "d9d9f7", "d90103", "d840"] as const;

/** With one more element; of a map, with a key that is there already or an odd one. */
function appended(
  random: () => number,
  { major, argument }: Span,
  put: (...parts: readonly Uint8Array[]) => Uint8Array,
  content: Uint8Array,
  odd: Uint8Array,
): Uint8Array {
  if (major === 4) return put(headOf(4, argument + 1n), content, odd);
  if (major !== 5) return put();
  const first = spansOf(content)[0];
  const key =
    first === undefined || random() < 0.3 ? odd : content.subarray(first.start, first.end);
  return put(headOf(5, argument + 1n), content, key, random() < 0.5 ? hex("00") : odd);
}

/** An argument from all widths. */
function wide(random: () => number): bigint {
  const bits = BigInt(Math.floor(random() * 65));
  return ((1n << bits) + BigInt(Math.floor(random() * 3)) - 1n) & 0xffff_ffff_ffff_ffffn;
}

/** RFC 8949 §3. @param wider - by how many steps it is wider than it needs to be. */
function headOf(major: number, argument: bigint, wider = 0): Uint8Array {
  const value = BigInt.asUintN(64, argument);
  const least = [24n, 0x100n, 0x1_0000n, 0x1_0000_0000n].filter((bound) => value >= bound).length;
  const width = Math.min(4, least + wider);
  if (width === 0) return Uint8Array.of((major << 5) | Number(value));
  const bytes = 1 << (width - 1);
  const digits = BigInt.asUintN(64, value)
    .toString(16)
    .padStart(2 * bytes, "0");
  return hex(((major << 5) | (23 + width)).toString(16).padStart(2, "0") + digits);
}

/** The items in `bytes` that can be made out, outermost first; the heads only, no judgement. */
function spansOf(bytes: Uint8Array): readonly Span[] {
  const spans: Span[] = [];
  walk(bytes, 0, spans, 0);
  return spans.toSorted((a, b) => a.start - b.start || b.end - a.end);
}

const MAX_DEPTH = 8;

/** Where the item at `start` ends; the end of `bytes` where that cannot be said. */
function walk(bytes: Uint8Array, start: number, spans: Span[], depth: number): number {
  const initial = bytes[start];
  if (initial === undefined || depth > MAX_DEPTH) return bytes.length;
  const [major, info] = [initial >> 5, initial & 31];
  const width = info < 24 || info > 27 ? 0 : 1 << (info - 24);
  const headEnd = Math.min(start + 1 + width, bytes.length);
  let argument = info < 24 ? BigInt(info) : 0n;
  for (const byte of bytes.subarray(start + 1, headEnd)) argument = argument * 256n + BigInt(byte);
  let end = headEnd;
  if (major === 2 || major === 3) end = Math.min(bytes.length, headEnd + Number(argument));
  if (major >= 4 && major <= 6) {
    const indefinite = info === 31;
    let children = major === 6 ? 1n : major === 5 ? 2n * argument : argument;
    while (end < bytes.length && (indefinite || children-- > 0n)) {
      if (indefinite && bytes[end] === 0xff) {
        end++;
        break;
      }
      end = walk(bytes, end, spans, depth + 1);
    }
  }
  spans.push({ start, headEnd, end, major, argument });
  return end;
}
