/**
 * Keeps a caller's words from becoming the marks that hold a conversation together.
 *
 * A chat is rendered to one text, and the tokenizer finds `<|im_end|>` in it whoever wrote it: a
 * document that a user pastes could end the user's turn and open the system's. So a noncharacter goes
 * into every special token that a caller spells out, and the tokenizer does not find it any more; after
 * it has looked, tokenizer.ts takes the noncharacter out: the words reach the model as words.
 *
 * Known weaknesses, THREAT_MODEL.md: a template that cuts text out of the middle of a message can join
 * what is left and right of it; and what a model makes of such words is its own affair.
 */
import { EnclaveError } from "../errors.ts";
import type { JsonValue } from "./model.ts";

/** Unicode 17.0 §23.7: for use inside a process, never for interchange. */
export const MARK = "\u{FDD0}";
const MAX_DEPTH = 64;

export interface PlainText {
  /** `value` with every text in it, names included, marked. @throws EnclaveError `prompt/template`. */
  mark(value: JsonValue): JsonValue;
}

/** @param specials - texts of special tokens, each of at least two characters. */
export function createPlainText(specials: readonly string[]): PlainText {
  const alternatives = patternOf(specials);
  // Looks ahead, so that of two that overlap both are found; the mark goes behind the first character.
  const starts = alternatives === null ? null : new RegExp(`(?=${alternatives.source})(.)`, "gsu");
  // Every beginning of one: the caller's next text, or the template's own, could bring the rest.
  const beginnings = new Set(
    specials.flatMap((special) =>
      Array.from({ length: special.length }, (_, i) => special.slice(0, i)),
    ),
  );
  beginnings.delete("");
  const longest = Math.max(0, ...[...beginnings].map((beginning) => beginning.length));

  const markText = (text: string): string => {
    if (text.includes(MARK) || !text.isWellFormed()) {
      throw new EnclaveError("prompt/template", "a text holds U+FDD0 or half a character");
    }
    const marked = starts === null ? text : text.replace(starts, `$1${MARK}`);
    for (let length = 1; length <= Math.min(longest, marked.length); length++) {
      if (beginnings.has(marked.slice(-length))) return marked + MARK;
    }
    return marked;
  };

  const mark = (value: JsonValue, depth: number): JsonValue => {
    if (depth > MAX_DEPTH)
      throw new EnclaveError("prompt/template", "a message is nested too deep");
    if (typeof value === "string") return markText(value);
    if (typeof value !== "object" || value === null) return value;
    if (isList(value)) return value.map((item) => mark(item, depth + 1));
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [markText(key), mark(item, depth + 1)]),
    );
  };
  return { mark: (value) => mark(value, 0) };
}

/** Finds any of `texts`, the first in the list where several begin; null where there are none. */
export function patternOf(texts: readonly string[]): RegExp | null {
  if (texts.length === 0) return null;
  const escaped = texts.map((text) => text.replaceAll(/[$()*+.?[\\\]^{|}/]/gu, "\\$&"));
  return new RegExp(`(?:${escaped.join("|")})`, "gu");
}

/** Array.isArray does not narrow readonly arrays. */
function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}
