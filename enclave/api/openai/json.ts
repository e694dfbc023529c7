import { decodeUtf8 } from "@countersign/attestation/attester";
import { EnclaveError } from "../../errors.ts";
import { visitJson } from "../../json-strings.ts";
import { requireBoundedJson } from "../json-bounds.ts";

/**
 * Parses a request body: bounded, UTF-8 and JSON to the letter, no member twice, no half of a
 * surrogate pair.
 *
 * Of two members of one name a parser drops one without a word; half a pair has no UTF-8, so no
 * tokenizer and no receipt could say what it was.
 *
 * @throws {@link EnclaveError} `request/structure`, `request/json`.
 */
export function parseStrictJson(bytes: Uint8Array): unknown {
  requireBoundedJson(bytes, false);
  let text: string;
  let value: unknown;
  try {
    text = decodeUtf8(bytes);
    value = JSON.parse(text);
  } catch {
    // Not chained: a parser's message quotes what it read.
    throw new EnclaveError("request/json", `the request's ${bytes.length} bytes are not JSON`);
  }
  requireExact(text);
  return value;
}

/** @throws {@link EnclaveError} `request/structure`, `request/json`. */
function requireExact(text: string): void {
  visitJson(text, {
    string(content, repeated) {
      if (!content.isWellFormed()) {
        throw new EnclaveError("request/json", "a string has half of a surrogate pair");
      }
      if (!repeated) return;
      const param = content.slice(0, 64);
      throw new EnclaveError("request/structure", "an object has a member twice", { param });
    },
  });
}
