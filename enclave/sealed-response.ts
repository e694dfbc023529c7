/**
 * The encrypted answer on its way out.
 *
 * Plaintext is gathered and sealed together while more comes at once, so that a small answer is one
 * chunk and one write; what stands still for a moment goes out, so that a stream is not held up.
 */
import { joinBytes } from "@countersign/attestation/attester";
import {
  bucketOf,
  fillChunks,
  MAX_CHUNK_PLAINTEXT,
  MEDIA_RESPONSE,
  type ResponseSealer,
} from "@countersign/protocol";
import type { ServerResponse } from "node:http";
import { withDeadline } from "./deadline.ts";
import { EnclaveError } from "./errors.ts";

/** Plaintext gathered before it is sealed at the latest. */
export const GATHER_BYTES = 65_536;
/** A client that takes nothing for longer is given up. */
const DRAIN_TIMEOUT_MS = 60_000;
/** A handler that adds nothing to its answer for longer is given up. */
export const STALL_TIMEOUT_MS = 300_000;
/** What the end of a stream is reckoned as: the trailer with the receipt, whatever it says. */
const END_RECKONED = 1024;
const NO_BYTES = new Uint8Array(0);
const HEADERS = { "content-type": MEDIA_RESPONSE, "cache-control": "no-store" };

/** Whether lengths are filled up to buckets; RuntimeConfig says it. */
export type Padding = "buckets" | "none";

export class SealedResponse {
  readonly #sealer: ResponseSealer;
  readonly #response: ServerResponse;
  readonly #padding: Padding;
  #plaintext: Uint8Array[] = [];
  #gathered = 0;
  /** How long what is gathered of a stream is taken to be. */
  #reckoned = 0;
  #streams = false;
  /** Plaintext that was sent: of a stream, since a bucket was last full. */
  #unpadded = 0;
  #begun = false;

  constructor(sealer: ResponseSealer, response: ServerResponse, padding: Padding) {
    this.#sealer = sealer;
    this.#response = response;
    this.#padding = padding;
  }

  /** Bytes that wait to be sealed. */
  get gathered(): number {
    return this.#gathered;
  }

  /** What they are reckoned as, of a stream. */
  get reckoned(): number {
    return this.#reckoned;
  }

  /** Whether bytes have left, so that the answer cannot be another any more. */
  get begun(): boolean {
    return this.#begun;
  }

  /**
   * Adds plaintext; waits where the client is slow.
   *
   * What goes out before the end goes in full chunks: the length of the last would tell that of the whole.
   */
  async push(plaintext: Uint8Array): Promise<void> {
    this.gather(plaintext, 0);
    if (this.#gathered < GATHER_BYTES) return;
    await this.#send(this.#take(this.#gathered - (this.#gathered % MAX_CHUNK_PLAINTEXT)));
  }

  /** Adds plaintext of a stream, whose sender says when it is sent. @param reckoned - as how long. */
  gather(plaintext: Uint8Array, reckoned: number): void {
    this.#plaintext.push(plaintext);
    this.#gathered += plaintext.length;
    this.#reckoned += reckoned;
    this.#streams ||= reckoned > 0;
  }

  /**
   * The content chunks that fill up the bucket of what is gathered, by what it was reckoned as.
   *
   * Each event counts as its own bucket: however long the tokens are, as many of them give the same.
   */
  fill(): readonly Uint8Array[] {
    if (this.#padding === "none" || this.#gathered === 0) return [];
    return fillChunks(this.#unpadded + this.#gathered, this.#reckoned);
  }

  /** Drops what has not been sealed. @throws TypeError where bytes have left. */
  discard(): void {
    if (this.#begun) throw new TypeError("the answer has begun");
    this.#plaintext = [];
    this.#gathered = 0;
    this.#reckoned = 0;
    this.#streams = false;
  }

  /** `next`; where it takes its time, what is gathered is sent meanwhile. */
  async flushUnless<T>(next: Promise<T>): Promise<T> {
    if (await settlesAtOnce(next)) return next;
    await this.flush();
    return withDeadline(next, STALL_TIMEOUT_MS);
  }

  /** Seals and sends what is gathered. @throws EnclaveError `exchange/aborted`, `exchange/timeout`. */
  async flush(): Promise<void> {
    await this.#send(this.#take());
  }

  async #send(plaintext: Uint8Array): Promise<void> {
    const sealed = await this.#sealer.seal(plaintext);
    if (sealed.length === 0) return;
    if (this.#response.write(this.#withHead(sealed))) return;
    await withDeadline(drained(this.#response), DRAIN_TIMEOUT_MS);
  }

  /**
   * Sends `last`, what fills the bucket (RFC 9292 §3.8), and the final chunk.
   *
   * That one is empty: cut anywhere, the answer is then short of bytes that were announced, so that its
   * client can tell a connection that broke from one that was tampered with.
   */
  async finish(last: Uint8Array): Promise<void> {
    this.gather(last, this.#streams ? END_RECKONED : 0);
    if (this.#padding === "buckets") {
      const length = this.#unpadded + this.#gathered;
      const bucket = bucketOf(Math.max(length, this.#reckoned));
      this.gather(new Uint8Array(bucket - length), 0);
    }
    const [sealed, final] = await Promise.all([
      this.#sealer.seal(this.#take()),
      this.#sealer.finish(NO_BYTES),
    ]);
    const bytes = this.#withHead(joinBytes([sealed, final]));
    requireOpen(this.#response);
    this.#response.end(bytes);
  }

  /** The first `count` bytes of what is gathered, by default all of them. */
  #take(count: number = this.#gathered): Uint8Array {
    const gathered = joinBytes(this.#plaintext);
    const plaintext = gathered.subarray(0, count);
    const length = this.#unpadded + count;
    this.#unpadded = this.#streams && bucketOf(length) === length ? 0 : length;
    this.#plaintext = count < gathered.length ? [gathered.slice(count)] : [];
    this.#gathered = gathered.length - count;
    this.#reckoned = 0;
    return plaintext;
  }

  /** The response nonce goes before the first chunk. */
  #withHead(sealed: Uint8Array): Uint8Array {
    requireOpen(this.#response);
    if (this.#begun) return sealed;
    this.#begun = true;
    this.#response.writeHead(200, HEADERS);
    return joinBytes([this.#sealer.head, sealed]);
  }
}

/** Whether `next` settles before the event loop turns. */
export function settlesAtOnce(next: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const turn = setImmediate(resolve, false);
    const settled = (): void => {
      clearImmediate(turn);
      resolve(true);
    };
    next.then(settled, settled);
  });
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve, reject) => {
    const onDrain = (): void => {
      response.off("close", onClose);
      resolve();
    };
    const onClose = (): void => {
      response.off("drain", onDrain);
      reject(new EnclaveError("exchange/aborted", "the client is gone"));
    };
    response.once("drain", onDrain);
    response.once("close", onClose);
  });
}

function requireOpen(response: ServerResponse): void {
  if (response.destroyed) throw new EnclaveError("exchange/aborted", "the client is gone");
}
