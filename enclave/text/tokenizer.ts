/** Texts to token ids, by `@huggingface/tokenizers` over a checked `tokenizer.json`. */
import { BPE, Tokenizer as Library } from "@huggingface/tokenizers";
import { EnclaveError } from "../errors.ts";
import { booleanAt, isRecord, memberAt, type Section, wrong } from "./model-json.ts";
import { MARK, patternOf } from "./plain-text.ts";
import { readTokenizerFile, type TokenizerFile } from "./tokenizer-json.ts";

export interface Tokenizer {
  readonly file: TokenizerFile;
  /** Ids whose text is no part of an answer. */
  readonly special: ReadonlySet<number>;
  /** The tokens that tokenizer_config.json names, by their role there. */
  readonly named: ReadonlyMap<NamedToken, { readonly id: number; readonly content: string }>;
  /**
   * @param specials - "add" puts the tokens of a text's beginning and end around it; "recognise" does
   * not, and takes the marks of plain-text.ts out.
   * @throws {@link EnclaveError} `prompt/too-long`, `request/parameter`, `prompt/template`.
   */
  encode(text: string, specials: "add" | "recognise"): Int32Array<ArrayBuffer>;
}

export const NAMED_TOKENS = ["bos_token", "eos_token", "pad_token", "unk_token"] as const;
export type NamedToken = (typeof NAMED_TOKENS)[number];

/**
 * Bytes of text for each token of context, beyond which a text is refused before it is tokenized:
 * languages take 2 to 5. Tokenizing takes 1 to 5 µs a byte and holds up everybody else, so its input has
 * a bound in all, too.
 */
const MAX_BYTES_PER_TOKEN = 8;
const MAX_TEXT_BYTES = 1_048_576;
const PROBE = "A probe: ä, 語, 🙂 and 42.";

/**
 * @param config - tokenizer_config.json, where there is one. @param contextLength - in tokens.
 * @throws {@link EnclaveError} `model/tokenizer`.
 */
export function createTokenizer(
  json: Section,
  config: Section | null,
  contextLength: number,
): Tokenizer {
  const file = readTokenizerFile(json);
  const named = readNamed(file, config);
  const special = new Set(file.added.filter((token) => token.special).map(({ id }) => id));
  for (const { id } of named.values()) special.add(id);
  const library = openLibrary(json, file, special, named.get("eos_token")?.content ?? null);
  const encodeIds = (text: string, add: boolean): readonly number[] => {
    try {
      return library.encode(text, { add_special_tokens: add }).ids;
    } finally {
      // Kept, the words of one caller would make the same words of another faster.
      if (library.model instanceof BPE) library.model.clear_cache();
    }
  };
  const beginning = probe(json, file, encodeIds, config, named.get("bos_token")?.id ?? null);
  const requireMarks = markCounter(file, special);
  const maxBytes = Math.min(MAX_TEXT_BYTES, MAX_BYTES_PER_TOKEN * contextLength);
  return {
    file,
    special,
    named,
    encode(text, specials) {
      requireText(text, maxBytes, specials);
      const add = specials === "add" && beginning.byLibrary;
      const ids = encodeBounded(() => encodeIds(text, add));
      requireIds(json, file, ids);
      if (text.includes(MARK)) requireMarks(text, ids);
      return Int32Array.from(specials === "add" ? [...beginning.ids, ...ids] : ids);
    },
  };
}

function openLibrary(
  json: Section,
  file: TokenizerFile,
  special: ReadonlySet<number>,
  eosToken: string | null,
): Library {
  const preTokenizer = memberAt(json, "pre_tokenizer");
  // The library looks for added tokens until then: a text that is one as a whole would be found.
  const unmark = { type: "Replace", pattern: { String: MARK }, content: "" };
  // A special token is looked for in the text as it came: what normalization makes of a caller's
  // words must not become one.
  const added = file.added.map((token) => ({
    ...token,
    normalized: token.normalized && !special.has(token.id),
  }));
  try {
    return new Library(
      {
        model: memberAt(json, "model"),
        normalizer: memberAt(json, "normalizer"),
        pre_tokenizer: {
          type: "Sequence",
          pretokenizers: preTokenizer === null ? [unmark] : [unmark, preTokenizer],
        },
        post_processor: memberAt(json, "post_processor"),
        decoder: memberAt(json, "decoder"),
        added_tokens: added,
      },
      eosToken === null ? {} : { eos_token: eosToken },
    );
  } catch (cause) {
    throw wrong(json, null, "is not one that the tokenizer library takes", cause);
  }
}

/** The tokens with a role, by name or as an object with their content. */
function readNamed(file: TokenizerFile, config: Section | null): Tokenizer["named"] {
  const named = new Map<NamedToken, { readonly id: number; readonly content: string }>();
  if (config === null) return named;
  for (const role of NAMED_TOKENS) {
    const value = memberAt(config, role);
    const content = isRecord(value) ? value["content"] : value;
    if (content === null || content === undefined) continue;
    const id = typeof content === "string" ? file.pieces.indexOf(content) : -1;
    if (typeof content !== "string" || id === -1) {
      throw wrong(config, role, "is no token of tokenizer.json");
    }
    named.set(role, { id, content });
  }
  return named;
}

/**
 * Encodes two texts, so that a tokenizer that breaks does so when it is loaded, and finds who adds the
 * token of a text's beginning: `add_bos_token` in the configuration overrules tokenizer.json.
 */
function probe(
  json: Section,
  file: TokenizerFile,
  encodeIds: (text: string, add: boolean) => readonly number[],
  config: Section | null,
  bos: number | null,
): { readonly byLibrary: boolean; readonly ids: readonly number[] } {
  let around: readonly number[];
  try {
    around = encodeIds("", true);
    requireIds(json, file, encodeIds(PROBE, true));
  } catch (cause) {
    if (cause instanceof EnclaveError) throw cause;
    throw wrong(json, null, "does not encode a text", cause);
  }
  requireIds(json, file, around);
  const wanted = config === null ? null : booleanAt(config, "add_bos_token");
  if (wanted === true && bos !== null && !around.includes(bos)) {
    return { byLibrary: true, ids: [bos] };
  }
  // Only the token of the beginning was added, so nothing else is lost.
  if (wanted === false && around.every((id) => id === bos)) return { byLibrary: false, ids: [] };
  return { byLibrary: true, ids: [] };
}

function requireText(text: string, maxBytes: number, specials: "add" | "recognise"): void {
  if (!text.isWellFormed() || (specials === "add" && text.includes(MARK))) {
    throw new EnclaveError("request/parameter", "a text holds U+FDD0 or half a character");
  }
  // A code unit is at least one byte: a text that is far too long is not even measured.
  const bytes = text.length > maxBytes ? text.length : Buffer.byteLength(text);
  if (bytes > maxBytes) {
    throw new EnclaveError("prompt/too-long", `a text of over ${maxBytes} bytes`);
  }
}

/** The library spreads the tokens of one long word into arguments, of which the stack holds some 10^5. */
function encodeBounded(encode: () => readonly number[]): readonly number[] {
  try {
    return encode();
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new EnclaveError("prompt/too-long", "one word of some hundred thousand tokens", {
      cause,
    });
  }
}

/**
 * Refuses tokens among which is one more special one than was left unmarked: a vocabulary may have its
 * text as an ordinary piece, too.
 */
function markCounter(
  file: TokenizerFile,
  special: ReadonlySet<number>,
): (text: string, ids: readonly number[]) => void {
  const contents = file.added.filter(({ id }) => special.has(id)).map(({ content }) => content);
  const pattern = patternOf(contents.toSorted((a, b) => b.length - a.length));
  return (text, ids) => {
    const wanted = pattern === null ? 0 : [...text.matchAll(pattern)].length;
    const found = ids.filter((id) => special.has(id) && id !== file.unknown).length;
    if (found <= wanted) return;
    throw new EnclaveError(
      "prompt/template",
      "a text spells a token that is the template's to write",
    );
  };
}

function requireIds(json: Section, file: TokenizerFile, ids: readonly unknown[]): void {
  for (const id of ids) {
    if (typeof id !== "number" || (file.pieces[id] ?? null) === null) {
      throw wrong(json, null, "makes tokens that it does not have");
    }
  }
}
