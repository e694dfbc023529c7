/** What the enclave fetches from its host at boot. Nothing of it is trusted: see models/load.ts. */
import { parseProvisioning, type Provisioning } from "@countersign/protocol";
import { type IncomingMessage, request } from "node:http";
import type { Clock } from "./clock.ts";
import { EnclaveError } from "./errors.ts";
import type { Transport } from "./transport.ts";

/** The profile of protocol/provisioning.ts takes no more. */
const MAX_PROVISIONING_BYTES = 16_777_216;
/** The host has this long to answer, and between two pieces of an answer. */
const IDLE_TIMEOUT_MS = 60_000;
/** And this long for all of an answer, with as much again as its bytes take at the slowest. */
const ANSWER_TIMEOUT_MS = 60_000;
const MIN_BYTES_PER_MS = 1_024;
/** Between two attempts to reach a host that is not there yet. */
const RETRY_MS = 500;
const HOST_NAME = "host";

/** The face of the host during boot. */
export interface Provisioner {
  /** @throws EnclaveError `provision/…`, ProtocolError `provisioning/…`. */
  fetchProvisioning(): Promise<Provisioning>;
  /**
   * Streams one file of a model. The host may send anything.
   *
   * @param size - of the file; what the host may take for it depends on that.
   * @throws EnclaveError `provision/…`.
   */
  fetchModelFile(
    id: string,
    version: string,
    path: string,
    size: number,
  ): AsyncIterable<Uint8Array>;
}

export interface ProvisionerOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  /** A host that nobody answers for is tried again for this long: it may start after the enclave. */
  readonly patienceMs: number;
}

export function provisioner(options: ProvisionerOptions): Provisioner {
  const { transport, clock } = options;
  const get = (path: string, size: number): Answer =>
    new Answer(transport, path, new Deadlines(clock, answerTimeoutMs(size)));
  return {
    async fetchProvisioning() {
      const answer = await reached(() => get("/provisioning", MAX_PROVISIONING_BYTES), options);
      return parseProvisioning(await whole(answer.body()));
    },
    fetchModelFile(id, version, path, size) {
      const segments = ["models", id, version, ...path.split("/")];
      return get(`/${segments.map(encodeURIComponent).join("/")}`, size).body();
    },
  };
}

function answerTimeoutMs(size: number): number {
  return ANSWER_TIMEOUT_MS + Math.ceil(size / MIN_BYTES_PER_MS);
}

/** The first answer that has a head: before that, nobody may be there yet. */
async function reached(ask: () => Answer, options: ProvisionerOptions): Promise<Answer> {
  const { clock, patienceMs } = options;
  const lastMs = clock.monotonicMs() + patienceMs;
  for (;;) {
    const answer = ask();
    try {
      await answer.head;
      return answer;
    } catch (error) {
      const absent = error instanceof EnclaveError && error.code === "provision/unreachable";
      if (!absent || clock.monotonicMs() + RETRY_MS > lastMs) throw error;
    }
    await new Promise<void>((resolve) => {
      clock.after(RETRY_MS, resolve);
    });
  }
}

/** @throws EnclaveError `provision/too-large`. */
async function whole(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body) {
    length += piece.length;
    if (length > MAX_PROVISIONING_BYTES) {
      throw new EnclaveError("provision/too-large", `more than ${MAX_PROVISIONING_BYTES} bytes`);
    }
    pieces.push(piece);
  }
  return new Uint8Array(Buffer.concat(pieces));
}

/** One request to the host, on a connection of its own, and what comes back. */
class Answer {
  /** Rejects with EnclaveError `provision/unreachable` or `provision/slow`. */
  readonly head: Promise<IncomingMessage>;
  readonly #path: string;
  readonly #deadlines: Deadlines;

  constructor(transport: Transport, path: string, deadlines: Deadlines) {
    this.#path = path;
    this.#deadlines = deadlines;
    this.head = new Promise((resolve, reject) => {
      // Without an agent: one connection a request, made by the transport.
      const outgoing = request({ createConnection: () => transport.dial(), host: HOST_NAME, path });
      outgoing.once("response", resolve);
      // Stays: what is heard after the head is heard by the body's reader as well.
      outgoing.on("error", (cause) => {
        reject(this.#failure("no answer", cause));
      });
      // Without an error too: an answer that goes over to another protocol (RFC 9110 §15.2.2).
      outgoing.once("close", () => {
        reject(this.#failure("no answer", null));
      });
      deadlines.start((error) => outgoing.destroy(error));
      outgoing.end();
    });
    // Whoever reads the body waits for the head, a moment later.
    this.head.catch(() => {
      deadlines.clear();
    });
  }

  /** The body of a 200 answer, whole or an error: node:http fails a body that is cut short. */
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
      }
    } catch (cause) {
      throw this.#failure("the answer is cut short", cause);
    } finally {
      this.#deadlines.clear();
      response.destroy();
    }
  }

  /** What ended it: a reason of ours, if there is one, and not that the connection was then closed. */
  #failure(what: string, cause: unknown): EnclaveError {
    const late = this.#deadlines.passed;
    if (late !== null) return late;
    if (cause instanceof EnclaveError) return cause;
    return new EnclaveError("provision/unreachable", `${this.#path}: ${what}`, { cause });
  }
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
