/**
 * The log's way out of an image: lines to the host, in the body of one long `POST /log`.
 *
 * The host may read them slowly, break off or not be there: at most {@link MAX_LINES} wait, and the
 * oldest make room. A line that a broken connection may have lost is sent again, so that the reason of
 * an end is not missed; the host may see such a line twice.
 */
import { type ClientRequest, request } from "node:http";
import type { Duplex } from "node:stream";
import type { Clock } from "./clock.ts";
import { jsonLog } from "./log.ts";

/** Lines that wait for the host. */
const MAX_LINES = 256;
const RECONNECT_MS = 1_000;
const HOST_NAME = "host";

export class HostLog {
  readonly #dial: () => Duplex;
  readonly #clock: Clock;
  /** Oldest first. */
  readonly #waiting: string[] = [];
  /** With the connection, and not known to have left us. */
  #unconfirmed: string[] = [];
  /** Lines that had to make room since the host was last told of some. */
  #dropped = 0;
  #connection: ClientRequest | null = null;
  /** The connection takes no more until it says so. */
  #blocked = false;
  #cancelReconnect: () => void = () => undefined;
  /** Set by {@link flush}, once. */
  #onFlushed: (() => void) | null = null;

  constructor(dial: () => Duplex, clock: Clock) {
    this.#dial = dial;
    this.#clock = clock;
  }

  /** Sends from now on; until then lines only wait. */
  open(): void {
    if (this.#connection !== null) return;
    this.#cancelReconnect();
    const outgoing = request({
      createConnection: this.#dial,
      host: HOST_NAME,
      method: "POST",
      path: "/log",
      headers: { "content-type": "application/x-ndjson" },
    });
    this.#connection = outgoing;
    this.#blocked = false;
    outgoing.on("drain", () => {
      this.#blocked = false;
      this.#send();
    });
    // An answer to less than all of it is a host that takes no more.
    outgoing.on("response", () => outgoing.destroy());
    outgoing.on("error", () => {
      this.#lost(outgoing);
    });
    outgoing.on("close", () => {
      this.#lost(outgoing);
    });
    outgoing.flushHeaders();
    this.#send();
  }

  /** @param line - with its line feed. */
  write(line: string): void {
    this.#waiting.push(line);
    this.#makeRoom();
    this.#send();
  }

  /**
   * Ends the body; nothing is to be written any more. Resolves when the host has answered to all of it
   * or is gone, at the latest after `limitMs`.
   */
  flush(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(limitMs, () => {
        this.#connection?.destroy();
        resolve();
      });
      this.#onFlushed = () => {
        cancel();
        resolve();
      };
      this.open();
      this.#send();
    });
  }

  #send(): void {
    const outgoing = this.#connection;
    if (outgoing === null || outgoing.writableEnded) return;
    if (this.#dropped > 0 && !this.#blocked) {
      const lines = this.#dropped;
      this.#dropped = 0;
      jsonLog((line) => this.#waiting.unshift(line), this.#clock.nowMs)("log-dropped", { lines });
    }
    while (!this.#blocked) {
      const line = this.#waiting.shift();
      if (line === undefined) break;
      this.#unconfirmed.push(line);
      this.#blocked = !outgoing.write(line, (error) => {
        if (error === null || error === undefined) this.#unconfirmed.shift();
      });
    }
    if (this.#onFlushed !== null && this.#waiting.length === 0) outgoing.end();
  }

  /** Once for each connection: what it had goes to the next one. */
  #lost(outgoing: ClientRequest): void {
    if (this.#connection !== outgoing) return;
    this.#connection = null;
    outgoing.destroy();
    this.#waiting.unshift(...this.#unconfirmed);
    this.#unconfirmed = [];
    this.#makeRoom();
    if (this.#onFlushed !== null) {
      this.#onFlushed();
      return;
    }
    this.#cancelReconnect = this.#clock.after(RECONNECT_MS, () => {
      this.open();
    });
  }

  #makeRoom(): void {
    while (this.#waiting.length > MAX_LINES) {
      this.#waiting.shift();
      this.#dropped++;
    }
  }
}
