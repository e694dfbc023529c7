import { parseProblem, PROBLEM, type ProblemCode, problemDocument } from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { encodeVarint, readVarint, varintBytes } from "../../../protocol/varint.ts";
import { codeOf, hex } from "./support.ts";

function codeNamed(name: string): ProblemCode {
  const codes: readonly ProblemCode[] = [
    "malformed",
    "unknownKey",
    "replay",
    "tooLarge",
    "tooMany",
    "unavailable",
    "mediaType",
    "notFound",
    "method",
  ];
  const code = codes.find((candidate) => candidate === name);
  if (code === undefined) throw new TypeError(`no problem ${name}`);
  return code;
}

describe("problem documents, RFC 9457", () => {
  it("tell their own code back", () => {
    for (const [code, { status, type, title }] of Object.entries(PROBLEM)) {
      const document = problemDocument(codeNamed(code), "why");
      expect(document.status).toBe(status);
      expect(JSON.parse(document.body)).toEqual({ type, title, status, detail: "why" });
      expect(parseProblem(document.body)).toBe(code);
    }
    expect(new Set(Object.values(PROBLEM).map(({ type }) => type)).size).toBe(
      Object.keys(PROBLEM).length,
    );
  });

  it("knows the name that RFC 9458 §5.3 gives an unknown key", () => {
    const type = "https://iana.org/assignments/http-problem-types#ohttp-key";
    expect(parseProblem(JSON.stringify({ type }))).toBe("unknownKey");
  });

  it("takes nothing else for one", () => {
    const other = [
      "",
      "{",
      "null",
      "[]",
      '"malformed"',
      "{}",
      '{"type":1}',
      '{"type":"about:blank"}',
    ];
    for (const body of other) expect(parseProblem(body)).toBeNull();
    const long = JSON.stringify({ type: PROBLEM.replay.type, detail: "x".repeat(20_000) });
    expect(parseProblem(long)).toBeNull();
  });
});

describe("varints, RFC 9000 §16", () => {
  it("encodes the examples of §A.1 and the edges of each length", () => {
    const examples: readonly (readonly [number, string])[] = [
      [37, "25"],
      [15_293, "7bbd"],
      [494_878_333, "9d7f3e7d"],
      [0, "00"],
      [63, "3f"],
      [64, "4040"],
      [16_383, "7fff"],
      [16_384, "80004000"],
      [1_073_741_823, "bfffffff"],
      [1_073_741_824, "c000000040000000"],
      [Number.MAX_SAFE_INTEGER, "c01fffffffffffff"],
    ];
    for (const [value, text] of examples) {
      expect(encodeVarint(value)).toEqual(hex(text));
      expect(varintBytes(value)).toBe(text.length / 2);
      expect(readVarint(hex(text), 0, "ohttp/too-large")).toBe(value);
    }
  });

  it("reads longer forms, and nothing above 2^53 - 1", async () => {
    expect(readVarint(hex("4025"), 0, "ohttp/too-large")).toBe(37);
    expect(readVarint(hex("c000000000000025"), 0, "ohttp/too-large")).toBe(37);
    for (const text of ["c020000000000000", "ffffffffffffffff"]) {
      expect(await codeOf(() => readVarint(hex(text), 0, "ohttp/too-large"))).toBe(
        "ohttp/too-large",
      );
    }
    for (const value of [-1, 1.5, Number.NaN, 2 ** 53]) {
      expect(() => encodeVarint(value)).toThrow(TypeError);
    }
  });
});
