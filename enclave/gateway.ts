/**
 * The ring: ciphertext in, a web-standard `Request` to the API, its `Response` out as ciphertext with
 * a receipt. It knows nothing of models; the API knows nothing of keys.
 */
import { concatBytes } from "@countersign/attestation/attester";
import { type OpenedRequest, openRequest } from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import type { IncomingMessage, ServerResponse } from "node:http";
import { errorCode, innerRefusal, outerProblem } from "./answers.ts";
import type { Clock } from "./clock.ts";
import { withDeadline } from "./deadline.ts";
import { type Epoch, sha256 } from "./epoch.ts";
import type { Epochs } from "./epochs.ts";
import { EnclaveError } from "./errors.ts";
import type { AppBindings } from "./exchange-record.ts";
import { Exchange } from "./exchange.ts";
import { type InnerRequest, readInnerRequest } from "./inner-request.ts";
import { handlerFailed, sendAnswer, sendRefusal } from "./inner-response.ts";
import type { Log } from "./log.ts";
import { sendProblem } from "./problem.ts";
import { RequestBody } from "./request-body.ts";
import { RequestMemory } from "./request-memory.ts";
import { type Padding, SealedResponse } from "./sealed-response.ts";

/** Requests under way at a time. PROTOCOL.md, "Limits". */
const MAX_EXCHANGES = 512;
/** What may come with the content: enc, fields, padding, and an eighth for the framing of chunks. */
const ENVELOPE_BYTES = 2_097_152;
/** Of an answer that none began: what an HTTP server logs of a client that left. */
const CLIENT_LEFT = 499;

/** What is served: any web-standard handler. */
export interface App {
  fetch(request: Request, bindings: AppBindings): Response | Promise<Response>;
}

export interface GatewayOptions {
  readonly epochs: Epochs;
  readonly app: App;
  /** Content of one request. */
  readonly maxRequestBytes: number;
  /** From the request to the first byte of its answer. */
  readonly handlerTimeoutMs: number;
  /** Of answers; RuntimeConfig must say the same. */
  readonly padding: Padding;
  readonly clock: Clock;
  readonly log: Log;
}

/** What has happened since the start, for the host's metrics. */
export interface GatewayCounters {
  answered: number;
  /** Refusals of the ring's own, inside the encryption. */
  refused: number;
  aborted: number;
  /** Requests that did not open, or not for the first time. */
  problems: number;
}

export class Gateway {
  readonly counters: GatewayCounters = { answered: 0, refused: 0, aborted: 0, problems: 0 };
  readonly #options: GatewayOptions;
  readonly #maxOuterBytes: number;
  readonly #memory: RequestMemory;
  #active = 0;

  constructor(options: GatewayOptions) {
    this.#options = options;
    const { maxRequestBytes } = options;
    this.#maxOuterBytes = maxRequestBytes + (maxRequestBytes >> 3) + ENVELOPE_BYTES;
    this.#memory = new RequestMemory(this.#maxOuterBytes);
  }

  /** Exchanges under way. */
  get active(): number {
    return this.#active;
  }

  /** Answers one request. Never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#active >= MAX_EXCHANGES) {
      sendProblem(response, "tooMany", "exchange/too-many");
      return;
    }
    this.#active++;
    const body = new RequestBody(request, this.#maxOuterBytes, this.#memory);
    try {
      // 1. Nothing is believed before a chunk opened; then it is a request for this epoch.
      const { opened, epoch } = await this.#open(body);
      // 2. RFC 9458 §6.5.1: never twice. Nothing is awaited between the test and the index.
      const exchange = this.#admit(epoch, opened);
      // 3. From here on the answer is inside, with a receipt.
      await this.#answer(exchange, opened, response);
    } catch (error) {
      this.counters.problems++;
      sendProblem(response, outerProblem(error), errorCode(error));
    } finally {
      this.#active--;
      await body.return();
    }
  }

  async #open(body: RequestBody): Promise<{ opened: OpenedRequest; epoch: Epoch }> {
    const named: { epoch: Epoch | null } = { epoch: null };
    const keyOf = (keyId: number): Epoch["recipient"] | null => {
      named.epoch = this.#options.epochs.byKeyId(keyId);
      return named.epoch?.recipient ?? null;
    };
    const opened = await openRequest(nativePrimitives, keyOf, body);
    if (named.epoch === null) throw new TypeError("opened without a key");
    return { opened, epoch: named.epoch };
  }

  /** @throws EnclaveError `exchange/replay`, `exchange/epoch-full`. */
  #admit(epoch: Epoch, opened: OpenedRequest): Exchange {
    const { epochs } = this.#options;
    const seen = epoch.replay.testAndSet(sha256(concatBytes(opened.header, opened.enc)));
    if (epoch.replay.nearlyFull && epoch === epochs.current) void epochs.rotate();
    switch (seen) {
      case "replayed":
        throw new EnclaveError("exchange/replay", "seen before");
      case "full":
        throw new EnclaveError("exchange/epoch-full", "this epoch takes no more");
      case "fresh":
        return new Exchange(epoch, opened);
      default:
        return seen satisfies never;
    }
  }

  /** Answers inside the encryption, or leaves an aborted receipt in the log. Never rejects. */
  async #answer(
    exchange: Exchange,
    opened: OpenedRequest,
    response: ServerResponse,
  ): Promise<void> {
    response.once("close", () => {
      if (!response.writableFinished) exchange.cancel();
    });
    let status = CLIENT_LEFT;
    try {
      const out = new SealedResponse(await opened.sealResponse(), response, this.#options.padding);
      await exchange.start(opened);
      try {
        const inner = await this.#read(exchange, opened);
        const answer = await this.#fetch(inner, exchange);
        status = answer.status;
        await sendAnswer(answer, inner, exchange, out, this.#options.clock);
        this.counters.answered++;
      } catch (error) {
        if (out.begun || response.destroyed) throw error;
        const refusal = innerRefusal(error);
        status = refusal.status;
        exchange.cancel();
        await sendRefusal(refusal, exchange, out, this.#options.clock);
        this.counters.refused++;
        this.#log("refused", exchange, { code: errorCode(error), status });
      }
    } catch (error) {
      exchange.cancel();
      response.destroy();
      this.counters.aborted++;
      const receipt = await this.#abortedReceipt(exchange, status);
      this.#log("aborted", exchange, { code: errorCode(error), status, receipt });
    }
  }

  #read(exchange: Exchange, opened: OpenedRequest): Promise<InnerRequest> {
    const { clock, maxRequestBytes } = this.#options;
    return readInnerRequest(opened, exchange, clock.nowMs(), maxRequestBytes);
  }

  /** @throws EnclaveError `exchange/handler`, `exchange/timeout`; and why the request was unreadable. */
  async #fetch(inner: InnerRequest, exchange: Exchange): Promise<Response> {
    const { app, handlerTimeoutMs } = this.#options;
    let answer: unknown;
    try {
      const pending = app.fetch(inner.request, { exchange: exchange.record });
      answer = pending instanceof Promise ? await withDeadline(pending, handlerTimeoutMs) : pending;
    } catch (cause) {
      if (cause instanceof EnclaveError && cause.code === "exchange/timeout") throw cause;
      throw inner.content.failure ?? handlerFailed(cause);
    }
    // What the handler made of a request that broke off is no answer to it.
    if (inner.content.failure !== null) throw inner.content.failure;
    if (!(answer instanceof Response)) throw handlerFailed(null);
    return answer;
  }

  async #abortedReceipt(exchange: Exchange, status: number): Promise<string | null> {
    try {
      const issuedAt = Math.floor(this.#options.clock.nowMs() / 1000);
      const receipt = await exchange.receipt("aborted", status, issuedAt);
      return Buffer.from(receipt).toString("base64");
    } catch {
      // Nothing was committed to, or a handler's record cannot be encoded: the index says it all.
      return null;
    }
  }

  #log(
    event: string,
    exchange: Exchange,
    fields: Readonly<Record<string, string | number | null>>,
  ): void {
    const { epoch, index } = exchange;
    this.#options.log(event, { sequence: epoch.sequence, index, ...fields });
  }
}
