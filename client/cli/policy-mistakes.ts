/** Reading a policy file, and saying where in it a mistake is. */
import {
  AttestationError,
  parsePolicy,
  type Policy,
  requireKnownRoots,
} from "@countersign/attestation";

import { locatePointer, type Position, positionAt } from "./json-position.ts";

/** The first mistake of a policy file; there may be more behind it. */
export interface PolicyMistake extends Position {
  /** JSON pointer (RFC 6901); "/" is the whole file. */
  readonly pointer: string;
  readonly message: string;
}

/** A policy file that was read: it is a policy, or has a mistake. */
export type PolicyReading =
  | { readonly policy: Policy; readonly text: string; readonly mistake: null }
  | { readonly policy: null; readonly mistake: PolicyMistake };

const WHOLE_FILE = "/";
/** Parts of a message that are tried as a pointer: each reads the text once. */
const MAX_PARTS = 16;
/** How the reader of JSON ends its message where a text is none. */
const PLACE_IN_MESSAGE = /, line (?<line>\d+), column (?<column>\d+)$/u;

/** Reads a policy file as strictly as the verifier does, its roots included. */
export async function readPolicy(bytes: Uint8Array): Promise<PolicyReading> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { policy: null, mistake: notUtf8(bytes) };
  }
  try {
    const policy = parsePolicy(text);
    // Of the form too, though it needs hashes: a root nobody has a certificate for is a typing error.
    await requireKnownRoots(policy);
    return { policy, text, mistake: null };
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
    return { policy: null, mistake: mistakeOf(error, text) };
  }
}

/** A mistake at a pointer into a policy's text. */
export function mistakeAt(text: string, pointer: string, message: string): PolicyMistake {
  const offset = locatePointer(text, pointer) ?? locatePointer(text, "") ?? 0;
  return { pointer, message, ...positionAt(text, offset) };
}

/** The mistake for the reader: the place first, as compilers write it and editors open it. */
export function describeMistake(path: string, mistake: PolicyMistake): string {
  const { line, column, pointer, message } = mistake;
  return `${path}:${line}:${column}: ${pointer}: ${message}`;
}

/** The verifier's message begins with the pointer; of a text that is no JSON it ends with the place. */
function mistakeOf(error: AttestationError, text: string): PolicyMistake {
  const whole = error.message.slice(error.code.length + 2);
  const { pointer, message } = splitMessage(whole, text);
  const place = PLACE_IN_MESSAGE.exec(message);
  if (place === null) return mistakeAt(text, pointer, message);
  const [line, column] = [Number(place.groups?.["line"]), Number(place.groups?.["column"])];
  return { pointer, message: message.slice(0, place.index), line, column };
}

/**
 * Parts a message into pointer and words. A key of the file may hold what parts them, so the longest
 * pointer that the text has is the one that is meant.
 */
function splitMessage(
  whole: string,
  text: string,
): { readonly pointer: string; readonly message: string } {
  const parts = whole.split(": ");
  for (let count = Math.min(parts.length - 1, MAX_PARTS); count > 0; count--) {
    const pointer = parts.slice(0, count).join(": ");
    if (pointer.startsWith("/") && locatePointer(text, pointer) !== null) {
      return { pointer, message: parts.slice(count).join(": ") };
    }
  }
  const [pointer = WHOLE_FILE, ...message] = parts;
  return { pointer, message: message.join(": ") };
}

/** The place of the first byte that is no UTF-8, found by halving. */
function notUtf8(bytes: Uint8Array): PolicyMistake {
  let [good, bad] = [0, bytes.length];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (decodePrefix(bytes, middle) === null) bad = middle;
    else good = middle;
  }
  const before = decodePrefix(bytes, good) ?? "";
  const message = "not UTF-8 text: save the file in UTF-8";
  return { pointer: WHOLE_FILE, message, ...positionAt(before, before.length) };
}

/** The text of the first `length` bytes, a character cut off at their end apart. */
function decodePrefix(bytes: Uint8Array, length: number): string | null {
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return decoder.decode(bytes.subarray(0, length), { stream: true });
  } catch {
    return null;
  }
}
