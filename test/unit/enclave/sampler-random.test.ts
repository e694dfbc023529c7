import { describe, expect, it } from "vitest";
import { exponential } from "../../../enclave/text/exponential.ts";
import { type Words2, type Words4, philox4x32, uniform } from "../../../enclave/text/random.ts";

/** Random123, kat_vectors: "philox4x32 10". */
const VECTORS: readonly (readonly [Words4, Words2, Words4])[] = [
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
];

describe("random numbers", () => {
  it("are those of the published vectors", () => {
    for (const [counter, key, expected] of VECTORS) {
      expect(philox4x32(counter, key)).toEqual(expected);
    }
  });

  it("use all 53 bits of a seed and of an index", () => {
    const numbers = [
      uniform(0, 0),
      uniform(1, 0),
      uniform(2 ** 32, 0),
      uniform(2 ** 53 - 1, 0),
      uniform(0, 1),
      uniform(0, 2 ** 32),
    ];
    expect(new Set(numbers).size).toBe(numbers.length);
    // The first block of key 0, its upper 27 and 26 bits.
    expect(uniform(0, 0)).toBe(
      (Math.floor(0x6627e8d5 / 32) * 2 ** 26 + Math.floor(0xe169c58d / 64)) / 2 ** 53,
    );
  });

  it("fill [0, 1) evenly", () => {
    const buckets = Array.from({ length: 64 }, () => 0);
    for (let index = 0; index < 64_000; index += 1) {
      const number = uniform(42, index);
      expect(number).toBeGreaterThanOrEqual(0);
      expect(number).toBeLessThan(1);
      const bucket = Math.floor(number * 64);
      buckets[bucket] = (buckets[bucket] ?? 0) + 1;
    }
    const chiSquare = buckets.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    // 63 degrees of freedom: 103 is passed once in a thousand seeds; this one is fixed.
    expect(chiSquare).toBeLessThan(103);
  });
});

describe("the exponential function", () => {
  it("agrees with Math.exp to 12 digits, and is 1 at 0", () => {
    expect(exponential(0)).toBe(1);
    expect(exponential(-0)).toBe(1);
    for (let index = 0; index < 20_000; index += 1) {
      const x = -650 * uniform(7, index) ** 3;
      expect(Math.abs(exponential(x) / Math.exp(x) - 1)).toBeLessThan(1e-12);
    }
  });

  it("is 0 where it is next to nothing", () => {
    expect(exponential(-700)).toBe(0);
    expect(exponential(-699.99)).toBeGreaterThan(0);
    expect(exponential(-Infinity)).toBe(0);
  });
});
