/** What an enclave without a pipe to us does at its host's services: it asks for its models, and tells its log. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type EnclaveLine, EnclaveLogReader } from "./enclave-log.ts";
import { LOG_PAUSE_MS } from "./limits.ts";
import type { Log } from "./log.ts";

/** Whoever supervises the enclave that is expected. */
export interface ContactListener {
  /** It fetched its configuration: it is one that boots now. */
  provisioned(): void;
  line(line: EnclaveLine): void;
}

/**
 * One enclave talks to its host at a time.
 *
 * Its log is one request whose body goes on for as long as it lives. Of two such requests the later one
 * counts: a dead enclave's connection may linger, a living one has no reason to open another.
 */
export class EnclaveContact {
  readonly #reader: EnclaveLogReader;
  #listener: ContactListener | null = null;
  #stream: { readonly incoming: IncomingMessage; readonly closed: Promise<void> } | null = null;

  constructor(log: Log) {
    this.#reader = new EnclaveLogReader("enclave", log, (line) => this.#listener?.line(line));
  }

  /** From now on what comes is `listener`'s. Returns what ends that. */
  listen(listener: ContactListener): () => void {
    this.#listener = listener;
    return () => {
      if (this.#listener === listener) this.#listener = null;
    };
  }

  /** Breaks off a log that an earlier enclave may have left open. */
  forget(): void {
    this.#stream?.incoming.destroy();
    this.#stream = null;
  }

  provisioned(): void {
    this.#listener?.provisioned();
  }

  /** Takes over a `POST /log`. */
  take(incoming: IncomingMessage, outgoing: ServerResponse): void {
    this.forget();
    const closed = Promise.withResolvers<void>();
    const stream = { incoming, closed: closed.promise };
    this.#stream = stream;
    const read = this.#reader.stream();
    incoming.on("data", (chunk: Uint8Array) => {
      // What is still buffered of a log that was broken off is nobody's.
      if (this.#stream !== stream) return;
      read(chunk);
      if (!this.#reader.flooded()) return;
      // Dropping takes time as well. The enclave has a bound of its own for lines that do not get away.
      incoming.pause();
      setTimeout(() => incoming.resume(), LOG_PAUSE_MS).unref();
    });
    incoming.on("end", () => {
      outgoing.writeHead(204).end();
    });
    // A body that breaks off is an enclave that is gone, or about to connect anew: its supervisor finds out.
    incoming.on("error", () => undefined);
    outgoing.on("error", () => undefined);
    incoming.on("close", () => {
      if (this.#stream === stream) this.#stream = null;
      this.#reader.flush();
      closed.resolve();
    });
  }

  /** Resolves once the log of the enclave that is gone has been read, at the latest after `timeoutMs`. */
  async drained(timeoutMs: number): Promise<void> {
    if (this.#stream === null) return;
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, timeoutMs);
    await Promise.race([this.#stream.closed, late.promise]);
    clearTimeout(timer);
  }
}
