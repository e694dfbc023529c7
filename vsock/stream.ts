/**
 * A vsock connection as a stream: what node:http, and everything else here, sees.
 *
 * It exists before it is connected, keeps what is written until then, and closes as a whole: `end()`
 * sends what was written and closes both ways, because not every device carries half a close. The end of
 * a message comes from its framing.
 */
import { Duplex } from "node:stream";
import { streamFailure, VsockError } from "./errors.ts";
import type { Inner } from "./inner.ts";

/**
 * Bytes in one call of write(2), and so in one packet.
 *
 * From 32 KiB on, header and bookkeeping (44 and 320 bytes) included, Linux builds a packet of several
 * pieces (6693731487a8, in 6.17 and later stable series), and hypervisors are known that put them together
 * wrongly or not at all: cloud-hypervisor issue 7672, libkrun issue 535. Seven pages fit in one piece.
 */
export const MAX_WRITE_BYTES = 28_672;

type Callback = (error?: Error | null) => void;
interface Chunk {
  readonly chunk: Buffer;
}

export class VsockStream extends Duplex {
  #inner: Inner | null = null;
  /** Stops a connect that is under way. */
  readonly #abandon: () => void;
  /** What waits for the connection: one write, or the end. */
  #waiting: (() => void) | null = null;
  /** The write under way; told so when the stream is destroyed. */
  #unwritten: Callback | null = null;
  #wanted = false;
  #held = true;
  #idle: NodeJS.Timeout | null = null;
  /** As on net.Socket: zero is none. */
  timeout = 0;

  constructor(abandon: () => void) {
    super({ allowHalfOpen: false });
    this.#abandon = abandon;
    this.once("finish", () => this.destroy());
  }

  /** Gives the stream its connection, which it owns from now on. */
  attach(inner: Inner): void {
    if (this.destroyed) {
      inner.on("error", () => undefined).destroy();
      return;
    }
    this.#inner = inner;
    if (!this.#held) inner.unref();
    inner.on("data", (bytes: Buffer) => {
      this.#touch();
      if (!this.push(bytes)) this.#pause(inner);
    });
    inner.on("end", () => this.push(null));
    inner.on("error", (error: Error) => this.destroy(streamFailure(error)));
    inner.on("close", () => this.destroy(new VsockError("vsock/reset", "the connection closed")));
    if (!this.#wanted) inner.pause();
    this.#touch();
    this.emit("connect");
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.();
  }

  override _read(): void {
    this.#wanted = true;
    this.#inner?.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.#send([{ chunk }], callback);
  }

  override _writev(chunks: readonly Chunk[], callback: Callback): void {
    this.#send(chunks, callback);
  }

  override _final(callback: Callback): void {
    // Each write was with the kernel before its callback: what is left is to close.
    this.#whenConnected(callback);
  }

  override _destroy(error: Error | null, callback: Callback): void {
    this.#abandon();
    this.setTimeout(0);
    this.#waiting = null;
    const unwritten = this.#unwritten;
    this.#unwritten = null;
    const closed = (): void => {
      unwritten?.(error ?? new VsockError("vsock/reset", "closed before it was written"));
      callback(error);
    };
    if (this.#inner === null || this.#inner.closed) return closed();
    this.#inner.once("close", closed).destroy();
  }

  ref(): this {
    this.#held = true;
    this.#inner?.ref();
    return this;
  }

  unref(): this {
    this.#held = false;
    this.#inner?.unref();
    return this;
  }

  /** As on net.Socket: "timeout" after so long without a byte either way; nothing is closed by it. */
  setTimeout(timeoutMs: number, listener?: () => void): this {
    this.timeout = timeoutMs;
    if (listener !== undefined) {
      if (timeoutMs === 0) this.removeListener("timeout", listener);
      else this.once("timeout", listener);
    }
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#idle = null;
    if (timeoutMs > 0 && !this.destroyed) {
      this.#idle = setTimeout(() => this.emit("timeout"), timeoutMs).unref();
    }
    return this;
  }

  /** There is no Nagle on vsock; node:http asks for this of every socket. */
  setNoDelay(): this {
    return this;
  }

  /** The machines know of each other's end; node:http's agents ask for this. */
  setKeepAlive(): this {
    return this;
  }

  #pause(inner: Inner): void {
    this.#wanted = false;
    inner.pause();
  }

  #touch(): void {
    this.#idle?.refresh();
  }

  #whenConnected(go: () => void): void {
    if (this.#inner === null) this.#waiting = go;
    else go();
  }

  #send(chunks: readonly Chunk[], callback: Callback): void {
    this.#unwritten = callback;
    this.#whenConnected(() => {
      this.#sendNext(pieces(chunks));
    });
  }

  /** One piece after another is with the kernel, so that it never sees two at once. */
  #sendNext(rest: Iterator<Buffer, void, void>): void {
    const { value, done } = rest.next();
    if (done === true) return this.#written(null);
    this.#inner?.write(value, (error) => {
      this.#touch();
      if (error !== undefined && error !== null) this.#written(streamFailure(error));
      else if (!this.destroyed) this.#sendNext(rest);
    });
  }

  #written(error: Error | null): void {
    const callback = this.#unwritten;
    this.#unwritten = null;
    callback?.(error);
  }
}

/** The bytes of `chunks` in pieces of at most {@link MAX_WRITE_BYTES}: small ones together, large ones cut. */
export function* pieces(chunks: readonly Chunk[]): Generator<Buffer, void, void> {
  let small: Buffer[] = [];
  let length = 0;
  for (const { chunk } of chunks) {
    for (let from = 0; from < chunk.length; from += MAX_WRITE_BYTES) {
      const piece = chunk.subarray(from, from + MAX_WRITE_BYTES);
      if (length + piece.length > MAX_WRITE_BYTES) {
        yield joined(small);
        small = [];
        length = 0;
      }
      small.push(piece);
      length += piece.length;
    }
  }
  if (length > 0) yield joined(small);
}

function joined(buffers: readonly Buffer[]): Buffer {
  const [first, second] = buffers;
  return first !== undefined && second === undefined ? first : Buffer.concat(buffers);
}
