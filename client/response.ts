import type { Verdict } from "@countersign/attestation";
import {
  type DecodedResponse,
  decodeResponse,
  isEventStream,
  parseCheckpoint,
  ProtocolError,
} from "@countersign/protocol";

import { ClientError, VerdictError } from "./errors.ts";
import { EventGate } from "./event-gate.ts";
import type { Exchange, Result } from "./exchange.ts";
import { damagedResponse } from "./verdicts.ts";

/** RFC 9110: statuses whose responses have no content, which `Response` wants without a body. */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304]);

/**
 * A `Response` that is verified as it is read.
 *
 * Its body errors instead of ending where the exchange is cut short or its receipt does not hold, so
 * that `await response.json()` yields a verified answer or rejects with a {@link VerdictError}. Of an
 * event stream each checkpoint is verified as it passes, and the event that says it is done comes only
 * when all is verified.
 */
export class VerifiedResponse extends Response {
  /** Id of the exchange: 32 hexadecimal digits, the receipt's cti. */
  readonly exchange: string;
  readonly #reading: Reading;

  constructor(reading: Reading, hasBody: boolean) {
    const { status, headers } = reading.message;
    super(hasBody ? reading.body : null, {
      status,
      headers: headers.map(([name, value]): [string, string] => [name, value]),
    });
    this.exchange = reading.exchange.id;
    this.#reading = reading;
  }

  /**
   * The verdict on the whole exchange, once it is complete.
   *
   * Reads what is left of the response into memory; the body stays readable.
   *
   * @throws VerdictError, ClientError where the exchange is not verified.
   */
  async verdict(): Promise<Verdict> {
    return (await this.#reading.finish()).verdict;
  }

  /** The proof of this exchange: the bytes of a `.proof` file. Reads and throws as `verdict`. */
  async proof(): Promise<Uint8Array> {
    return (await this.#reading.finish()).proof();
  }
}

/** What the answer is to. */
interface Asked {
  readonly method: string;
  readonly signal: AbortSignal;
  /** Ends the connection, also while a read of it is pending. */
  readonly leave: () => void;
}

/**
 * Opens the response to `exchange`. Resolves when its header section has arrived.
 *
 * @throws VerdictError, ClientError where even that does not verify.
 */
export async function openResponse(
  exchange: Exchange,
  body: AsyncIterable<Uint8Array>,
  request: Asked,
  now: () => number,
): Promise<VerifiedResponse> {
  let message: DecodedResponse | null = null;
  try {
    message = await decodeResponse(exchange.sealed.openResponse(body));
    await exchange.received(message.leaf);
    const reading = new Reading(exchange, message, request, now);
    const hasBody = request.method !== "HEAD" && !BODILESS.has(message.status);
    if (!hasBody) await reading.finish();
    return new VerifiedResponse(reading, hasBody);
  } catch (error) {
    request.leave();
    throw await explain(error, exchange, message?.status ?? null, request.signal, now);
  }
}

type State =
  | { readonly kind: "reading" }
  | { readonly kind: "verified"; readonly result: Result }
  | { readonly kind: "failed"; readonly error: unknown };

/** The body of one response on its way to its reader. One step runs at a time. */
class Reading {
  readonly exchange: Exchange;
  readonly message: DecodedResponse;
  readonly body: ReadableStream<Uint8Array>;
  readonly #content: AsyncIterator<Uint8Array>;
  /** Of an event stream: what holds its end back. */
  readonly #gate: EventGate | null;
  readonly #request: Asked;
  readonly #now: () => number;
  #state: State = { kind: "reading" };
  #cancelled = false;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  #lastStep: Promise<unknown> = Promise.resolve();

  constructor(exchange: Exchange, message: DecodedResponse, request: Asked, now: () => number) {
    this.exchange = exchange;
    this.message = message;
    this.#request = request;
    this.#now = now;
    this.#content = message.content[Symbol.asyncIterator]();
    this.#gate = isEventStream(message.headers) ? new EventGate() : null;
    this.body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => this.#pull(),
      cancel: () => this.#cancel(),
    });
  }

  /** Reads to the end. @throws what the reader of the body gets to see. */
  async finish(): Promise<Result> {
    for (;;) {
      const state = this.#state;
      if (state.kind === "verified") return state.result;
      if (state.kind === "failed") throw state.error;
      await this.#step();
    }
  }

  /** Steps until there is something to read: a stream is not asked again before it had something. */
  async #pull(): Promise<void> {
    while (this.#state.kind === "reading") if (await this.#step()) return;
  }

  /** Queues one step after those under way. Never rejects: failures are the state's. */
  #step(): Promise<boolean> {
    const step = this.#lastStep.then(() => this.#advance());
    this.#lastStep = step;
    return step;
  }

  /** Whether it gave the reader something. */
  async #advance(): Promise<boolean> {
    if (this.#state.kind !== "reading") return false;
    try {
      const next = await this.#content.next();
      if (next.done !== true) {
        return await this.#receive(next.value);
      }
      const { status } = this.message;
      const result = await this.exchange.conclude(status, this.message.trailers());
      if (!("proof" in result)) throw this.#refusal(result);
      this.#state = { kind: "verified", result };
      this.#enqueue(this.#gate?.open() ?? []);
      if (!this.#cancelled) this.#controller?.close();
      return true;
    } catch (error) {
      // What follows would be read by nobody: the enclave need not make it.
      this.#request.leave();
      if (this.#cancelled) return false;
      const { exchange, message } = this;
      const { signal } = this.#request;
      const reason = await explain(error, exchange, message.status, signal, this.#now);
      this.#state = { kind: "failed", error: reason };
      if (!this.#cancelled) this.#controller?.error(reason);
      return true;
    }
  }

  /** Whether there is something to read now. @throws VerdictError where a checkpoint does not hold. */
  async #receive(chunk: Uint8Array): Promise<boolean> {
    const receipt = this.#gate === null ? null : parseCheckpoint(chunk);
    if (receipt !== null) {
      const refused = await this.exchange.judgeCheckpoint(receipt, this.message.status);
      if (refused !== null) throw this.#refusal(refused);
    }
    await this.exchange.received(chunk);
    return this.#enqueue(this.#gate?.pass(chunk) ?? [chunk]);
  }

  #refusal(verdict: Verdict): VerdictError {
    return new VerdictError(verdict, { checkpoint: this.exchange.checkpoint });
  }

  #enqueue(chunks: readonly Uint8Array[]): boolean {
    if (this.#cancelled) return false;
    for (const chunk of chunks) this.#controller?.enqueue(chunk);
    return chunks.length > 0;
  }

  /** The reader wants no more: the connection is let go, and there will be no receipt. */
  async #cancel(): Promise<void> {
    this.#cancelled = true;
    if (this.#state.kind !== "reading") return;
    this.#state = {
      kind: "failed",
      error: new ClientError("client/aborted", "the response was not read to its end"),
    };
    // A read that is pending would otherwise be waited for, and the enclave work on until it came.
    this.#request.leave();
    await this.#content.return?.();
  }
}

/** What a failure while reading a response means. */
async function explain(
  error: unknown,
  exchange: Exchange,
  status: number | null,
  signal: AbortSignal,
  now: () => number,
): Promise<unknown> {
  if (error instanceof VerdictError || error instanceof ClientError) return error;
  if (signal.aborted) {
    return new ClientError("client/aborted", "the caller ended the request", { cause: error });
  }
  if (error instanceof ProtocolError && !error.code.endsWith("/truncated")) {
    const tampered = error.code === "hpke/open";
    const found = tampered ? "a response that does not decrypt" : error.message;
    const failure = tampered ? "tampered" : "malformed";
    const verdict = damagedResponse(exchange.epoch, failure, found, now());
    return new VerdictError(verdict, { cause: error, checkpoint: exchange.checkpoint });
  }
  // The stream ended, or the connection broke: what was read is authentic, and not all.
  const verdict = await exchange.concludeTruncated(status);
  return new VerdictError(verdict, { cause: error, checkpoint: exchange.checkpoint });
}
