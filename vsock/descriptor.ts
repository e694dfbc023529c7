/**
 * The fallback: a stream over a descriptor with Node's public `fs.read` and `fs.write`.
 *
 * The descriptor never waits, so no thread of libuv's pool is held by a silent peer; what cannot go on
 * waits in readiness.ts instead. It is correct and slower: a byte that comes to an idle stream is seen
 * after up to 10 ms.
 */
import { close, read, write } from "node:fs";
import { Duplex } from "node:stream";
import { systemFailure } from "./errors.ts";
import type { Accept, Inner, InnerListener, Streams } from "./inner.ts";
import { acceptSocket, closeDescriptor, POLLIN, POLLOUT } from "./libc.ts";
import { whenReady, type Watch } from "./readiness.ts";

const READ_BYTES = 65_536;
/** What a call says that could not go on now. ENOBUFS: a queue of the device is full. */
const WAITS: ReadonlySet<string> = new Set(["EAGAIN", "EINTR", "ENOBUFS"]);
/** Before a call that poll(2) thinks possible and the kernel does not. */
const RETRY_MS = 5;
/** Connections taken in one turn of the loop, so that a flood leaves room for what is open. */
const MAX_ACCEPTS = 64;

type Done = (error: NodeJS.ErrnoException | null, count: number) => void;
type Callback = (error?: Error | null) => void;

/** One direction of a stream: a call at a time, and what it waits for. */
interface Direction {
  readonly events: number;
  watch: Watch | null;
  timer: NodeJS.Timeout | null;
  /** A call is with libuv: the descriptor may not be closed under it. */
  busy: boolean;
}

class DescriptorStream extends Duplex implements Inner {
  readonly #fd: number;
  readonly #reading: Direction = { events: POLLIN, watch: null, timer: null, busy: false };
  readonly #writing: Direction = { events: POLLOUT, watch: null, timer: null, busy: false };
  readonly #scratch = Buffer.allocUnsafeSlow(READ_BYTES);
  #held = true;
  /** A write that is not done; told so when the stream is destroyed. */
  #unwritten: Callback | null = null;
  #released: (() => void) | null = null;

  constructor(fd: number) {
    super({ allowHalfOpen: true });
    this.#fd = fd;
  }

  override _read(): void {
    if (this.#reading.busy || this.#reading.watch !== null || this.#reading.timer !== null) return;
    const call = (done: Done): void => {
      read(this.#fd, this.#scratch, 0, READ_BYTES, null, done);
    };
    this.#perform(this.#reading, call, (error, count) => {
      if (error !== null) this.destroy(error);
      else this.push(count === 0 ? null : Buffer.from(this.#scratch.subarray(0, count)));
    });
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.#unwritten = callback;
    this.#writeOn(chunk, callback);
  }

  override _destroy(error: Error | null, callback: Callback): void {
    for (const direction of [this.#reading, this.#writing]) {
      direction.watch?.cancel();
      if (direction.timer !== null) clearTimeout(direction.timer);
    }
    const unwritten = this.#unwritten;
    this.#unwritten = null;
    const release = (): void => {
      close(this.#fd, () => {
        unwritten?.(error ?? systemFailure("write", "ECANCELED"));
        callback(error);
      });
    };
    if (this.#reading.busy || this.#writing.busy) this.#released = release;
    else release();
  }

  ref(): this {
    return this.#hold(true);
  }

  unref(): this {
    return this.#hold(false);
  }

  #hold(held: boolean): this {
    this.#held = held;
    this.#reading.watch?.hold(held);
    this.#writing.watch?.hold(held);
    return this;
  }

  #writeOn(chunk: Buffer, callback: Callback): void {
    const call = (done: Done): void => {
      write(this.#fd, chunk, 0, chunk.length, null, done);
    };
    this.#perform(this.#writing, call, (error, count) => {
      if (error === null && count < chunk.length) {
        return this.#writeOn(chunk.subarray(count), callback);
      }
      this.#unwritten = null;
      callback(error);
    });
  }

  /** Calls until the call goes on or fails, and not once the stream is destroyed. */
  #perform(direction: Direction, call: (done: Done) => void, settled: Done): void {
    direction.busy = true;
    call((error, count) => {
      direction.busy = false;
      if (this.destroyed) return this.#release();
      if (error === null || !WAITS.has(error.code ?? "")) return settled(error, count);
      const again = (): void => {
        direction.watch = null;
        direction.timer = null;
        this.#perform(direction, call, settled);
      };
      if (error.code === "ENOBUFS") direction.timer = setTimeout(again, RETRY_MS);
      else direction.watch = whenReady(this.#fd, direction.events, this.#held, again);
    });
  }

  #release(): void {
    if (this.#reading.busy || this.#writing.busy) return;
    this.#released?.();
    this.#released = null;
  }
}

/** Accepts at a descriptor until it is closed. */
class DescriptorListener implements InnerListener {
  readonly #fd: number;
  readonly #accept: Accept;
  #watch: Watch | null = null;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(fd: number, accept: Accept) {
    this.#fd = fd;
    this.#accept = accept;
    this.#wait();
  }

  close(): Promise<void> {
    this.#watch?.cancel();
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (!this.#closed) closeDescriptor(this.#fd);
    this.#closed = true;
    return Promise.resolve();
  }

  #wait(): void {
    this.#watch = whenReady(this.#fd, POLLIN, true, () => {
      this.#take();
    });
  }

  #take(): void {
    for (let taken = 0; taken < MAX_ACCEPTS && !this.#closed; taken++) {
      const accepted = acceptSocket(this.#fd);
      if ("failed" in accepted) {
        // No descriptors or no memory: the rest waits in the backlog, and we do not spin.
        if (!WAITS.has(accepted.failed.error)) return this.#pause();
        break;
      }
      this.#accept(new DescriptorStream(accepted.value), accepted.value);
    }
    if (!this.#closed) this.#wait();
  }

  #pause(): void {
    this.#timer = setTimeout(() => {
      this.#wait();
    }, RETRY_MS);
  }
}

/** Streams and listeners with public calls only. */
export const descriptorStreams: Streams = {
  open: (fd) => new DescriptorStream(fd),
  listen: (fd, accept) => new DescriptorListener(fd, accept),
};
