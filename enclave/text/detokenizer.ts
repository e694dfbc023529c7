/** Turns tokens into text as they come: whole characters only. */
import type { Detokenizer } from "./model.ts";
import type { TokenTexts } from "./token-bytes.ts";

/**
 * Bytes become text when the last byte of a character is there. What is no UTF-8 becomes U+FFFD, as
 * the WHATWG's decoder has it; Hugging Face's, which sees all bytes at once, may count them otherwise.
 *
 * @param start - "beginning" where the answer is a text of its own, so that SentencePiece's first
 * space is not the model's; "continuation" where it goes on with the prompt's text, which needs it.
 */
export function createDetokenizer(
  texts: TokenTexts,
  start: "beginning" | "continuation",
): Detokenizer {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let dropSpace = texts.dropsFirstSpace && start === "beginning";
  const withoutFirstSpace = (text: string): string => {
    if (!dropSpace || text === "") return text;
    dropSpace = false;
    return text.startsWith(" ") ? text.slice(1) : text;
  };
  return {
    push(token) {
      const bytes = texts.bytes[token];
      if (bytes === undefined || bytes === null) return "";
      return withoutFirstSpace(decoder.decode(bytes, { stream: true }));
    },
    end: () => withoutFirstSpace(decoder.decode()),
  };
}
