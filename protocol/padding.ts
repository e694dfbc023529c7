/**
 * Padding: what is sent is filled up to one of a few lengths, so that its length tells little.
 *
 * PROTOCOL.md §5. A message as a whole is filled with zero bytes behind it (RFC 9292 §3.8); inside an
 * event stream, where no such thing may stand, with comments (event-stream.ts).
 */
import { MAX_CHUNK_PLAINTEXT } from "./chunks.ts";

/** No length is below it. A chunk of a chat's stream with one token in it is about half as long. */
const SMALLEST_BUCKET = 512;

/**
 * The bucket of `length` bytes: the next power of two from 512 to a full chunk, then full chunks.
 *
 * Powers of two all the way would double large tensors for nothing.
 */
export function bucketOf(length: number): number {
  if (length > MAX_CHUNK_PLAINTEXT) {
    return Math.ceil(length / MAX_CHUNK_PLAINTEXT) * MAX_CHUNK_PLAINTEXT;
  }
  let bucket = SMALLEST_BUCKET;
  while (bucket < length) bucket *= 2;
  return bucket;
}

/** Zero bytes that fill a message of `length` bytes up to its bucket. */
export function zeroPadding(length: number): Uint8Array {
  return new Uint8Array(bucketOf(length) - length);
}
