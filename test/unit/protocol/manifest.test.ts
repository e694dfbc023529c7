import { type CborValue, encodeCbor } from "@countersign/attestation";
import {
  encodeManifest,
  type ManifestEntry,
  MAX_MANIFEST_ENTRIES,
  parseManifest,
  requireSafePath,
} from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { codeOf, hex } from "./support.ts";

const DIGEST = new Uint8Array(32).fill(7);

function entry(path: string, size = 1): ManifestEntry {
  return { path, size, sha256: DIGEST };
}

const ATTACKS = [
  "",
  "/",
  "/etc/passwd",
  "//a",
  "..",
  "../a",
  "a/..",
  "a/../b",
  "a/../../b",
  ".",
  "./a",
  "a/.",
  "a/./b",
  "a//b",
  "a/",
  "a\\b",
  "..\\a",
  "C:\\a",
  "a\u0000",
  "a\u0000.onnx",
  "a\nb",
  "a\rb",
  "a\tb",
  "\u001b[31m",
  "a\u007f",
  "a\u0085b",
  "a\u009f",
  // Decomposed: "é" as two characters.
  "cafe\u0301",
  // Half of a surrogate pair.
  "a\ud800",
  "\udc00",
  "a".repeat(256),
  `${"a".repeat(255)}/${"\u00e9".repeat(128)}`,
  // 1025 bytes in five segments.
  `${Array.from({ length: 5 }, () => "a".repeat(204)).join("/")}a`,
];

const SAFE = [
  "model.onnx",
  "onnx/model.onnx_data",
  "a",
  "...",
  "..a",
  "a..",
  ".hidden",
  "with space",
  "caf\u00e9",
  "\u6a21\u578b/\u{1f600}",
  "a".repeat(255),
  "\u00e9".repeat(127),
  // 1024 bytes in five segments of 204 with four slashes.
  Array.from({ length: 5 }, () => "a".repeat(204)).join("/"),
];

describe("paths", () => {
  for (const path of ATTACKS) {
    it(`refuses ${JSON.stringify(path.slice(0, 40))}`, async () => {
      expect(await codeOf(() => requireSafePath(path))).toBe("manifest/path");
      expect(await codeOf(() => encodeManifest([entry(path)]))).toBe("manifest/path");
      if (!path.isWellFormed()) return;
      const bytes = encodeCbor([[path, 1, DIGEST]]);
      expect(await codeOf(() => parseManifest(bytes))).toBe("manifest/path");
    });
  }

  it("takes ordinary ones, to the last byte of each limit", () => {
    for (const path of SAFE) {
      expect(requireSafePath(path)).toBe(path);
      expect(parseManifest(encodeManifest([entry(path)]))).toEqual([entry(path)]);
    }
  });
});

describe("manifests", () => {
  it("is deterministic CBOR of rows sorted by the bytes of the path", () => {
    const sorted = ["B", "a", "a-b", "a.b", "a0", "\u00e9", "\uffee", "\u{1f600}"].map((p) =>
      entry(p),
    );
    const bytes = encodeManifest(sorted.toReversed());
    expect(parseManifest(bytes)).toEqual(sorted);
    expect(bytes).toEqual(encodeCbor(sorted.map(({ path }) => [path, 1, DIGEST] as const)));
    expect(encodeManifest([entry("a", 300)])).toEqual(hex(`8183616119012c5820${"07".repeat(32)}`));
    expect(parseManifest(encodeManifest([]))).toEqual([]);
  });

  it("refuses a path twice, and a file that is also a directory", async () => {
    for (const paths of [
      ["a", "a"],
      ["a", "a/b"],
      ["a/b/c", "a/b"],
      ["a", "a-b", "a.b", "a/b"],
    ]) {
      const entries = paths.map((p) => entry(p));
      expect(await codeOf(() => encodeManifest(entries))).toBe("manifest/path");
    }
    const rows = [
      ["a", 1, DIGEST] as const,
      ["a-", 1, DIGEST] as const,
      ["a/b", 1, DIGEST] as const,
    ];
    expect(await codeOf(() => parseManifest(encodeCbor(rows)))).toBe("manifest/path");
  });

  it("refuses rows out of order or of another form", async () => {
    const bad: readonly CborValue[] = [
      null,
      1,
      "a",
      new Map([[1, 2]]),
      [
        ["b", 1, DIGEST],
        ["a", 1, DIGEST],
      ],
      [
        ["a", 1, DIGEST],
        ["a", 1, DIGEST],
      ],
      [[]],
      ["a"],
      [["a", 1]],
      [["a", 1, DIGEST, 1]],
      [[DIGEST, 1, DIGEST]],
      [["a", -1, DIGEST]],
      [["a", "1", DIGEST]],
      [["a", 2n ** 60n, DIGEST]],
      [["a", 1, DIGEST.subarray(1)]],
      [["a", 1, new Uint8Array(33)]],
      [["a", 1, "07"]],
    ];
    for (const value of bad) {
      expect(await codeOf(() => parseManifest(encodeCbor(value)))).toBe("manifest/structure");
    }
    for (const text of ["", "80ff", "9fff", "8183616118015820", "ff"]) {
      expect(await codeOf(() => parseManifest(hex(text)))).toBe("manifest/structure");
    }
    const entries = [{ ...entry("a"), size: 1.5 }];
    expect(await codeOf(() => encodeManifest(entries))).toBe("manifest/structure");
  });

  it("has a limit on files", async () => {
    const names = Array.from({ length: MAX_MANIFEST_ENTRIES + 1 }, (_, i) => entry(`f${i}`));
    const most = encodeManifest(names.slice(1));
    expect(parseManifest(most)).toHaveLength(MAX_MANIFEST_ENTRIES);
    expect(await codeOf(() => encodeManifest(names))).toBe("manifest/too-large");
    const rows = names
      .map(({ path }) => [path, 1, DIGEST] as const)
      .toSorted((a, b) => (a[0] < b[0] ? -1 : 1));
    expect(await codeOf(() => parseManifest(encodeCbor(rows)))).toBe("manifest/too-large");
  });
});
