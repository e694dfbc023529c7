/** One exchange: its place in the epoch, its two transcripts and its receipt. */
import {
  type Awaitable,
  type Direction,
  exchangeId,
  type ReceiptClaims,
  Transcript,
} from "@countersign/attestation/attester";
import { type OpenedRequest, TRANSCRIPT_KEY_BYTES, TRANSCRIPT_LABEL } from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import { type Epoch, sha256 } from "./epoch.ts";
import type { ExchangeRecord } from "./exchange-record.ts";

/**
 * Owned by the gateway's handling of one request.
 *
 * Made synchronously after the replay set took the request, so that each index belongs to one
 * exchange and none is left out.
 */
export class Exchange {
  /** Aborts the handler when the client is gone or the time is up. */
  readonly abort: AbortController = new AbortController();
  /** The handler's part of the receipt. */
  readonly record: ExchangeRecord = { model: null, outcome: {} };
  readonly epoch: Epoch;
  readonly index: number;
  /** Called when the exchange is cancelled, by whoever waits for something then. */
  onCancel: (() => void) | null = null;
  readonly #enc: Uint8Array;
  #kc: Uint8Array | null = null;
  #request: Transcript | null = null;
  #response: Transcript | null = null;
  /** SHA-256 of the last receipt. */
  #previous: Uint8Array | null = null;

  constructor(epoch: Epoch, opened: OpenedRequest) {
    this.epoch = epoch;
    this.index = epoch.reserveIndex();
    this.#enc = opened.enc;
  }

  /** Derives Kc and begins both transcripts. */
  async start(opened: OpenedRequest): Promise<void> {
    const kc = await opened.export(TRANSCRIPT_LABEL, TRANSCRIPT_KEY_BYTES);
    this.#kc = kc;
    this.#request = newTranscript(kc, "request");
    this.#response = newTranscript(kc, "response");
  }

  /** Stops whatever works for this exchange. */
  cancel(): void {
    this.abort.abort();
    this.onCancel?.();
  }

  /** Forgets the answer so far, none of which has left: a refusal takes its place. */
  restartResponse(): void {
    this.record.model = null;
    this.record.outcome = {};
    this.#previous = null;
    this.#response = newTranscript(started(this.#kc), "response");
  }

  /** @param leaf - bytes as received. */
  appendRequest(leaf: Uint8Array): Awaitable<void> {
    return started(this.#request).append(leaf);
  }

  /** @param leaf - bytes as sent. */
  appendResponse(leaf: Uint8Array): Awaitable<void> {
    return started(this.#response).append(leaf);
  }

  /**
   * Signs what has happened so far; each receipt names the one before it. One call at a time.
   *
   * @param status - of the answer inside the encryption.
   */
  async receipt(
    phase: ReceiptClaims["phase"],
    status: number,
    issuedAt: number,
  ): Promise<Uint8Array> {
    const receipt = this.epoch.sign({
      issuedAt,
      exchange: await exchangeId(nativePrimitives, this.#enc),
      keysetDigest: this.epoch.keysetDigest,
      documentDigest: this.epoch.documentDigest,
      index: this.index,
      phase,
      model: this.record.model,
      request: await started(this.#request).head(),
      response: await started(this.#response).head(),
      outcome: { ...this.record.outcome, status },
      previous: this.#previous,
    });
    this.#previous = sha256(receipt);
    return receipt;
  }
}

/** Of which nobody here asks for an earlier head: its length costs no memory. */
function newTranscript(kc: Uint8Array, direction: Direction): Transcript {
  return new Transcript(nativePrimitives, kc, direction, "last");
}

function started<T>(member: T | null): T {
  if (member === null) throw new TypeError("the exchange has not started");
  return member;
}
