/**
 * Small tokenizers of each kind that models come with, as their tokenizer.json.
 *
 * What Hugging Face's own library makes of {@link tokenizerExamples} is in tokenizer-expectations.json,
 * which tokenizer-oracle.py writes.
 */

export type Json =
  null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface TokenizerJson {
  readonly [key: string]: Json;
}

const SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
/** GPT-2's byte-to-character table. */
const BYTE_CHARACTERS = byteCharacters();
/** Qwen's and, but for one lookahead, Llama 3's. */
const SPLIT =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Byte-level BPE, as Qwen, SmolLM and Llama 3 have it. Words get a token each, by merges from the left. */
export function byteLevelTokenizer(words: readonly string[] = []): TokenizerJson {
  const vocab = new Map(BYTE_CHARACTERS.map((character, id) => [character, id]));
  const merges: string[] = [];
  for (const word of words) {
    const characters = Array.from(new TextEncoder().encode(word), (b) => BYTE_CHARACTERS[b] ?? "");
    addMerges(characters, vocab, merges);
  }
  return {
    ...FRAME,
    added_tokens: addedTokens(SPECIALS, vocab.size),
    normalizer: { type: "NFC" },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: SPLIT }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    post_processor: {
      type: "ByteLevel",
      add_prefix_space: false,
      trim_offsets: false,
      use_regex: false,
    },
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: bpe(vocab, merges, { byte_fallback: false, unk_token: null, fuse_unk: false }),
  };
}

/** SentencePiece's BPE with bytes for unknown characters, as Llama 2 and Phi 3 have it. */
export function sentencePieceTokenizer(words: readonly string[] = []): TokenizerJson {
  const vocab = new Map<string, number>(["<unk>", "<s>", "</s>"].map((piece, id) => [piece, id]));
  for (let byte = 0; byte < 256; byte++) {
    vocab.set(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, vocab.size);
  }
  for (const character of "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?é") {
    vocab.set(character, vocab.size);
  }
  const merges: string[] = [];
  for (const word of words) addMerges(Array.from(word), vocab, merges);
  return {
    ...FRAME,
    added_tokens: addedTokens(["<unk>", "<s>", "</s>"], 0),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [
        { SpecialToken: { id: "<s>", type_id: 0 } },
        { Sequence: { id: "A", type_id: 0 } },
        { Sequence: { id: "B", type_id: 1 } },
      ],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: bpe(vocab, merges, { byte_fallback: true, unk_token: "<unk>", fuse_unk: true }),
  };
}

/** SentencePiece's Unigram, as T5 and XLM-RoBERTa have it. */
export function unigramTokenizer(words: readonly string[] = []): TokenizerJson {
  const pieces: (readonly [string, number])[] = [
    ["<s>", 0],
    ["</s>", 0],
    ["<unk>", 0],
  ];
  for (const character of "▁abcdefghijklmnopqrstuvwxyz.,!?é") pieces.push([character, -8]);
  for (const [i, word] of words.entries()) pieces.push([word, -3 - i / 8]);
  return {
    ...FRAME,
    added_tokens: addedTokens(["<s>", "</s>", "<unk>"], 0),
    normalizer: { type: "Lowercase" },
    pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
    post_processor: null,
    decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
    model: { type: "Unigram", unk_id: 2, vocab: pieces, byte_fallback: false },
  };
}

/** BERT's WordPiece, as MiniLM, BGE and E5 have it. */
export function wordPieceTokenizer(words: readonly string[] = []): TokenizerJson {
  const vocab = new Map(
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map((piece, id) => [piece, id]),
  );
  for (const character of "abcdefghijklmnopqrstuvwxyz.,!?") {
    vocab.set(character, vocab.size);
    vocab.set(`##${character}`, vocab.size);
  }
  for (const word of words) vocab.set(word, vocab.size);
  const around = (id: string): Json => ({ SpecialToken: { id, type_id: 0 } });
  return {
    ...FRAME,
    added_tokens: addedTokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], 0),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "TemplateProcessing",
      single: [around("[CLS]"), { Sequence: { id: "A", type_id: 0 } }, around("[SEP]")],
      pair: [around("[CLS]"), { Sequence: { id: "A", type_id: 0 } }, around("[SEP]")],
      special_tokens: {
        "[CLS]": { id: "[CLS]", ids: [2], tokens: ["[CLS]"] },
        "[SEP]": { id: "[SEP]", ids: [3], tokens: ["[SEP]"] },
      },
    },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocab),
    },
  };
}

/** One of each kind, with some words. */
export function tokenizerExamples(): Readonly<Record<string, TokenizerJson>> {
  const words = [" the", " hello", "hello", " world", "ing", " é", "語言", "12"];
  return {
    byteLevel: byteLevelTokenizer(words),
    sentencePiece: sentencePieceTokenizer(["▁the", "▁hello", "hello", "▁world", "ing", "!!"]),
    unigram: unigramTokenizer(["▁the", "▁hello", "hell", "▁world", "ing", "wor"]),
    wordPiece: wordPieceTokenizer(["the", "hello", "world", "##ing", "##orld"]),
  };
}

const FRAME: TokenizerJson = { version: "1.0", truncation: null, padding: null };

function bpe(vocab: Map<string, number>, merges: readonly string[], options: TokenizerJson): Json {
  return {
    type: "BPE",
    dropout: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    ...options,
    vocab: Object.fromEntries(vocab),
    merges,
  };
}

/** A piece for every beginning of two symbols or more. */
function addMerges(symbols: readonly string[], vocab: Map<string, number>, merges: string[]): void {
  let left = symbols[0] ?? "";
  for (const right of symbols.slice(1)) {
    const merge = `${left} ${right}`;
    left += right;
    if (vocab.has(left)) continue;
    vocab.set(left, vocab.size);
    merges.push(merge);
  }
}

function addedTokens(contents: readonly string[], first: number): readonly Json[] {
  return contents.map((content, i) => ({
    id: first + i,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
}

function byteCharacters(): readonly string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : next++);
  });
}
