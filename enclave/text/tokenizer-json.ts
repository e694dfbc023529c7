/**
 * `tokenizer.json`, checked before the library sees it: the library takes much in silence that it
 * then does not honour (merges that lead nowhere, ids used twice, ways to split), and a prompt in
 * other tokens than the model was trained on is wrong without a word.
 */
import { MAX_VOCABULARY } from "./decoder-config.ts";
import {
  asSection,
  booleanAt,
  isList,
  isRecord,
  listAt,
  memberAt,
  numberAt,
  requireInteger,
  type Section,
  sectionAt,
  textAt,
  wrong,
} from "./model-json.ts";

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Not text of the answer, but a mark in it: `<s>`, `<|im_end|>`. */
  readonly special: boolean;
  /** Whether it is looked for after normalization. */
  readonly normalized: boolean;
  /** Whether it takes the white space before and after it along. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

export interface TokenizerFile {
  readonly section: Section;
  /** The piece of every id, added tokens included; null for ids that no token has. */
  readonly pieces: readonly (string | null)[];
  readonly added: readonly AddedToken[];
  /** What a text becomes that no piece covers, where the model has such a token. */
  readonly unknown: number | null;
}

const MAX_PIECE_CHARACTERS = 4096;
const MAX_ADDED = 65_536;

/** @throws {@link EnclaveError} `model/tokenizer` with the field's name. */
export function readTokenizerFile(section: Section): TokenizerFile {
  const model = sectionAt(section, "model");
  if (model === null) throw wrong(section, "model", "is missing");
  const vocabulary = readVocabulary(model);
  const added = readAdded(section, vocabulary);
  requireKnownSteps(section);
  const pieces: (string | null)[] = [];
  for (const [piece, id] of vocabulary) pieces[id] = piece;
  for (const { id, content } of added) pieces[id] = content;
  const unknown = textAt(model, "type") === "Unigram" ? memberAt(model, "unk_id") : null;
  const name = textAt(model, "unk_token");
  return {
    section,
    pieces: Array.from(pieces, (piece) => piece ?? null),
    added,
    unknown: typeof unknown === "number" ? unknown : name === null ? null : pieces.indexOf(name),
  };
}

/** Ids by piece: none twice, and every one below the limit. */
function readVocabulary(model: Section): ReadonlyMap<string, number> {
  const type = textAt(model, "type");
  switch (type) {
    case "BPE":
      return readBpe(model);
    case "WordPiece":
      requireText(model, "unk_token");
      return readIds(model);
    case "Unigram":
      return readUnigram(model);
    default:
      throw wrong(model, "type", "is none of BPE, Unigram, WordPiece");
  }
}

function readBpe(model: Section): ReadonlyMap<string, number> {
  const vocabulary = readIds(model);
  if ((numberAt(model, "dropout", 0, 1) ?? 0) !== 0) {
    throw wrong(model, "dropout", "makes tokens of a text differ from time to time");
  }
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix"]) {
    if ((textAt(model, key) ?? "") !== "") throw wrong(model, key, "is not supported");
  }
  const merges = listAt(model, "merges");
  if (merges === null) throw wrong(model, "merges", "is missing");
  const pairs = Array.isArray(merges[0]);
  for (const [i, merge] of merges.entries()) {
    const parts: unknown = pairs ? merge : typeof merge === "string" ? merge.split(" ") : null;
    if (!isList(parts) || parts.length !== 2) {
      throw wrong(model, "merges", `has an entry ${i} that is no pair`);
    }
    const [left, right] = parts;
    if (typeof left !== "string" || typeof right !== "string") {
      throw wrong(model, "merges", `has an entry ${i} that is no pair of texts`);
    }
    if (![left, right, left + right].every((piece) => vocabulary.has(piece))) {
      throw wrong(model, "merges", `has an entry ${i} of pieces that the vocabulary lacks`);
    }
  }
  return vocabulary;
}

function readIds(model: Section): ReadonlyMap<string, number> {
  const vocab = sectionAt(model, "vocab");
  if (vocab === null) throw wrong(model, "vocab", "is missing");
  const ids = new Map<string, number>();
  const seen = new Set<number>();
  for (const [piece, id] of Object.entries(vocab.members)) {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= MAX_VOCABULARY) {
      throw wrong(vocab, piece, `is no id from 0 to ${MAX_VOCABULARY - 1}`);
    }
    if (seen.has(id)) throw wrong(vocab, piece, `has the id ${id} of another piece`);
    requirePiece(vocab, piece);
    seen.add(id);
    ids.set(piece, id);
  }
  if (ids.size === 0) throw wrong(model, "vocab", "is empty");
  return ids;
}

function readUnigram(model: Section): ReadonlyMap<string, number> {
  const vocab = listAt(model, "vocab");
  if (vocab === null || vocab.length === 0) throw wrong(model, "vocab", "is missing");
  if (vocab.length > MAX_VOCABULARY) throw wrong(model, "vocab", `has over ${MAX_VOCABULARY}`);
  const ids = new Map<string, number>();
  for (const [id, entry] of vocab.entries()) {
    const [piece, score] = isList(entry) ? entry : [];
    if (typeof piece !== "string" || typeof score !== "number") {
      throw wrong(model, "vocab", `has an entry ${id} that is no piece with its score`);
    }
    if (ids.has(piece)) throw wrong(model, "vocab", `has the piece of entry ${id} twice`);
    requirePiece(model, piece);
    ids.set(piece, id);
  }
  requireInteger(model, "unk_id", 0, vocab.length - 1);
  return ids;
}

function requirePiece(section: Section, piece: string): void {
  if (piece.length > MAX_PIECE_CHARACTERS || !piece.isWellFormed()) {
    throw wrong(section, piece, "is no piece of text");
  }
}

/** Tokens beside the model's own. One that the vocabulary has keeps its id there. */
function readAdded(section: Section, vocabulary: ReadonlyMap<string, number>): AddedToken[] {
  const list = listAt(section, "added_tokens") ?? [];
  if (list.length > MAX_ADDED) throw wrong(section, "added_tokens", `has over ${MAX_ADDED}`);
  const taken = new Map<number, string>();
  for (const [piece, id] of vocabulary) taken.set(id, piece);
  const contents = new Set<string>();
  return list.map((entry, i): AddedToken => {
    const token = asSection(section, `added_tokens/${i}`, entry);
    const id = requireInteger(token, "id", 0, MAX_VOCABULARY - 1);
    const content = requireText(token, "content");
    requirePiece(token, content);
    const other = taken.get(id);
    if (contents.has(content) || (other !== undefined && other !== content)) {
      throw wrong(token, "id", `${id} or its content is taken`);
    }
    if (vocabulary.has(content) && vocabulary.get(content) !== id) {
      throw wrong(token, "id", `${id} is another in the vocabulary`);
    }
    if (booleanAt(token, "single_word") === true) {
      throw wrong(token, "single_word", "is not supported");
    }
    contents.add(content);
    taken.set(id, content);
    const special = booleanAt(token, "special") ?? false;
    return {
      id,
      content,
      special,
      normalized: booleanAt(token, "normalized") ?? !special,
      lstrip: booleanAt(token, "lstrip") ?? false,
      rstrip: booleanAt(token, "rstrip") ?? false,
    };
  });
}

function requireText(section: Section, key: string): string {
  const text = textAt(section, key);
  if (text === null || text === "") throw wrong(section, key, "is missing");
  return text;
}

/** Refuses settings of steps that the library reads past. Unknown steps it refuses by itself. */
function requireKnownSteps(section: Section): void {
  const normalizers = stepsOf(section, "normalizer", "normalizers");
  for (const step of stepsOf(section, "pre_tokenizer", "pretokenizers")) {
    switch (textAt(step, "type")) {
      case "Split":
        requireHonouredSplit(step, normalizers);
        break;
      case "Punctuation":
        if (textAt(step, "behavior")?.toLowerCase() !== "contiguous") {
          throw wrong(step, "behavior", "of Punctuation is not Contiguous");
        }
        break;
      case "Metaspace":
        if (![null, "always", "first", "never"].includes(textAt(step, "prepend_scheme"))) {
          throw wrong(step, "prepend_scheme", "is not known");
        }
        break;
      default:
    }
  }
}

/** The library knows Isolated and Removed; an inverted pattern it takes as the pieces to keep. */
function requireHonouredSplit(step: Section, normalizers: readonly Section[]): void {
  const behavior = textAt(step, "behavior")?.toLowerCase() ?? "";
  const inverted = booleanAt(step, "invert") ?? false;
  if (behavior === "removed" || (behavior === "isolated" && !inverted)) return;
  // Gemma splits at spaces after every space became "▁": there is nothing to split any more.
  const text = patternText(step);
  const replaced = normalizers.some(
    (normalizer) => textAt(normalizer, "type") === "Replace" && patternText(normalizer) === text,
  );
  if (text === null || !replaced) throw wrong(step, "behavior", `"${behavior}" is not supported`);
}

/** The literal text of a step's pattern, or null where it is a regular expression. */
export function patternText(step: Section): string | null {
  const pattern = memberAt(step, "pattern");
  if (!isRecord(pattern)) return null;
  const text = pattern["String"];
  return typeof text === "string" ? text : null;
}

/** The steps of a pipeline, sequences taken apart; none where it is null. */
export function stepsOf(section: Section, key: string, sequenceKey: string): readonly Section[] {
  const step = sectionAt(section, key);
  return step === null ? [] : flatten(step, sequenceKey);
}

function flatten(step: Section, sequenceKey: string): readonly Section[] {
  if (textAt(step, "type") !== "Sequence") return [step];
  const steps = listAt(step, sequenceKey) ?? [];
  return steps.flatMap((each, i) =>
    flatten(asSection(step, `${sequenceKey}/${i}`, each), sequenceKey),
  );
}
