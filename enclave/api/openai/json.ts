import { decodeUtf8 } from "@countersign/attestation/attester";
import { EnclaveError } from "../../errors.ts";
import { requireBoundedJson } from "../json-bounds.ts";

const BACKSLASH = 0x5c;

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

/** @param text - that is JSON: nothing else of its grammar is looked at again. */
function requireExact(text: string): void {
  // The names of each object that is open; null for an array.
  const open: (Set<string> | null)[] = [];
  let nameNext = false;
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case "{":
        open.push(new Set());
        nameNext = true;
        break;
      case "[":
        open.push(null);
        nameNext = false;
        break;
      case "}":
      case "]":
        open.pop();
        nameNext = false;
        break;
      case ",":
        nameNext = (open.at(-1) ?? null) !== null;
        break;
      case '"': {
        const end = endOfString(text, at);
        const content = stringOf(text.slice(at, end + 1));
        const names = open.at(-1) ?? null;
        if (nameNext && names !== null) requireNew(names, content);
        nameNext = false;
        at = end;
        break;
      }
      default:
    }
  }
}

function requireNew(names: Set<string>, name: string): void {
  if (names.has(name)) {
    throw new EnclaveError("request/structure", "an object has a member twice", {
      param: name.slice(0, 64),
    });
  }
  names.add(name);
}

/** Where the string that begins at `at` ends: at its closing quote. The text is JSON. */
export function endOfString(text: string, at: number): number {
  for (let end = at + 1; ; end++) {
    end = text.indexOf('"', end);
    let escapes = 0;
    while (text.charCodeAt(end - 1 - escapes) === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return end;
  }
}

function stringOf(quoted: string): string {
  const content: unknown = quoted.includes("\\") ? JSON.parse(quoted) : quoted.slice(1, -1);
  if (typeof content !== "string") throw new TypeError("not a string of JSON");
  if (content.isWellFormed()) return content;
  throw new EnclaveError("request/json", "a string has half of a surrogate pair");
}
