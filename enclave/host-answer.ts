/** One answer of the host's at boot, within its time. Nothing of it is trusted. */
import { type IncomingMessage, request } from "node:http";
import type { Clock } from "./clock.ts";
import { EnclaveError, type EnclaveErrorCode } from "./errors.ts";
import { httpFault } from "./http-fault.ts";
import type { Transport } from "./transport.ts";

/** The host has this long to answer, and between two pieces of an answer. */
const IDLE_TIMEOUT_MS = 60_000;
/** And this long for all of an answer, with as much again as its bytes take at the slowest. */
const ANSWER_TIMEOUT_MS = 60_000;
const MIN_BYTES_PER_MS = 1_024;
const HOST_NAME = "host";

/** One request to the host, on a connection of its own, and what comes back. */
export class HostAnswer {
  /** Rejects with EnclaveError `provision/unreachable` or `provision/slow`. */
  readonly head: Promise<IncomingMessage>;
  readonly #path: string;
  readonly #deadlines: Deadlines;

  /** @param size - of the answer; what the host may take for it depends on that. */
  constructor(transport: Transport, clock: Clock, path: string, size: number) {
    const deadlines = new Deadlines(clock, answerTimeoutMs(size));
    this.#path = path;
    this.#deadlines = deadlines;
    this.head = new Promise((resolve, reject) => {
      // Without an agent: one connection a request, made by the transport.
      const outgoing = request({ createConnection: () => transport.dial(), host: HOST_NAME, path });
      outgoing.once("response", resolve);
      // node:http's own listener came first, and what it passes on of a piece is a copy.
      outgoing.once("socket", (socket) => {
        socket.on("data", giveBack);
      });
      // Stays: what is heard after the head is heard by the body's reader as well.
      outgoing.on("error", (cause) => {
        reject(this.#failure("no answer", httpFault(cause)));
      });
      // Without an error too: an answer that goes over to another protocol (RFC 9110 §15.2.2).
      outgoing.once("close", () => {
        reject(this.#failure("no answer"));
      });
      deadlines.start((error) => outgoing.destroy(error));
      outgoing.end();
    });
    // Whoever reads the body waits for the head, a moment later.
    this.head.catch(() => {
      deadlines.clear();
    });
  }

  /**
   * The body of a 200 answer, whole or an error: node:http fails a body that is cut short. A piece is
   * gone when the next one is asked for.
   */
  async *body(): AsyncGenerator<Uint8Array, void, void> {
    const response = await this.head;
    try {
      if (response.statusCode !== 200) {
        const status = response.statusCode ?? 0;
        throw new EnclaveError("provision/status", `${this.#path}: status ${status}`);
      }
      for await (const piece of bytesOf(response)) {
        this.#deadlines.heard();
        yield piece;
        giveBack(piece);
      }
    } catch (cause) {
      throw this.#failure("the answer is cut short", cause);
    } finally {
      this.#deadlines.clear();
      response.destroy();
    }
  }

  /** What ended it: a reason of ours, if there is one, and not that the connection was then closed. */
  #failure(what: string, cause?: unknown): EnclaveError {
    const late = this.#deadlines.passed;
    if (late !== null) return late;
    if (cause instanceof EnclaveError) return cause;
    return new EnclaveError("provision/unreachable", `${this.#path}: ${what}`, { cause });
  }
}

/** All of an answer's body. @throws EnclaveError `tooLarge` over `maxBytes`. */
export async function wholeBody(
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
  tooLarge: EnclaveErrorCode,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body) {
    length += piece.length;
    if (length > maxBytes) throw new EnclaveError(tooLarge, `more than ${maxBytes} bytes`);
    pieces.push(new Uint8Array(piece));
  }
  return new Uint8Array(Buffer.concat(pieces));
}

/**
 * Frees the memory of a piece that nobody needs any more. The garbage collector would come to it after
 * tens of megabytes of them, and those would come on top of the model that is being read.
 */
function giveBack({ buffer, length }: Uint8Array): void {
  // What is part of something larger is not this piece's to free.
  if (buffer instanceof ArrayBuffer && length === buffer.byteLength) buffer.transfer(0);
}

function answerTimeoutMs(size: number): number {
  return ANSWER_TIMEOUT_MS + Math.ceil(size / MIN_BYTES_PER_MS);
}

/** `IncomingMessage` yields buffers, as no encoding is set; its type says `any`. */
function bytesOf(response: IncomingMessage): AsyncIterable<Uint8Array> {
  return response;
}

/** How long the host may be silent, and how long it may take in all. */
class Deadlines {
  readonly #clock: Clock;
  readonly #totalMs: number;
  #cancelIdle: () => void = () => undefined;
  #cancelTotal: () => void = () => undefined;
  #end: (error: EnclaveError) => void = () => undefined;
  #passed: EnclaveError | null = null;

  constructor(clock: Clock, totalMs: number) {
    this.#clock = clock;
    this.#totalMs = totalMs;
  }

  /** The one that passed. */
  get passed(): EnclaveError | null {
    return this.#passed;
  }

  /** @param end - is called once, with the reason. */
  start(end: (error: EnclaveError) => void): void {
    this.#end = end;
    this.#cancelTotal = this.#clock.after(this.#totalMs, () => {
      this.#late(`not whole within ${this.#totalMs} ms`);
    });
    this.heard();
  }

  heard(): void {
    this.#cancelIdle();
    if (this.#passed !== null) return;
    this.#cancelIdle = this.#clock.after(IDLE_TIMEOUT_MS, () => {
      this.#late(`nothing for ${IDLE_TIMEOUT_MS} ms`);
    });
  }

  clear(): void {
    this.#cancelIdle();
    this.#cancelTotal();
  }

  #late(message: string): void {
    this.clear();
    this.#passed = new EnclaveError("provision/slow", message);
    this.#end(this.#passed);
  }
}
