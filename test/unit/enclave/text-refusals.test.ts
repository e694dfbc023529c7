import { describe, expect, it } from "vitest";
import { readTokenTexts } from "../../../enclave/text/token-bytes.ts";
import { parseSection } from "../../../enclave/text/model-json.ts";
import { readDecoderSettings } from "../../../enclave/text/decoder-config.ts";
import { refusalOf, sectionOf, tokenizerOf } from "../../fakes/text-files.ts";
import { byteLevelTokenizer, type Json, unigramTokenizer } from "../../fakes/tokenizers.ts";

const BPE = byteLevelTokenizer(["ing"]);
const UNIGRAM = unigramTokenizer(["▁the"]);
const utf8 = new TextEncoder();

/** A member of an object, `path` apart by dots, replaced. */
function withMember(value: Json, path: string, replacement: unknown): Json {
  const copy: Json = structuredClone(value);
  let object: unknown = copy;
  const keys = path.split(".");
  for (const key of keys.slice(0, -1)) object = Reflect.get(Object(object), key);
  Reflect.set(Object(object), keys.at(-1) ?? "", replacement);
  return copy;
}

const ADDED = { id: 300, content: "<x>", special: true };

describe("a tokenizer.json that is refused, with the field's name", () => {
  it.each<[string, Json, string, unknown]>([
    ["no model", BPE, "model", null],
    ["a model of another type", BPE, "model.type", "WordLevel"],
    ["no merges", BPE, "model.merges", null],
    ["a merge of one piece", BPE, "model.merges", ["in"]],
    ["a merge of three", BPE, "model.merges", ["i n g"]],
    ["a merge of numbers", BPE, "model.merges", [[1, 2]]],
    ["a merge that is a number", BPE, "model.merges", [5]],
    ["a merge into nothing", BPE, "model.merges", ["z q"]],
    ["a merge of a piece that is not there", BPE, "model.merges", ["語 語"]],
    ["no vocabulary", BPE, "model.vocab", null],
    ["an empty vocabulary", BPE, "model.vocab", {}],
    ["dropout", BPE, "model.dropout", 0.1],
    ["a suffix", BPE, "model.end_of_word_suffix", "</w>"],
    ["a prefix", BPE, "model.continuing_subword_prefix", "##"],
    ["pieces without scores", UNIGRAM, "model.vocab", [["a"]]],
    [
      "a piece twice",
      UNIGRAM,
      "model.vocab",
      [
        ["a", 0],
        ["a", 1],
      ],
    ],
    ["a vocabulary that is no list", UNIGRAM, "model.vocab", { a: 1 }],
    ["no unknown token", UNIGRAM, "model.unk_id", null],
    ["an unknown token beyond the vocabulary", UNIGRAM, "model.unk_id", 10_000],
    ["added tokens that are no list", BPE, "added_tokens", {}],
  ])("%s", (_, json, path, replacement) => {
    const refusal = refusalOf(() => tokenizerOf(withMember(json, path, replacement)));
    expect(refusal).toMatchObject({ code: "model/tokenizer", param: path.split(".").at(-1) });
  });

  it.each<[string, unknown, string]>([
    ["a piece with a fraction for an id", { a: 0.5 }, "a"],
    ["a piece with an id below zero", { a: -1 }, "a"],
    ["a piece with an id beyond all", { a: 2 ** 20 }, "a"],
    ["two pieces with one id", { a: 0, b: 0 }, "b"],
    ["a piece with half a character", { "\ud800": 0 }, "\ud800"],
  ])("%s", (_, vocab, param) => {
    const json = withMember(withMember(BPE, "model.vocab", vocab), "model.merges", []);
    expect(refusalOf(() => tokenizerOf(json))).toMatchObject({ code: "model/tokenizer", param });
  });

  it.each<[string, readonly object[], string]>([
    ["without content", [{ id: 300 }], "content"],
    ["without an id", [{ content: "<x>" }], "id"],
    ["with the id of a piece", [{ ...ADDED, id: 5 }], "id"],
    ["with another id than its piece", [{ ...ADDED, content: "a" }], "id"],
    ["twice", [ADDED, ADDED], "id"],
    ["with an id twice", [ADDED, { ...ADDED, content: "<y>" }], "id"],
    ["in whole words only", [{ ...ADDED, single_word: true }], "single_word"],
    ["that is special by a word", [{ ...ADDED, special: "yes" }], "special"],
  ])("an added token %s", (_, tokens, param) => {
    const json = withMember(BPE, "added_tokens", tokens);
    expect(refusalOf(() => tokenizerOf(json))).toMatchObject({ code: "model/tokenizer", param });
  });

  it.each<[string, string, object | null]>([
    ["a normalizer", "normalizer", { type: "Magic" }],
    ["a pre-tokenizer", "pre_tokenizer", { type: "Magic" }],
    ["a post-processor", "post_processor", { type: "Magic" }],
    ["a decoder", "decoder", { type: "Magic" }],
    [
      "a pattern",
      "pre_tokenizer",
      { type: "Split", pattern: { Regex: "(" }, behavior: "Isolated" },
    ],
    [
      "a kind of split",
      "pre_tokenizer",
      { type: "Split", pattern: { Regex: "a" }, behavior: "MergedWithNext" },
    ],
    [
      "an inverted split",
      "pre_tokenizer",
      { type: "Split", pattern: { Regex: "a" }, behavior: "Isolated", invert: true },
    ],
    ["a kind of punctuation", "pre_tokenizer", { type: "Punctuation", behavior: "Isolated" }],
    ["a place for the first space", "pre_tokenizer", { type: "Metaspace", prepend_scheme: "last" }],
    [
      "tokens around a text",
      "post_processor",
      {
        type: "TemplateProcessing",
        single: [{ SpecialToken: { id: "<none>", type_id: 0 } }],
        pair: [],
      },
    ],
  ])("%s that is not known", (_, key, step) => {
    const refusal = refusalOf(() => tokenizerOf(withMember(BPE, key, step)));
    expect(refusal.code).toBe("model/tokenizer");
  });

  it("but not Gemma's split at spaces that are gone by then", () => {
    const replace = { type: "Replace", pattern: { String: " " }, content: "▁" };
    const split = { type: "Split", pattern: { String: " " }, behavior: "MergedWithPrevious" };
    const json = withMember(withMember(BPE, "normalizer", replace), "pre_tokenizer", split);
    expect(tokenizerOf(json).encode("ing", "recognise").length).toBeGreaterThan(0);
    expect(refusalOf(() => tokenizerOf(withMember(json, "normalizer", null))).param).toBe(
      "behavior",
    );
  });

  it.each([
    ["a role that no token has", { eos_token: "<none>" }, "eos_token"],
    ["a role that is no text", { bos_token: 5 }, "bos_token"],
    ["a role without content", { pad_token: { content: 5 } }, "pad_token"],
  ])("%s, in the configuration", (_, config, param) => {
    expect(refusalOf(() => tokenizerOf(BPE, config))).toMatchObject({
      code: "model/config",
      param,
    });
  });
});

describe("a decoder without bytes for single tokens", () => {
  const strip = { type: "Strip", content: " ", start: 1, stop: 0 };
  const replace = { type: "Replace", pattern: { String: "▁" }, content: " " };
  const fuse = { type: "Fuse" };
  it.each<[string, object | null]>([
    ["none", null],
    ["WordPiece", { type: "WordPiece", prefix: "##", cleanup: true }],
    ["BPE with a suffix", { type: "BPEDecoder", suffix: "</w>" }],
    ["CTC", { type: "CTC" }],
    ["a sequence of nothing", { type: "Sequence", decoders: [] }],
    ["bytes alone", { type: "Sequence", decoders: [{ type: "ByteFallback" }, fuse] }],
    ["a replacement by pattern", { type: "Replace", pattern: { Regex: "a" }, content: "" }],
    ["stripping of each token", { type: "Sequence", decoders: [replace, strip, fuse] }],
    ["stripping of more", { type: "Sequence", decoders: [replace, fuse, { ...strip, start: 2 }] }],
    [
      "stripping of the end",
      { type: "Sequence", decoders: [replace, fuse, { ...strip, stop: 1 }] },
    ],
    [
      "stripping of letters",
      { type: "Sequence", decoders: [replace, fuse, { ...strip, content: "a" }] },
    ],
  ])("%s", (_, decoder) => {
    const tokenizer = tokenizerOf(withMember(BPE, "decoder", decoder));
    const refusal = refusalOf(() => readTokenTexts(tokenizer.file, tokenizer.special));
    expect(refusal.code).toBe("model/tokenizer");
  });
});

describe("a JSON file of a model", () => {
  const parse = (text: string | Uint8Array): unknown =>
    parseSection(
      typeof text === "string" ? utf8.encode(text) : text,
      "config.json",
      "model/config",
      1024,
    );

  it.each([
    ["is empty", ""],
    ["is cut", '{"a": 1'],
    ["is a list", "[]"],
    ["is null", "null"],
    ["has a comment", "{} //"],
    ["has a name twice", '{"a": 1, "a": 1}'],
    ["has a name twice, once in escapes", '{"a": 1, "\\u0061": 1}'],
    ["has a name twice far down", '{"x": [{"y": {"a": ":{", "b": 2, "a": 3}}]}'],
    ["is deep", `{"a": ${"[".repeat(32)}${"]".repeat(32)}}`],
    ["is long", `{"a": "${"x".repeat(1024)}"}`],
  ])("that %s is refused", (_, text) => {
    expect(refusalOf(() => parse(text)).code).toBe("model/config");
  });

  it("that is not UTF-8 is refused", () => {
    expect(
      refusalOf(() => parse(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d))).code,
    ).toBe("model/config");
  });

  it("that has a name in two objects, or as a value, is not", () => {
    expect(parse('{"a": {"a": "a"}, "b": [{"a": 1}, {"a": 2}], "c": "\\"a\\": {"}')).toBeDefined();
    expect(parse(`{"a": ${"[".repeat(31)}${"]".repeat(31)}}`)).toBeDefined();
  });
});

describe("a config.json that is refused, with the field's name", () => {
  const CONFIG = {
    model_type: "llama",
    hidden_size: 64,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    num_hidden_layers: 2,
    vocab_size: 384,
    max_position_embeddings: 512,
    eos_token_id: 1,
  };
  const read = (config: Json, generation: Json | null = null): unknown =>
    readDecoderSettings(
      sectionOf(config, "config.json", "model/config"),
      generation === null ? null : sectionOf(generation, "generation_config.json", "model/config"),
    );

  it("stands on one that is not", () => {
    expect(read(CONFIG)).toMatchObject({ headDim: 16, kvHeads: 2, endTokens: [1] });
  });

  it.each<[string, unknown]>([
    ["model_type", null],
    ["model_type", "t5"],
    ["model_type", "gemma3"],
    ["hidden_size", null],
    ["hidden_size", 65],
    ["num_attention_heads", 0],
    ["num_attention_heads", null],
    ["num_key_value_heads", 3],
    ["num_key_value_heads", 8],
    ["head_dim", 0],
    ["head_dim", "16"],
    ["num_hidden_layers", 1.5],
    ["num_hidden_layers", 513],
    ["vocab_size", null],
    ["vocab_size", 2 ** 20 + 1],
    ["max_position_embeddings", -1],
    ["max_position_embeddings", null],
    ["eos_token_id", 384],
    ["eos_token_id", [1, -1]],
    ["eos_token_id", "1"],
    ["rope_scaling", "linear"],
  ])("%s: %j", (key, value) => {
    const refusal = refusalOf(() => read(withMember(CONFIG, key, value)));
    expect(refusal).toMatchObject({ code: "model/config", param: key });
  });

  it("a rope_scaling that is not known", () => {
    const config = { ...CONFIG, rope_scaling: { rope_type: "spiral" } };
    expect(refusalOf(() => read(config)).param).toBe("rope_type");
  });

  it.each<[string, unknown]>([
    ["temperature", 2.1],
    ["temperature", -0.1],
    ["top_p", 0],
    ["top_p", 1.1],
    ["top_k", -1],
    ["top_k", 0.5],
    ["min_p", 2],
    ["repetition_penalty", 0],
    ["do_sample", "yes"],
    ["eos_token_id", 5000],
  ])("%s: %j, in generation_config.json", (key, value) => {
    const generation = withMember({}, key, value);
    expect(refusalOf(() => read(CONFIG, generation))).toMatchObject({
      code: "model/config",
      param: key,
    });
  });
});
