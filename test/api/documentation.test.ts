import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { documentationGaps } from "./documentation.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

describe("what a verifier's author reads", () => {
  const read = (path: string): string => readFileSync(ROOT + path, "utf8");
  const codes = new Set(read("attestation/errors.ts").match(/(?<=")[a-z0-9-]+\/[a-z0-9-]+(?=")/gu));

  it("says what each exported name is, and with which codes a function refuses", () => {
    expect(codes.size).toBeGreaterThan(60);
    const gaps = documentationGaps("attestation/index.ts", read, codes);
    expect(gaps.map(({ name, missing }) => `${name}: ${missing}`)).toEqual([]);
  });

  /** What is missing of a module whose one export is `text`, beside others. */
  function gapsOf(text: string): readonly string[] {
    const modules: Readonly<Record<string, string>> = {
      "p/index.ts": 'export { type A, f } from "./f.ts";\n',
      "p/f.ts": `import { E, requireIt, type Other } from "./e.ts";\n\n/** A. */\nexport type A = 1;\n\n${text}\n`,
      "p/e.ts":
        "export class E {\n  constructor() {\n    requireIt();\n  }\n}\n\n" +
        "/** It. @throws {@link AttestationError} `cbor/utf8`. */\nexport function requireIt(): void {\n" +
        '  throw new AttestationError("cbor/utf8", "text");\n}\n',
    };
    const readFake = (path: string): string => modules[path] ?? "";
    return documentationGaps("p/index.ts", readFake, codes).map(({ name, missing }) => {
      expect(name).toBe("f");
      return missing;
    });
  }

  it.each([
    ["nothing above it", "export function f(): void {}", ["a doc comment"]],
    ["a comment for no reader", "/* F. */\nexport const f = 1;", ["a doc comment"]],
    ["a comment further up", "/** F. */\n\nexport const f = 1;", ["a doc comment"]],
    ["a comment, and a note to a tool", "/** F. */\n// prettier-ignore\nexport const f = 1;", []],
    [
      "a code there is not",
      "/** @throws `cbor/none`. */\nexport const f = 1;",
      ["a code that exists, in place of cbor/none"],
    ],
    [
      "a stage there is not",
      "/** @throws `none/…`. */\nexport const f = 1;",
      ["a code that exists, in place of none/…"],
    ],
    ["a media type", "/** F of `text/plain`. */\nexport const f = 1;", []],
    ["a stage of codes", "/** @throws `cbor/…`. */\nexport const f = 1;", []],
    [
      "no word on its refusal",
      "/** F. */\nexport function f(): void {\n  throw new Refusal();\n}",
      ["@throws with its codes"],
    ],
    [
      "no word on what it calls",
      "/** F. */\nexport function f(): void {\n  requireIt();\n}",
      ["@throws with its codes"],
    ],
    [
      "no word on what it makes",
      "/** F. */\nexport function f(): E {\n  return new E();\n}",
      ["@throws with its codes"],
    ],
    ["a type of what it would make", "/** F. */\nexport function f(): E {\n  return e;\n}", []],
    ["a call in a comment", "/** F. */\nexport function f(): void {\n  // requireIt()\n}", []],
    [
      "the word of another",
      "/** @throws as {@link requireIt}. */\nexport function f(): void {\n  requireIt();\n}",
      [],
    ],
    [
      "the word of no other",
      "/** @throws as {@link A}. */\nexport function f(): void {\n  requireIt();\n}",
      ["@throws with its codes"],
    ],
    ["a promise", "/** Never throws. */\nexport function f(): void {\n  requireIt();\n}", []],
    [
      "an error without a code",
      "/** F. */\nexport function f(): void {\n  throw new TypeError();\n}",
      ["@throws TypeError"],
    ],
    [
      "that error by name",
      "/** @throws TypeError. */\nexport function f(): void {\n  throw new TypeError();\n}",
      [],
    ],
  ])("finds what is missing: %s", (_, text, missing) => {
    expect(gapsOf(text)).toEqual(missing);
  });
});
