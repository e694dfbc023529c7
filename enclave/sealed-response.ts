/**
 * The encrypted answer on its way out.
 *
 * Plaintext is gathered and sealed together while more comes at once, so that a small answer is one
 * chunk and one write; what stands still for a moment goes out, so that a stream is not held up.
 */
import { joinBytes } from "@countersign/attestation/attester";
import { MEDIA_RESPONSE, type ResponseSealer } from "@countersign/protocol";
import type { ServerResponse } from "node:http";
import { withDeadline } from "./deadline.ts";
import { EnclaveError } from "./errors.ts";

/** Plaintext gathered before it is sealed at the latest. */
const GATHER_BYTES = 65_536;
/** A client that takes nothing for longer is given up. */
const DRAIN_TIMEOUT_MS = 60_000;
/** A handler that adds nothing to its answer for longer is given up. */
const STALL_TIMEOUT_MS = 300_000;
const HEADERS = { "content-type": MEDIA_RESPONSE, "cache-control": "no-store" };

export class SealedResponse {
  readonly #sealer: ResponseSealer;
  readonly #response: ServerResponse;
  #plaintext: Uint8Array[] = [];
  #gathered = 0;
  #begun = false;

  constructor(sealer: ResponseSealer, response: ServerResponse) {
    this.#sealer = sealer;
    this.#response = response;
  }

  /** Whether bytes have left, so that the answer cannot be another any more. */
  get begun(): boolean {
    return this.#begun;
  }

  /** Adds plaintext; waits where the client is slow. */
  async push(plaintext: Uint8Array): Promise<void> {
    this.#plaintext.push(plaintext);
    this.#gathered += plaintext.length;
    if (this.#gathered >= GATHER_BYTES) await this.flush();
  }

  /** Drops what has not been sealed. @throws TypeError where bytes have left. */
  discard(): void {
    if (this.#begun) throw new TypeError("the answer has begun");
    this.#plaintext = [];
    this.#gathered = 0;
  }

  /** `next`; where it takes its time, what is gathered is sent meanwhile. */
  async flushUnless<T>(next: Promise<T>): Promise<T> {
    if (await settlesAtOnce(next)) return next;
    await this.flush();
    return withDeadline(next, STALL_TIMEOUT_MS);
  }

  /** Seals and sends what is gathered. @throws EnclaveError `exchange/aborted`, `exchange/timeout`. */
  async flush(): Promise<void> {
    const sealed = await this.#sealer.seal(this.#take());
    if (sealed.length === 0) return;
    if (this.#response.write(this.#withHead(sealed))) return;
    await withDeadline(drained(this.#response), DRAIN_TIMEOUT_MS);
  }

  /** Sends `last` and the final chunk. */
  async finish(last: Uint8Array): Promise<void> {
    this.#plaintext.push(last);
    const sealed = await this.#sealer.finish(this.#take());
    const bytes = this.#withHead(sealed);
    requireOpen(this.#response);
    this.#response.end(bytes);
  }

  #take(): Uint8Array {
    const plaintext = joinBytes(this.#plaintext);
    this.#plaintext = [];
    this.#gathered = 0;
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
function settlesAtOnce(next: Promise<unknown>): Promise<boolean> {
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
