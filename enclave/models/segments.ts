/**
 * A sealed file, opened as it arrives: AES-256-GCM in segments of 4 MiB (protocol/seal.ts).
 *
 * Each segment's nonce and associated data say which one of which file of which model it is, and
 * whether it is the last: another's, another order, one too many or too few does not open. What was
 * decrypted of a segment is passed on before its tag has come; so whoever takes it may use none of it
 * before {@link SegmentOpener.finish}.
 */
import {
  SEGMENT_BYTES,
  SEGMENT_TAG_BYTES,
  segmentAad,
  segmentCount,
  segmentNonce,
} from "@countersign/protocol";
import { createDecipheriv, type DecipherGCM } from "node:crypto";
import { EnclaveError } from "../errors.ts";

const CIPHER = "aes-256-gcm";

/** Which file of which model it is, and the key of its version. */
export interface SealedFile {
  /** 32 bytes; they stay the caller's to overwrite, once the file is finished. */
  readonly key: Uint8Array;
  readonly modelDigest: Uint8Array;
  /** In the manifest's order. */
  readonly index: number;
  /** In the clear. */
  readonly size: number;
  readonly path: string;
}

/** Takes a sealed file's bytes in pieces of any length, once, and gives what is in them. */
export class SegmentOpener {
  readonly #file: SealedFile;
  readonly #take: (plaintext: Uint8Array) => void;
  readonly #count: number;
  readonly #tag = new Uint8Array(SEGMENT_TAG_BYTES);
  #segment = 0;
  /** Of the segment that is open: what is still to come of its ciphertext, and what came of its tag. */
  #remaining: number;
  #tagBytes = 0;
  #decipher: DecipherGCM;

  /** @param take - copies what it is given before it returns: it is overwritten then. */
  constructor(file: SealedFile, take: (plaintext: Uint8Array) => void) {
    this.#file = file;
    this.#take = take;
    this.#count = segmentCount(file.size);
    this.#remaining = this.#segmentBytes();
    this.#decipher = this.#nextDecipher();
  }

  /** @throws EnclaveError `model/sealed`: no more may be pushed then. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#segment === this.#count) throw this.#refusal("more bytes than its segments have");
      const end = at + (this.#remaining > 0 ? this.#remaining : SEGMENT_TAG_BYTES - this.#tagBytes);
      const part = chunk.subarray(at, end);
      at += part.length;
      if (this.#remaining > 0) this.#decrypt(part);
      else this.#collectTag(part);
    }
  }

  /** @throws EnclaveError `model/sealed` unless every segment has come, whole, and has opened. */
  finish(): void {
    if (this.#segment !== this.#count) {
      throw this.#refusal(`ends in segment ${this.#segment} of ${this.#count}`);
    }
  }

  #decrypt(part: Uint8Array): void {
    this.#remaining -= part.length;
    const plaintext = this.#decipher.update(part);
    try {
      this.#take(plaintext);
    } finally {
      plaintext.fill(0);
      // Its memory goes back at once, and not when the garbage collector comes to it: by then, what the
      // pieces of a model take would be tens of megabytes.
      if (plaintext.length === plaintext.buffer.byteLength) plaintext.buffer.transfer(0);
    }
  }

  #collectTag(part: Uint8Array): void {
    this.#tag.set(part, this.#tagBytes);
    this.#tagBytes += part.length;
    if (this.#tagBytes < SEGMENT_TAG_BYTES) return;
    this.#decipher.setAuthTag(this.#tag);
    try {
      this.#decipher.final();
    } catch (cause) {
      throw this.#refusal(`segment ${this.#segment} does not open`, cause);
    }
    this.#segment++;
    if (this.#segment === this.#count) return;
    this.#remaining = this.#segmentBytes();
    this.#tagBytes = 0;
    this.#decipher = this.#nextDecipher();
  }

  #segmentBytes(): number {
    return Math.min(SEGMENT_BYTES, this.#file.size - this.#segment * SEGMENT_BYTES);
  }

  #nextDecipher(): DecipherGCM {
    const { key, modelDigest, index } = this.#file;
    const nonce = segmentNonce(index, this.#segment);
    const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: SEGMENT_TAG_BYTES });
    const final = this.#segment === this.#count - 1;
    return decipher.setAAD(segmentAad(modelDigest, index, this.#segment, final));
  }

  #refusal(what: string, cause?: unknown): EnclaveError {
    return new EnclaveError("model/sealed", `${this.#file.path}: ${what}`, { cause });
  }
}
