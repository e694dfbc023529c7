import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ReplaySet } from "../../../enclave/replay.ts";

function digest(value: number): Uint8Array {
  return new Uint8Array(createHash("sha256").update(String(value)).digest());
}

describe("ReplaySet", () => {
  it("agrees with a set of 50 000 values, each told once", () => {
    const set = new ReplaySet(50_000);
    for (let i = 0; i < 50_000; i++) expect(set.testAndSet(digest(i))).toBe("fresh");
    for (let i = 0; i < 50_000; i += 7) expect(set.testAndSet(digest(i))).toBe("replayed");
    expect(set.size).toBe(50_000);
  });

  it.each([1, 2, 3, 16, 17, 1000])("holds exactly %i entries, then says full", (capacity) => {
    const set = new ReplaySet(capacity);
    for (let i = 0; i < capacity; i++) {
      expect(set.full).toBe(false);
      expect(set.testAndSet(digest(i))).toBe("fresh");
    }
    expect(set.full).toBe(true);
    expect(set.testAndSet(digest(capacity))).toBe("full");
    // Nothing is evicted: a replay is still a replay.
    for (let i = 0; i < capacity; i++) expect(set.testAndSet(digest(i))).toBe("replayed");
  });

  it("tells when fifteen sixteenths are taken", () => {
    const set = new ReplaySet(32);
    for (let i = 0; i < 29; i++) set.testAndSet(digest(i));
    expect(set.nearlyFull).toBe(false);
    set.testAndSet(digest(29));
    expect(set.nearlyFull).toBe(true);
  });

  it("keeps apart digests that begin alike, that fall on one slot, or are zero", () => {
    const set = new ReplaySet(64);
    const zero = new Uint8Array(32);
    expect(set.testAndSet(zero)).toBe("fresh");
    expect(set.testAndSet(zero)).toBe("replayed");
    for (let byte = 0; byte < 16; byte++) {
      const near = new Uint8Array(32);
      near[byte] = 0x80;
      expect(set.testAndSet(near)).toBe("fresh");
      expect(set.testAndSet(near)).toBe("replayed");
    }
  });

  it("takes nothing after it is destroyed", () => {
    const set = new ReplaySet(8);
    set.testAndSet(digest(1));
    set.destroy();
    expect(set.testAndSet(digest(1))).toBe("full");
    expect(set.testAndSet(digest(2))).toBe("full");
  });

  it.each([0, -1, 1.5, Number.NaN, 2 ** 24 + 1])("refuses a capacity of %d", (capacity) => {
    expect(() => new ReplaySet(capacity)).toThrow(TypeError);
  });
});
