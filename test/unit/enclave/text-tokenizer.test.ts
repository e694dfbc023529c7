import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { createDetokenizer } from "../../../enclave/text/detokenizer.ts";
import { readTokenTexts } from "../../../enclave/text/token-bytes.ts";
import type { Tokenizer } from "../../../enclave/text/tokenizer.ts";
import { refusalOf, tokenizerOf } from "../../fakes/text-files.ts";
import { tokenizerExamples } from "../../fakes/tokenizers.ts";

const TOKENIZERS = tokenizerExamples();
/** Those whose tokens have bytes of their own. */
const STREAMED = ["byteLevel", "sentencePiece", "unigram"] as const;

/** The library itself. Its types do not compile under nodenext, so its name is no literal here. */
interface Library {
  readonly BPE: { readonly prototype: { clear_cache(): void } };
  readonly Tokenizer: new (
    tokenizer: object,
    config: object,
  ) => {
    decode(ids: readonly number[], options: { readonly skip_special_tokens: boolean }): string;
  };
}
const LIBRARY: string = "@huggingface/tokenizers";
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a module by its name is any
const library = (await import(LIBRARY)) as Library;

interface Expectations {
  readonly texts: readonly string[];
  /** By Hugging Face's tokenizers, the Rust library, from the same files. */
  readonly tokenizers: Readonly<
    Record<
      string,
      readonly { readonly add: number[]; readonly recognise: number[]; readonly text: string }[]
    >
  >;
}

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by tokenizer-oracle.py
const EXPECTED = JSON.parse(
  readFileSync(new URL("../../fakes/tokenizer-expectations.json", import.meta.url), "utf8"),
) as Expectations;

function tokenizerNamed(name: string): Tokenizer {
  return tokenizerOf(TOKENIZERS[name] ?? null);
}

/** Text of tokens that are pushed one at a time. */
function streamed(tokenizer: Tokenizer, tokens: readonly number[]): string {
  const texts = readTokenTexts(tokenizer.file, tokenizer.special);
  const detokenizer = createDetokenizer(texts, "beginning");
  return tokens.map((token) => detokenizer.push(token)).join("") + detokenizer.end();
}

describe("tokens are those of Hugging Face's own library", () => {
  const cases = Object.entries(EXPECTED.tokenizers).flatMap(([name, results]) =>
    results.map((result, i) => ({ name, text: EXPECTED.texts[i] ?? "", result })),
  );

  it.each(cases)("$name: $text", ({ name, text, result }) => {
    const tokenizer = tokenizerNamed(name);
    expect([...tokenizer.encode(text, "add")]).toEqual(result.add);
    expect([...tokenizer.encode(text, "recognise")]).toEqual(result.recognise);
  });

  const readable = cases.filter(({ name }) => STREAMED.some((each) => each === name));
  it.each(readable)("and text again, $name: $text", ({ name, result }) => {
    expect(streamed(tokenizerNamed(name), result.recognise)).toBe(result.text);
  });
});

describe("streamed text", () => {
  it.each(STREAMED)("of %s is what the library decodes at once", (name) => {
    const tokenizer = tokenizerNamed(name);
    const whole = new library.Tokenizer(TOKENIZERS[name] ?? {}, {
      clean_up_tokenization_spaces: false,
    });
    const token = fc.nat(tokenizer.file.pieces.length - 1);
    fc.assert(
      fc.property(fc.array(token, { minLength: 1, maxLength: 24 }), (tokens) => {
        const text = whole.decode(tokens, { skip_special_tokens: true });
        // Bytes that are no UTF-8 are counted otherwise when they come one at a time.
        fc.pre(!text.includes("\u{FFFD}"));
        expect(streamed(tokenizer, tokens)).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });

  it("comes in whole characters", () => {
    const tokenizer = tokenizerNamed("byteLevel");
    const texts = readTokenTexts(tokenizer.file, tokenizer.special);
    const detokenizer = createDetokenizer(texts, "beginning");
    const pushed = [...tokenizer.encode("é🙂", "recognise")].map((id) => detokenizer.push(id));
    expect(pushed).toEqual(["", "é", "", "", "", "🙂"]);
    expect(detokenizer.end()).toBe("");
  });

  it("ends with U+FFFD where a character was never completed", () => {
    const tokenizer = tokenizerNamed("byteLevel");
    const [first = 0] = tokenizer.encode("🙂", "recognise");
    expect(streamed(tokenizer, [first])).toBe("\u{FFFD}");
    expect(streamed(tokenizer, [first, ...tokenizer.encode("a", "recognise")])).toBe("\u{FFFD}a");
  });

  it("keeps SentencePiece's first space where it goes on with a text", () => {
    const tokenizer = tokenizerNamed("sentencePiece");
    const texts = readTokenTexts(tokenizer.file, tokenizer.special);
    const tokens = [...tokenizer.encode("hello", "recognise")];
    const told = (start: "beginning" | "continuation"): string => {
      const detokenizer = createDetokenizer(texts, start);
      return tokens.map((token) => detokenizer.push(token)).join("") + detokenizer.end();
    };
    expect(told("beginning")).toBe("hello");
    expect(told("continuation")).toBe(" hello");
  });

  it("leaves special tokens out, and ids that no token has", () => {
    const tokenizer = tokenizerNamed("byteLevel");
    const [im = 0] = tokenizer.encode("<|im_start|>", "recognise");
    expect(tokenizer.special.has(im)).toBe(true);
    expect(streamed(tokenizer, [im, 104, 999_999])).toBe(streamed(tokenizer, [104]));
  });
});

describe("the token of a text's beginning", () => {
  const roles = { bos_token: "<s>", eos_token: { content: "</s>" } };
  const withoutProcessor = { ...TOKENIZERS["sentencePiece"], post_processor: null };

  it.each([
    ["tokenizer.json adds it", TOKENIZERS["sentencePiece"] ?? null, {}, true],
    [
      "the configuration says so, too",
      TOKENIZERS["sentencePiece"] ?? null,
      { add_bos_token: true },
      true,
    ],
    [
      "the configuration says not to",
      TOKENIZERS["sentencePiece"] ?? null,
      { add_bos_token: false },
      false,
    ],
    ["only the configuration says so", withoutProcessor, { add_bos_token: true }, true],
    ["nobody says so", withoutProcessor, {}, false],
  ])("%s", (_, json, config, added) => {
    const tokenizer = tokenizerOf(json, { ...roles, ...config });
    const plain = [...tokenizer.encode("hello", "recognise")];
    expect([...tokenizer.encode("hello", "add")]).toEqual(added ? [1, ...plain] : plain);
  });
});

describe("texts that are refused", () => {
  it.each([
    ["half a character", "a\ud800b"],
    ["the other half", "\udc00"],
    ["a noncharacter of ours", "a\u{FDD0}"],
  ])("%s", (_, text) => {
    expect(refusalOf(() => tokenizerNamed("byteLevel").encode(text, "add")).code).toBe(
      "request/parameter",
    );
  });

  it("one longer than the context can be, on both sides of the limit", () => {
    const tokenizer = tokenizerOf(TOKENIZERS["byteLevel"] ?? null, null, 10);
    expect(tokenizer.encode("é".repeat(40), "add").length).toBe(80);
    for (const text of [`${"é".repeat(40)}a`, "a".repeat(81), "a".repeat(10_000_000)]) {
      expect(refusalOf(() => tokenizer.encode(text, "add")).code).toBe("prompt/too-long");
    }
  });

  it("one beyond what is tokenized at all, whatever the context", () => {
    const tokenizer = tokenizerOf(TOKENIZERS["byteLevel"] ?? null, null, 4_000_000);
    const text = "a".repeat(1_048_577);
    expect(refusalOf(() => tokenizer.encode(text, "add")).code).toBe("prompt/too-long");
  });

  it("one that spells a special token which the vocabulary has as a piece", () => {
    const tokenizer = tokenizerNamed("unigram");
    const spelled = "a <\u{FDD0}s> b";
    expect(refusalOf(() => tokenizer.encode(spelled, "recognise")).code).toBe("prompt/template");
  });
});

describe("text without spaces", () => {
  it.each(["a", " ", "🙂", "\n", "1", "<"])("of %j takes time in proportion", (character) => {
    for (const name of STREAMED) {
      const tokenizer = tokenizerOf(TOKENIZERS[name] ?? null, null, 100_000);
      /** Processor time of one encoding, so that others on the machine do not count. */
      const takes = (length: number, runs: number): number => {
        const text = character.repeat(length);
        const before = process.cpuUsage();
        for (let run = 0; run < runs; run++) tokenizer.encode(text, "recognise");
        const { user, system } = process.cpuUsage(before);
        return (user + system) / runs;
      };
      takes(1500, 32);
      // 32 times the text: 32 times the time, and 1024 times where it grew as the square.
      expect(takes(48_000, 1) / takes(1500, 32)).toBeLessThan(256);
    }
  });
});

describe("words of one caller do not make those of another faster", () => {
  it("since nothing is kept of them", () => {
    const tokenizer = tokenizerNamed("byteLevel");
    const forget = vi.spyOn(library.BPE.prototype, "clear_cache");
    tokenizer.encode("hello world", "recognise");
    expect(forget).toHaveBeenCalledTimes(1);
    forget.mockRestore();
  });
});
