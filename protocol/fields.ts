/** Structured field values (RFC 9651): the one item that we use, the byte sequence. */
import { ProtocolError } from "./errors.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/** At each character's code: its value. */
const SEXTETS = new Uint8Array(128);
for (let value = 0; value < ALPHABET.length; value++) SEXTETS[ALPHABET.charCodeAt(value)] = value;
/** Two characters for each value of 12 bits. */
const PAIRS: readonly string[] = Array.from(
  { length: 4096 },
  (_, bits) => ALPHABET.charAt(bits >> 6) + ALPHABET.charAt(bits & 63),
);
/** Base64 characters of a byte sequence that we read. */
const MAX_CHARACTERS = 64 * 1024;

/** `:base64:` (RFC 9651 §4.1.8). */
export function encodeByteSequence(bytes: Uint8Array): string {
  let text = ":";
  for (let i = 0; i < bytes.length; i += 3) {
    const rest = bytes.length - i;
    const group = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    const low = PAIRS[group & 0xfff] ?? "";
    text += PAIRS[group >> 12] ?? "";
    text += rest > 2 ? low : rest > 1 ? `${low.charAt(0)}=` : "==";
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
    for (let j = 0; j < 4; j++) group = (group << 6) | (SEXTETS[base64.charCodeAt(i + j)] ?? 0);
    bytes[at] = group >> 16;
    if (at + 1 < bytes.length) bytes[at + 1] = (group >> 8) & 0xff;
    if (at + 2 < bytes.length) bytes[at + 2] = group & 0xff;
  }
  if (encodeByteSequence(bytes) !== text) {
    throw new ProtocolError("field/byte-sequence", "not the canonical base64 of its bytes");
  }
  return bytes;
}
