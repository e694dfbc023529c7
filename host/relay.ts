/**
 * The gateway: an encrypted request goes to the enclave as it comes, and its answer back.
 *
 * Raw Node streams, so that a slow side slows the other and a side that leaves ends the other. An
 * answer that the enclave did not finish is never finished here: the connection breaks instead.
 */
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from "node:http";
import { pipeline } from "node:stream";
import { MEDIA_REQUEST } from "@countersign/protocol";
import {
  answerOf,
  CORS,
  type Refusal,
  refuse,
  refuseForNow,
  REQUEST_ID_FIELD,
  sendEarly,
} from "./answers.ts";
import type { Observer, Outcome } from "./observe.ts";
import { outcomeOf } from "./observe.ts";
import type { EnclaveView } from "./supervisor.ts";
import { ENCLAVE_HOST, type Upstream } from "./upstream.ts";

export interface RelayLimits {
  readonly maxBodyBytes: number;
  readonly maxInFlight: number;
  /** For a connection on which something has to move. */
  readonly idleTimeoutMs: number;
  /** From the request to the first byte of its answer. */
  readonly answerTimeoutMs: number;
}

export interface RelayOptions {
  readonly upstream: Upstream;
  readonly enclave: EnclaveView;
  readonly limits: RelayLimits;
  readonly observer: Observer;
  readonly inFlight: InFlight;
  readonly nextRequestId: () => string;
}

/** Exchanges under way. */
export class InFlight {
  #count = 0;
  readonly #idle: (() => void)[] = [];

  get count(): number {
    return this.#count;
  }

  enter(): void {
    this.#count += 1;
  }

  leave(): void {
    this.#count -= 1;
    if (this.#count === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Resolves when there is none, at the latest after `timeoutMs`. True: there is none. */
  async drained(timeoutMs: number): Promise<boolean> {
    if (this.#count === 0) return true;
    const idle = Promise.withResolvers<boolean>();
    this.#idle.push(() => {
      idle.resolve(true);
    });
    const timer = setTimeout(() => {
      idle.resolve(false);
    }, timeoutMs);
    const drained = await idle.promise;
    clearTimeout(timer);
    return drained;
  }
}

/** Takes over one `POST` of the gateway; the answer is written to `outgoing`. */
export function relay(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  options: RelayOptions,
): void {
  const exchange = new Exchange(incoming, outgoing, options);
  const refusal = refusalOf(incoming, options);
  if (refusal === null) exchange.forward();
  else exchange.refuse(refusal);
}

/** What speaks against the request before a byte of its body is read. */
function refusalOf(incoming: IncomingMessage, options: RelayOptions): Refusal | null {
  const { limits, enclave, inFlight } = options;
  if (incoming.headers["content-type"]?.toLowerCase() !== MEDIA_REQUEST) {
    return refuse("mediaType", `The gateway takes ${MEDIA_REQUEST}`);
  }
  const declared = incoming.headers["content-length"];
  if (declared !== undefined && Number(declared) > limits.maxBodyBytes) {
    return tooLarge(limits);
  }
  if (!enclave.serving) return refuseForNow("unavailable", "The enclave is starting");
  if (inFlight.count >= limits.maxInFlight) {
    return refuseForNow("unavailable", "As many requests as this node takes are under way");
  }
  return null;
}

function tooLarge(limits: RelayLimits): Refusal {
  return refuse("tooLarge", `The gateway takes ${limits.maxBodyBytes} bytes at most`);
}

class Exchange {
  readonly #incoming: IncomingMessage;
  readonly #outgoing: ServerResponse;
  readonly #options: RelayOptions;
  readonly #startedAtMs = performance.now();
  readonly #requestId: string;
  #upstream: ClientRequest | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** The enclave's answer once it began. */
  #answer: IncomingMessage | null = null;
  #refused = false;
  #expired = false;
  #bytesIn = 0;
  #bytesOut = 0;

  constructor(incoming: IncomingMessage, outgoing: ServerResponse, options: RelayOptions) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
    this.#options = options;
    this.#requestId = options.nextRequestId();
    // The end of every exchange: after the last byte, or when either side broke off.
    outgoing.on("close", () => {
      this.#end();
    });
    // A client that leaves closes `outgoing` too; without a listener this would be thrown.
    incoming.on("error", () => {
      this.#upstream?.destroy();
    });
  }

  /** Answers by ourselves. */
  refuse(refusal: Refusal): void {
    this.#refused = true;
    const answer = answerOf(refusal, this.#requestId);
    this.#bytesOut = Buffer.byteLength(answer.body);
    sendEarly(this.#incoming, this.#outgoing, answer);
  }

  /** Sends the request on. */
  forward(): void {
    const { upstream, limits, inFlight } = this.#options;
    inFlight.enter();
    const length = this.#incoming.headers["content-length"];
    const sent = request({
      agent: upstream.agent,
      host: ENCLAVE_HOST,
      method: "POST",
      path: "/gateway",
      headers: {
        "content-type": MEDIA_REQUEST,
        ...(length === undefined ? {} : { "content-length": length }),
      },
      // Of the connection to the enclave. Both directions cross it, so that it is idle when either
      // side does not read, or does not write.
      timeout: limits.idleTimeoutMs,
    });
    this.#upstream = sent;
    this.#timer = setTimeout(() => {
      this.#expire();
    }, limits.answerTimeoutMs);
    sent.on("response", (answer) => {
      this.#pass(answer);
    });
    sent.on("timeout", () => {
      // An enclave that has all of the request may think for as long as the other limit says.
      if (this.#answer !== null || !sent.writableFinished) this.#expire();
    });
    sent.on("error", () => {
      this.#fail(refuseForNow("unavailable", "The enclave did not answer"));
    });
    // Not stream.pipeline: when the enclave goes, it would take the client's connection along, and
    // the answer with it.
    this.#incoming.pipe(sent);
    this.#incoming.on("data", (chunk: Uint8Array) => {
      this.#meter(chunk.length);
    });
  }

  #meter(length: number): void {
    if (this.#refused) return;
    this.#bytesIn += length;
    const { limits } = this.#options;
    if (this.#bytesIn <= limits.maxBodyBytes) return;
    if (this.#answer === null) this.#fail(tooLarge(limits));
    else this.#breakOff();
  }

  /** Passes the enclave's answer on. */
  #pass(answer: IncomingMessage): void {
    if (this.#refused) {
      answer.destroy();
      return;
    }
    const status = answer.statusCode ?? 0;
    // The parser takes any three digits; nothing below 200 ends an exchange, and 000 to 099 are no statuses.
    if (status < 200 || status > 599) {
      this.#fail(refuseForNow("unavailable", "The enclave's answer cannot be passed on"));
      return;
    }
    this.#answer = answer;
    this.#disarm();
    this.#outgoing.writeHead(status, this.#headersOf(answer));
    // Either end that breaks off destroys the other. #end tells which it was.
    pipeline(answer, this.#outgoing, () => undefined);
    answer.on("data", (chunk: Uint8Array) => {
      this.#bytesOut += chunk.length;
    });
  }

  #headersOf(answer: IncomingMessage): Record<string, string> {
    const headers: Record<string, string> = {
      ...CORS,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      [REQUEST_ID_FIELD]: this.#requestId,
    };
    for (const name of ["content-type", "content-length", "retry-after"] as const) {
      const value = answer.headers[name];
      if (value !== undefined) headers[name] = value;
    }
    return headers;
  }

  /** The enclave takes no more of the request: refused, unless its answer has begun already. */
  #fail(refusal: Refusal): void {
    const sent = this.#upstream;
    if (sent === null || this.#refused) return;
    this.#incoming.unpipe(sent);
    if (this.#answer === null) {
      this.refuse(refusal);
      sent.destroy();
    } else {
      // It answered without reading to the end, as it does for a bad request. Drop the rest.
      this.#incoming.resume();
    }
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #expire(): void {
    if (this.#answer === null) {
      this.#fail(refuseForNow("unavailable", "The enclave did not answer in time"));
    } else {
      this.#breakOff();
    }
  }

  #breakOff(): void {
    this.#expired = true;
    this.#outgoing.destroy();
  }

  #end(): void {
    this.#disarm();
    const whole = this.#outgoing.writableFinished;
    const outcome = this.#outcome(whole);
    if (this.#upstream !== null) {
      this.#options.inFlight.leave();
      // Unless both messages are through, the connection to the enclave is of no more use.
      if (!whole || !this.#incoming.readableEnded) this.#upstream.destroy();
    }
    this.#options.observer.record({
      route: "gateway",
      outcome,
      status: this.#outgoing.headersSent ? this.#outgoing.statusCode : 0,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      durationMs: performance.now() - this.#startedAtMs,
      requestId: this.#requestId,
    });
  }

  #outcome(whole: boolean): Outcome {
    if (whole) return outcomeOf(this.#outgoing.statusCode);
    // When the client leaves, this runs before the enclave's answer is destroyed for it.
    const lost = this.#answer !== null && this.#answer.destroyed && !this.#answer.complete;
    return lost || this.#expired ? "broken" : "cancelled";
  }
}
