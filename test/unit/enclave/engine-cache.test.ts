/** Where keys and values are kept: nothing is lost in a move, nothing stays behind. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import "../../fakes/no-float16.ts";
import {
  type CacheArray,
  type CacheShape,
  copyRow,
} from "../../../enclave/engine/generation/arrays.ts";
import { ExactCache } from "../../../enclave/engine/generation/exact-cache.ts";
import { widen } from "../../../enclave/engine/generation/float16.ts";
import { capacityFor } from "../../../enclave/engine/generation/plan.ts";
import { CachePool } from "../../../enclave/engine/generation/pool.ts";
import { Slab } from "../../../enclave/engine/generation/slab.ts";

const SHAPE: CacheShape = { type: "float32", arrays: 4, kvHeads: 3, headDim: 2 };
const CAPACITY = 6;

/** A token's keys and values, so that each number says where it belongs. */
function valueOf(token: number, i: number, head: number, k: number): number {
  return token * 1000 + i * 100 + head * 10 + k + 1;
}

/** New keys and values of `tokens` for one row, [1, kvHeads, tokens, headDim]. */
function added(tokens: readonly number[], shape = SHAPE): CacheArray[] {
  return Array.from({ length: shape.arrays }, (_, i) => {
    const { kvHeads, headDim } = shape;
    const array = new Float32Array(kvHeads * tokens.length * headDim);
    for (let head = 0; head < kvHeads; head++) {
      tokens.forEach((token, t) => {
        const at = (head * tokens.length + t) * headDim;
        for (let k = 0; k < headDim; k++) array[at + k] = valueOf(token, i, head, k);
      });
    }
    return array;
  });
}

function exactWith(pool: CachePool, tokens: readonly number[], twofold = false): ExactCache {
  const cache = new ExactCache(pool, SHAPE, CAPACITY, twofold);
  cache.advance(added(tokens), tokens.length);
  return cache;
}

/** The tokens that a row holds, read back from every number of it. */
function tokensIn(
  place: { readonly array: CacheArray; readonly offset: number; readonly slots: number },
  length: number,
  i: number,
): number[] {
  const out = new Float32Array(SHAPE.kvHeads * length * SHAPE.headDim);
  copyRow(SHAPE, place, { array: out, offset: 0, slots: length }, length);
  return Array.from({ length }, (_, t) => {
    const token = Math.floor((out[t * SHAPE.headDim] ?? 0) / 1000);
    for (let head = 0; head < SHAPE.kvHeads; head++) {
      for (let k = 0; k < SHAPE.headDim; k++) {
        expect(out[(head * length + t) * SHAPE.headDim + k]).toBe(valueOf(token, i, head, k));
      }
    }
    return token;
  });
}

function expectRows(slab: Slab, rows: readonly (readonly number[])[]): void {
  expect(slab.rows).toBe(rows.length);
  rows.forEach((tokens, row) => {
    const source = slab.source(row);
    expect(source.length).toBe(tokens.length);
    for (let i = 0; i < SHAPE.arrays; i++) {
      expect(tokensIn(source.place(i), tokens.length, i)).toEqual(tokens);
    }
  });
}

/** Every buffer that the pool keeps, which must hold nothing but zeros. */
function expectClean(pool: CachePool, rows: number): void {
  expect(pool.usedBytes).toBe(0);
  for (let count = 1; count <= rows; count++) {
    const bytes = count * SHAPE.kvHeads * CAPACITY * SHAPE.headDim * 4;
    for (let i = 0; i < 2 * SHAPE.arrays; i++) {
      expect(new Uint8Array(pool.acquire(bytes)).every((byte) => byte === 0)).toBe(true);
    }
  }
}

type Step = readonly [kind: "adopt" | "append" | "remove" | "trim" | "grow", number: number];

const STEPS = fc.array(
  fc.tuple(
    fc.constantFrom("adopt", "append", "append", "remove", "trim", "grow"),
    fc.integer({ min: 0, max: 5 }),
  ) as fc.Arbitrary<Step>,
  { maxLength: 40 },
);

describe("a slab", () => {
  it("holds what was put in, whatever is taken out, moved or trimmed, and nothing after", () => {
    fc.assert(
      fc.property(STEPS, fc.constantFrom(1, 2), (steps, least) => {
        const pool = new CachePool(1 << 20);
        const slab = new Slab(pool, SHAPE, CAPACITY, least);
        const rows: number[][] = [];
        let token = 0;
        for (const [kind, number] of steps) {
          if (kind === "adopt" && rows.length < 5) {
            const tokens = Array.from({ length: 1 + (number % 4) }, () => ++token);
            const source = exactWith(pool, tokens);
            slab.adopt(source, 2);
            source.release();
            rows.push([...tokens], [...tokens]);
          } else if (kind === "append" && rows.every((row) => row.length < CAPACITY)) {
            const news = Array.from({ length: slab.runRows }, () => ++token);
            const parts = news.map((each) => added([each]));
            slab.append(
              Array.from({ length: SHAPE.arrays }, (_, i) =>
                Float32Array.from(parts.flatMap((part) => [...(part[i] ?? [])])),
              ),
            );
            rows.forEach((row, r) => row.push(news[r] ?? 0));
          } else if (kind === "remove" && number < rows.length) {
            slab.remove(number);
            const last = rows.pop();
            if (last !== undefined && number < rows.length) rows[number] = last;
          } else if (kind === "trim") slab.trim();
          else if (kind === "grow") slab.grow(number);
          expectRows(slab, rows);
        }
        slab.release();
        expectClean(pool, 12);
      }),
      { numRuns: 150 },
    );
  });

  it("is clean after its spare slots were soiled", () => {
    const pool = new CachePool(1 << 20);
    const slab = new Slab(pool, SHAPE, CAPACITY, 2);
    const source = exactWith(pool, [1, 2]);
    slab.adopt(source, 1);
    source.release();
    slab.soil();
    expectRows(slab, [[1, 2]]);
    const { array } = slab.source(0).place(0);
    expect(array.filter((value) => value !== 37.5)).toHaveLength(2 * SHAPE.kvHeads * SHAPE.headDim);
    slab.release();
    expectClean(pool, 2);
  });

  it("keeps its rows whole where the memory for another is missing", () => {
    const row = SHAPE.kvHeads * CAPACITY * SHAPE.headDim * 4;
    // Four arrays of a row, the source's, and one array of four rows: the second to grow finds no room.
    const pool = new CachePool(12 * row);
    const slab = new Slab(pool, SHAPE, CAPACITY, 1);
    const first = exactWith(pool, [1, 2]);
    slab.adopt(first, 1);
    first.release();
    // Longer than what the rows in use have written by then, so that clearing those is not enough.
    const second = exactWith(pool, [3, 4, 5, 6]);
    expect(() => slab.adopt(second, 3)).toThrow(expect.objectContaining({ code: "memory/full" }));
    second.release();
    expectRows(slab, [[1, 2]]);
    // In the array that grew, nothing of what was refused lies in the rows that have no sequence.
    const { array } = slab.source(0).place(0);
    expect(array).toHaveLength(4 * (row / 4));
    expect(array.subarray(row / 4).every((value) => value === 0)).toBe(true);
    slab.release();
    expect(pool.usedBytes).toBe(0);
    expect(new Uint8Array(pool.acquire(4 * row)).every((byte) => byte === 0)).toBe(true);
  });
});

describe("an exact cache", () => {
  it("puts pieces behind one another, head by head", () => {
    const pool = new CachePool(1 << 20);
    const cache = exactWith(pool, [1, 2]);
    cache.advance(added([3]), 1);
    cache.advance(added([4, 5, 6]), 3);
    const copy = cache.clone();
    for (const each of [cache, copy]) {
      for (let i = 0; i < SHAPE.arrays; i++) {
        expect(tokensIn(each.place(i), 6, i)).toEqual([1, 2, 3, 4, 5, 6]);
      }
    }
    expect(() => {
      cache.advance(added([7]), 1);
    }).toThrow(TypeError);
    cache.releaseArray(1);
    cache.release();
    copy.release();
    expectClean(pool, 1);
  });

  it("holds nothing where it could not be made", () => {
    const pool = new CachePool(7 * SHAPE.kvHeads * CAPACITY * SHAPE.headDim * 4);
    expect(() => new ExactCache(pool, SHAPE, CAPACITY, true)).toThrow(
      expect.objectContaining({ code: "memory/full" }),
    );
    expect(pool.usedBytes).toBe(0);
  });
});

describe("the pool", () => {
  it("uses buffers again by size, and gives others up for new ones within its limit", () => {
    const pool = new CachePool(1000);
    const kept = pool.acquire(400);
    pool.release(kept);
    expect(pool.acquire(400)).toBe(kept);
    pool.release(kept);
    const large = pool.acquire(900);
    expect(pool.totalBytes).toBe(900);
    expect(kept.detached).toBe(true);
    expect(() => pool.acquire(101)).toThrow(expect.objectContaining({ code: "memory/full" }));
    expect(pool.acquire(100).byteLength).toBe(100);
    pool.release(large);
    expect(pool.usedBytes).toBe(100);
  });

  it("says memory/full where the machine has less than the limit", () => {
    const pool = new CachePool(2 ** 53 - 1);
    expect(() => pool.acquire(2 ** 52)).toThrow(expect.objectContaining({ code: "memory/full" }));
    expect(pool.totalBytes).toBe(0);
  });
});

describe("sizes", () => {
  it.each([
    [1, 1024, 128],
    [128, 1024, 128],
    [129, 1024, 256],
    [513, 1024, 1023],
    [1023, 1024, 1023],
    [5, 100, 99],
  ])("%i tokens of a context of %i have %i slots", (tokens, context, capacity) => {
    expect(capacityFor(tokens, context)).toBe(capacity);
  });

  it("widens every 16-bit float exactly", () => {
    const bits = Uint16Array.from({ length: 65_536 }, (_, i) => i);
    const wide = new Float32Array(65_536);
    widen(bits, wide);
    const view = new DataView(new ArrayBuffer(2));
    bits.forEach((each) => {
      view.setUint16(0, each);
      expect(Object.is(wide[each], view.getFloat16(0))).toBe(true);
    });
  });
});
