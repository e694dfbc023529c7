/**
 * What the ring itself writes into a stream of server-sent events: receipts and fill, as comments
 * (HTML §9.2.6), which every parser of events ignores. PROTOCOL.md §5 and §7.
 *
 * Each is a content chunk of its own, and so a leaf of the transcript. A chunk that begins with the
 * receipt's word is the ring's: it lets no handler write one.
 */
import { decodeUtf8, encodeUtf8 } from "@countersign/attestation/attester";
import { bucketOf } from "./padding.ts";
import { encodeByteSequence, parseByteSequence } from "./fields.ts";
import type { Fields } from "./message.ts";
import { varintBytes } from "./varint.ts";
import { RECEIPT_FIELD } from "./wire.ts";

const EVENT_STREAM = "text/event-stream";
const END = "\n\n";
const COLON = 0x3a;
const SPACE = 0x20;
const LF = 0x0a;
/** The shortest fill: a colon, a space, the end of the line and an empty one. */
const MIN_FILL = 4;
/** With its length before it. */
const MIN_FRAMED_FILL = 5;

/** How a comment with a receipt begins; no line of a handler's may begin like this. */
export const CHECKPOINT_PREFIX: string = `: ${RECEIPT_FIELD} `;
const PREFIX = encodeUtf8(CHECKPOINT_PREFIX);

/** Whether content under these header fields is server-sent events that can be read as they are. */
export function isEventStream(headers: Fields): boolean {
  let type = "";
  for (const [name, value] of headers) {
    // Coded content is bytes of the coding: nothing can be written between its events.
    if (name === "content-encoding") return false;
    if (name === "content-type") type = value;
  }
  return type.split(";", 1)[0]?.trim().toLowerCase() === EVENT_STREAM;
}

/** The content chunk that carries a checkpoint receipt. */
export function encodeCheckpoint(receipt: Uint8Array): Uint8Array {
  return encodeUtf8(`${CHECKPOINT_PREFIX}${encodeByteSequence(receipt)}${END}`);
}

/**
 * The receipt that a content chunk of an event stream carries; null where it is an ordinary one.
 *
 * @throws {@link ProtocolError} `field/byte-sequence` where it claims to carry one and does not.
 */
export function parseCheckpoint(chunk: Uint8Array): Uint8Array | null {
  if (PREFIX.some((byte, index) => chunk[index] !== byte)) return null;
  const text = textOf(chunk.subarray(PREFIX.length));
  return parseByteSequence(text.endsWith(END) ? text.slice(0, -END.length) : "");
}

/** What is no text is no byte sequence either; the parser says so. */
function textOf(bytes: Uint8Array): string {
  try {
    return decodeUtf8(bytes);
  } catch {
    return "";
  }
}

/** A comment of `length` bytes, at least 4. */
export function encodeFill(length: number = MIN_FILL): Uint8Array {
  const fill = new Uint8Array(length).fill(SPACE);
  fill[0] = COLON;
  fill.fill(LF, length - END.length);
  return fill;
}

/** Whether a content chunk is fill: it carries nothing for whoever reads the events. */
export function isFill(chunk: Uint8Array): boolean {
  if (chunk.length < MIN_FILL || chunk[0] !== COLON) return false;
  const spaces = chunk.length - END.length;
  return chunk.every((byte, index) => index === 0 || byte === (index < spaces ? SPACE : LF));
}

/** How long plaintext of `length` bytes is taken to be: its bucket, with room for fill behind it. */
export function reckonedBytes(length: number): number {
  return bucketOf(length + MIN_FRAMED_FILL);
}

/**
 * Content chunks that fill `length` bytes of plaintext up to the bucket of `reckoned`, or to the next
 * that they fit into.
 */
export function fillChunks(length: number, reckoned: number): readonly Uint8Array[] {
  let bucket = bucketOf(Math.max(length, reckoned));
  if (bucket === length) return [];
  if (bucket - length < MIN_FRAMED_FILL) bucket = bucketOf(bucket + 1);
  const gap = bucket - length;
  const whole = fillOf(gap);
  if (whole !== null) return [whole];
  // Where the length of the length grows (RFC 9000 §16), some sums cannot be had with one chunk.
  const rest = fillOf(gap - MIN_FRAMED_FILL);
  if (rest === null) throw new TypeError(`no fill of ${gap} bytes`);
  return [encodeFill(), rest];
}

/** The fill that takes `framed` bytes with its length before it; null where there is none. */
function fillOf(framed: number): Uint8Array | null {
  for (const prefix of [1, 2, 4]) {
    const length = framed - prefix;
    if (length >= MIN_FILL && varintBytes(length) === prefix) return encodeFill(length);
  }
  return null;
}
