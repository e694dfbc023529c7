import { encodeByteSequence, parseByteSequence } from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { ascii, codeOf } from "./support.ts";

describe("byte sequences, RFC 9651 §3.3.5", () => {
  it("is base64 between colons", () => {
    // RFC 9651 §3.3.5, and RFC 4648 §10.
    const examples = [
      ["", "::"],
      ["f", ":Zg==:"],
      ["fo", ":Zm8=:"],
      ["foo", ":Zm9v:"],
      ["foob", ":Zm9vYg==:"],
      ["fooba", ":Zm9vYmE=:"],
      ["foobar", ":Zm9vYmFy:"],
      ["pretend this is binary content.", ":cHJldGVuZCB0aGlzIGlzIGJpbmFyeSBjb250ZW50Lg==:"],
    ] as const;
    for (const [text, field] of examples) {
      expect(encodeByteSequence(ascii(text))).toBe(field);
      expect(parseByteSequence(field)).toEqual(ascii(text));
    }
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect(encodeByteSequence(all)).toBe(`:${Buffer.from(all).toString("base64")}:`);
    expect(parseByteSequence(encodeByteSequence(all))).toEqual(all);
  });

  it("refuses what is not the one text of its bytes", async () => {
    const refused = [
      "",
      ":",
      ":::",
      "Zm9v",
      ":Zm9v",
      "Zm9v:",
      " :Zm9v:",
      ":Zm9v: ",
      ":Zm9v:;a=1",
      ":Zm9v:, :Zm9v:",
      ":Zg:",
      ":Zg=:",
      ":Zh==:",
      ":Zm9=:",
      ":Z===:",
      ":====:",
      ":Zm9v====:",
      ":Zm=v:",
      ":Zm-_:",
      ":Zm 9v:",
      ":Zm9v\n:",
      ":Zm9v:\n",
      `:${"AAAA".repeat(16_385)}:`,
    ];
    for (const text of refused) {
      expect([text, await codeOf(() => parseByteSequence(text))]).toEqual([
        text,
        "field/byte-sequence",
      ]);
    }
  });
});
