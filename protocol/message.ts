/**
 * What an HTTP message may be made of (RFC 9110, RFC 9113 §8.2.1), for writers and readers alike.
 *
 * Stricter than RFC 9292 §3.6 in one way: no pseudo-field is known here, so all are refused.
 */
import { ProtocolError } from "./errors.ts";

/** Field names in lower case and values, in order; a name may come more than once. */
export type Fields = readonly (readonly [name: string, value: string])[];

/** Fields in one section. */
export const MAX_FIELDS = 256;

/** Request control data (RFC 9292 §3.4). */
export interface RequestTarget {
  readonly method: string;
  readonly scheme: string;
  /** May be empty. */
  readonly authority: string;
  readonly path: string;
}

/** RFC 9110 §5.6.2 token; of names, only in lower case (RFC 9113 §8.2.1). */
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** RFC 9113 §8.2.1: no NUL, CR or LF; no space around. RFC 9110 §5.5: no other control character. */
const FIELD_VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;
/** RFC 3986 §3.1. */
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/;
const AUTHORITY = /^[\x21-\x7e]*$/;
/** RFC 9113 §8.3.1: origin form, or "*" for OPTIONS. */
const PATH = /^(?:\/[\x21-\x7e]*|\*)$/;

/** @throws {@link ProtocolError} `bhttp/malformed`. */
export function requireRequestTarget(target: RequestTarget): void {
  if (!METHOD.test(target.method)) throw new ProtocolError("bhttp/malformed", "method");
  if (!SCHEME.test(target.scheme)) throw new ProtocolError("bhttp/malformed", "scheme");
  if (!AUTHORITY.test(target.authority)) throw new ProtocolError("bhttp/malformed", "authority");
  if (!PATH.test(target.path)) throw new ProtocolError("bhttp/malformed", "path");
}

/** @throws {@link ProtocolError} `bhttp/field`. */
export function requireFieldName(name: string): void {
  if (!FIELD_NAME.test(name)) throw new ProtocolError("bhttp/field", "field name");
}

/** @throws {@link ProtocolError} `bhttp/field`. */
export function requireFieldValue(value: string): void {
  if (!FIELD_VALUE.test(value)) throw new ProtocolError("bhttp/field", "field value");
}

/** Bytes of text whose characters are all below U+0100. @throws {@link ProtocolError} */
export function encodeLatin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0xff) throw new ProtocolError("bhttp/field", "a character above U+00FF");
    bytes[i] = unit;
  }
  return bytes;
}

/** One character a byte: HTTP text is bytes (RFC 9110 §5.5). */
export function decodeLatin1(bytes: Uint8Array): string {
  // Not by spreading them into one call's arguments: that takes five times as long.
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
