import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { makeLab } from "../../fuzz/lab.ts";
import { Random } from "../../fuzz/random.ts";
import { all, inside, isMinimal, under, write } from "../../fuzz/tree/element.ts";
import { mutateJson, readJson, writeJson } from "../../fuzz/tree/json.ts";
import { mutateTree } from "../../fuzz/tree/mutation.ts";
import { readCbor, readDer, unfold } from "../../fuzz/tree/reading.ts";

const lab = await makeLab(1);
const wholes = [...lab.documents, ...lab.bundles, ...lab.proofs];
const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));

describe("a tree", () => {
  it("is written as it was read, unfolded or not", () => {
    for (const whole of wholes) {
      const root = readCbor(whole);
      if (root === null) throw new TypeError("unreadable");
      expect(write(root)).toEqual(whole);
      expect(write(unfold(root))).toEqual(whole);
    }
    for (const der of lab.chains.flat()) {
      const root = readDer(der);
      if (root === null) throw new TypeError("unreadable");
      expect(write(unfold(root))).toEqual(der);
    }
  });

  it("of any bytes is none, or says the same", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (any) => {
        const roots = [readCbor(any), readDer(any)].filter((root) => root !== null);
        for (const root of roots) expect(write(unfold(root))).toEqual(any);
      }),
      { numRuns: 2000 },
    );
  });

  it("reaches certificates in a document in a bundle in a proof", () => {
    const root = readCbor(lab.proofs[0] ?? new Uint8Array());
    const kinds = root === null ? [] : all(unfold(root)).map(({ format }) => format);
    expect(kinds.filter((format) => format === "der").length).toBeGreaterThan(100);
  });

  it.each([
    ["1800", false],
    ["17", true],
    ["1817", false],
    ["1818", true],
    ["190018", false],
    ["5801ff", false],
    ["41ff", true],
    ["9fff", false],
    ["bfff", false],
    ["80", true],
    ["fb7ff8000000000000", true],
  ])("knows the shortest form of %s: %s", (hex, minimal) => {
    const root = readCbor(bytes(hex));
    expect(root === null ? null : isMinimal(root)).toBe(minimal);
  });

  it.each([
    ["300302017f", true],
    ["30810302017f", false],
    ["3004028101ff", false],
  ])("knows the shortest form of DER %s: %s", (hex, minimal) => {
    const root = readDer(bytes(hex));
    expect(root === null ? null : isMinimal(root)).toBe(minimal);
  });

  it.each(["", "18", "4101ff", "81", "5f41ffff", "1c", "a1", "bf01ff", "0000"])(
    "is none of %s",
    (hex) => {
      expect(readCbor(bytes(hex))).toBeNull();
    },
  );

  it("finds what is under a key", () => {
    // {1: 2, "a": h'ff', -70001: 3}
    const map = readCbor(bytes("a30102616141ff3a0001117003")) ?? undefined;
    expect(under(map, 1)?.value).toBe(2n);
    expect(inside(under(map, "a"))).toEqual(Uint8Array.of(0xff));
    expect(under(map, -70001)?.value).toBe(3n);
    expect(under(map, 2)).toBeUndefined();
  });
});

describe("mutation of a tree", () => {
  const mutant = (seed: number): Uint8Array => {
    const [root, other] = [readCbor(lab.documents[0] ?? bytes("")), readCbor(bytes("8301f66161"))];
    if (root === null || other === null) throw new TypeError("unreadable");
    mutateTree(new Random(seed), unfold(root), other);
    return write(root);
  };

  it("follows from the seed", () => {
    for (let seed = 0; seed < 50; seed++) expect(mutant(seed)).toEqual(mutant(seed));
    expect(
      new Set(Array.from({ length: 50 }, (_, seed) => mutant(seed).join())).size,
    ).toBeGreaterThan(40);
  });

  it("mostly keeps lengths right: what comes of it can be read", () => {
    const read = Array.from({ length: 200 }, (_, seed) => readCbor(mutant(seed)));
    expect(read.filter((root) => root !== null).length).toBeGreaterThan(150);
  });
});

describe("JSON", () => {
  it("is written as it was read", () => {
    const text = JSON.stringify(JSON.parse(lab.strict.policy));
    const root = readJson(text);
    expect(root === null ? null : writeJson(root)).toBe(text);
    expect(readJson("{")).toBeNull();
  });

  it("mutates into mistakes, members that are there twice among them", () => {
    const texts = Array.from({ length: 300 }, (_, seed) => {
      const [root, other] = [readJson(lab.strict.policy), readJson(lab.lax.policy)];
      if (root === null || other === null) throw new TypeError("unreadable");
      mutateJson(new Random(seed), root, other);
      return writeJson(root);
    });
    const twice = texts.filter((text) => text.split('"version":').length > 2);
    expect(twice.length).toBeGreaterThan(0);
    expect(texts.filter((text) => readJson(text) === null).length).toBeGreaterThan(0);
  });
});
