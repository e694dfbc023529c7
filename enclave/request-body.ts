import type { IncomingMessage } from "node:http";
import { EnclaveError } from "./errors.ts";
import { type RequestMemory, SMALL_REQUEST_BYTES } from "./request-memory.ts";

/** Bytes held before the sender has to wait. */
const HIGH_WATER_BYTES = 262_144;
/** A sender that is silent for longer is given up. */
const IDLE_TIMEOUT_MS = 30_000;

type Waiter = {
  readonly resolve: (result: IteratorResult<Uint8Array, undefined>) => void;
  readonly reject: (error: EnclaveError) => void;
};
type End = "open" | "complete" | EnclaveError;

/**
 * The bytes of one HTTP request as they arrive, to be read once.
 *
 * It does what the stream's own iterator does in a tenth of the time, which a small request notices,
 * and ends with `exchange/too-large`, `exchange/busy`, `exchange/slow` or `exchange/aborted`.
 */
export class RequestBody implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array> {
  readonly #request: IncomingMessage;
  readonly #pieces: Uint8Array[] = [];
  readonly #maxBytes: number;
  readonly #memory: RequestMemory;
  /** Taken of the memory; given back when reading ends. */
  #taken = 0;
  #held = 0;
  #received = 0;
  #end: End = "open";
  #waiter: Waiter | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(request: IncomingMessage, maxBytes: number, memory: RequestMemory) {
    this.#request = request;
    this.#maxBytes = maxBytes;
    this.#memory = memory;
    request.on("data", (piece: Buffer) => {
      this.#take(piece);
    });
    request.on("end", () => {
      this.#finish("complete");
    });
    // "close" always comes, after "end" or instead of it; without this listener, "error" would throw.
    request.on("error", () => {
      this.#abort("the request broke off");
    });
    request.on("close", () => {
      this.#abort("the request broke off");
    });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const piece = this.#pieces.shift();
    if (piece !== undefined) {
      this.#held -= piece.length;
      if (this.#held < HIGH_WATER_BYTES && this.#request.isPaused()) this.#request.resume();
      return Promise.resolve({ done: false, value: piece });
    }
    if (this.#end === "complete") return Promise.resolve({ done: true, value: undefined });
    if (this.#end !== "open") return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      this.#timer = setTimeout(() => {
        this.#finish(new EnclaveError("exchange/slow", `silent for ${IDLE_TIMEOUT_MS} ms`));
      }, IDLE_TIMEOUT_MS);
    });
  }

  /** Nobody reads on: what still arrives is dropped, so that the answer can be sent. */
  return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#abort("reading has ended");
    this.#memory.giveBack(this.#taken);
    this.#taken = 0;
    return Promise.resolve({ done: true, value: undefined });
  }

  #take(piece: Buffer): void {
    this.#received += piece.length;
    if (this.#end !== "open") {
      // Dropped, so that the answer gets through; but not without end.
      if (this.#received > 2 * this.#maxBytes) this.#request.destroy();
      return;
    }
    if (this.#received > this.#maxBytes) {
      this.#finish(new EnclaveError("exchange/too-large", `more than ${this.#maxBytes} bytes`));
      return;
    }
    if (this.#received > SMALL_REQUEST_BYTES) {
      if (!this.#memory.take(piece.length)) {
        this.#finish(new EnclaveError("exchange/busy", "too many large requests at a time"));
        return;
      }
      this.#taken += piece.length;
    }
    // A plain view: the `slice` of a Buffer does not copy, which readers rely on.
    const bytes = new Uint8Array(piece.buffer, piece.byteOffset, piece.length);
    const waiter = this.#release();
    if (waiter !== null) {
      waiter.resolve({ done: false, value: bytes });
      return;
    }
    this.#pieces.push(bytes);
    this.#held += bytes.length;
    if (this.#held >= HIGH_WATER_BYTES) this.#request.pause();
  }

  #abort(message: string): void {
    if (this.#end === "open") this.#finish(new EnclaveError("exchange/aborted", message));
  }

  #finish(end: Exclude<End, "open">): void {
    if (this.#end !== "open") return;
    this.#end = end;
    if (end !== "complete") {
      this.#pieces.length = 0;
      this.#held = 0;
      this.#request.resume();
    }
    const waiter = this.#release();
    if (end === "complete") waiter?.resolve({ done: true, value: undefined });
    else waiter?.reject(end);
  }

  /** The reader that waits, no longer waiting. */
  #release(): Waiter | null {
    const waiter = this.#waiter;
    this.#waiter = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    return waiter;
  }
}
