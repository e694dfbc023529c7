/** Structured field values (RFC 9651): the one item that we use, the byte sequence. */
import { ProtocolError } from "./errors.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const SEXTETS: ReadonlyMap<string, number> = new Map(
  ALPHABET.split("").map((character, index) => [character, index]),
);
/** Base64 characters of a byte sequence that we read. */
const MAX_CHARACTERS = 64 * 1024;

/** `:base64:` (RFC 9651 §4.1.8). */
export function encodeByteSequence(bytes: Uint8Array): string {
  let text = ":";
  for (let i = 0; i < bytes.length; i += 3) {
    const rest = bytes.length - i;
    const group = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    text += ALPHABET.charAt(group >> 18) + ALPHABET.charAt((group >> 12) & 63);
    text += rest > 1 ? ALPHABET.charAt((group >> 6) & 63) : "=";
    text += rest > 2 ? ALPHABET.charAt(group & 63) : "=";
  }
  return `${text}:`;
}

/**
 * The bytes of exactly one byte sequence.
 *
 * Stricter than RFC 9651 §4.2.7: padding must be there and bits beyond the bytes must be zero, so
 * that there is one text for one value.
 *
 * @throws {@link ProtocolError} `field/byte-sequence`.
 */
export function parseByteSequence(text: string): Uint8Array {
  const base64 = text.slice(1, -1);
  if (!/^:[A-Za-z0-9+/]*={0,2}:$/.test(text) || base64.length % 4 !== 0) {
    throw new ProtocolError("field/byte-sequence", "want :base64:");
  }
  if (base64.length > MAX_CHARACTERS) {
    throw new ProtocolError("field/byte-sequence", `${base64.length} characters`);
  }
  const padding = base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((base64.length / 4) * 3 - padding);
  for (let i = 0, at = 0; i < base64.length; i += 4, at += 3) {
    let group = 0;
    for (let j = 0; j < 4; j++) group = (group << 6) | (SEXTETS.get(base64.charAt(i + j)) ?? 0);
    bytes[at] = group >> 16;
    if (at + 1 < bytes.length) bytes[at + 1] = (group >> 8) & 0xff;
    if (at + 2 < bytes.length) bytes[at + 2] = group & 0xff;
  }
  if (encodeByteSequence(bytes) !== text) {
    throw new ProtocolError("field/byte-sequence", "not the canonical base64 of its bytes");
  }
  return bytes;
}
