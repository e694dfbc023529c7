import { describe, expect, it } from "vitest";
import { differences, lineDiff, readCheckedIn, UPDATE } from "./generate.ts";
import { publicIndexes, publicSurfaces } from "./surfaces.ts";

/** Without a comparison of vitest's own, which would show the differences a second time. */
function expectNoDifferences(found: readonly string[]): void {
  if (found.length === 0) return;
  throw new Error(`${found.join("\n\n")}\n\nReviewed? Then: ${UPDATE}`);
}

describe("the public types", () => {
  it("are of the packages that others import", () => {
    expect(publicIndexes().map(({ specifier }) => specifier)).toEqual([
      "@countersign/attestation",
      "@countersign/attestation/evidence",
      "@countersign/attestation/attester",
      "@countersign/attestation/key-request",
      "@countersign/protocol",
      "@countersign/protocol/native",
      "@countersign/protocol/web",
      "@countersign/protocol/fallback",
      "@countersign/vsock",
      "@countersign/image",
      "@countersign/sealing",
      "@countersign/client",
    ]);
  });

  it("are those that are checked in", async () => {
    expectNoDifferences(differences(readCheckedIn(), await publicSurfaces()));
  });

  it("are compared file by file, and no file is left over", () => {
    const surface = { specifier: "p", source: "p/index.ts", file: "p.d.ts", text: "a\n" };
    expect(differences(new Map([["p.d.ts", "a\n"]]), [surface])).toEqual([]);
    expect(differences(new Map([["p.d.ts", "b\n"]]), [surface])).toEqual([
      "p: test/api/p.d.ts\n- b\n+ a\n  ",
    ]);
    expect(differences(new Map([["q.d.ts", "a\n"]]), [surface])).toEqual([
      "p: test/api/p.d.ts is not there",
      "nothing exports what is in test/api/q.d.ts",
    ]);
  });
});

describe("a difference", () => {
  it("is shown with what is around it, below the declaration that it belongs to", () => {
    const members = ["a: 1;", "b: 2;", "c: 3;", "d: 4;", "e: 5;", "f: 6;"].map(
      (line) => `  ${line}`,
    );
    const before = ["interface A {", ...members, "}", "type B = 1;", "type C = 1;"];
    const after = before.map((line) => line.replace("f: 6", "f: 7"));
    expect(lineDiff(before.join("\n"), after.join("\n"))).toBe(
      [
        "@@ interface A {",
        "    c: 3;",
        "    d: 4;",
        "    e: 5;",
        "-   f: 6;",
        "+   f: 7;",
        "  }",
        "  type B = 1;",
        "  type C = 1;",
      ].join("\n"),
    );
    expect(lineDiff("one\ntwo", "one\ntwo")).toBe("");
  });
});
