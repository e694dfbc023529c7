/**
 * Reads a byte stream in pieces of any size.
 *
 * Methods without a promise answer from what has arrived: null means "not yet", and nothing was
 * consumed. So a message that is there in full is parsed without waiting, and one that arrives a
 * byte at a time costs one attempt a byte. Arrays handed out are never written to again.
 */
import { ProtocolError } from "./errors.ts";
import { readVarint, varintLength } from "./varint.ts";

const NO_BYTES = new Uint8Array(0);

export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #layer: "bhttp" | "ohttp";
  #buffer: Uint8Array = NO_BYTES;
  /** Unread bytes are #buffer[#start, #end). What is before #end is never overwritten. */
  #start = 0;
  #end = 0;
  /** Whether #buffer is ours to append to; else it is a piece of the source. */
  #own = false;
  /** Position in the stream of #buffer[0]. */
  #base = 0;
  #limit = 0;
  #keep: number | null = null;
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>, layer: "bhttp" | "ohttp") {
    this.#source = source[Symbol.asyncIterator]();
    this.#layer = layer;
  }

  /** Bytes consumed so far. */
  get position(): number {
    return this.#base + this.#start;
  }

  get available(): number {
    return this.#end - this.#start;
  }

  /** Allows `length` more bytes from here on; whatever asks for more is too large. */
  limit(length: number): void {
    this.#limit = this.position + length;
  }

  /** Narrows the limit to `length` more bytes. @throws {@link ProtocolError} where it was less. */
  limitWithin(length: number): void {
    this.#requireWithin(length);
    this.#limit = this.position + length;
  }

  /** The next `length` bytes, a view, or null where they have not arrived. */
  take(length: number): Uint8Array | null {
    this.#requireWithin(length);
    if (this.available < length) return null;
    const taken = this.#buffer.subarray(this.#start, this.#start + length);
    this.#start += length;
    return taken;
  }

  varint(): number | null {
    const first = this.#buffer[this.#start];
    if (first === undefined || this.#start === this.#end) {
      this.#requireWithin(1);
      return null;
    }
    const length = varintLength(first);
    this.#requireWithin(length);
    if (this.available < length) return null;
    const value = readVarint(this.#buffer, this.#start, `${this.#layer}/too-large`);
    this.#start += length;
    return value;
  }

  /** Bytes after their length, or null, with nothing consumed. */
  prefixed(): Uint8Array | null {
    const start = this.#start;
    const length = this.varint();
    if (length === null) return null;
    const bytes = this.take(length);
    if (bytes === null) this.#start = start;
    return bytes;
  }

  /** Goes back to a `position` since which nothing was awaited. */
  rewind(position: number): void {
    this.#start = position - this.#base;
  }

  /** Remembers this position for `kept`. */
  keep(): void {
    this.#keep = this.position;
  }

  /** A copy of the bytes consumed since `keep`. */
  kept(): Uint8Array {
    const from = (this.#keep ?? this.position) - this.#base;
    this.#keep = null;
    return new Uint8Array(this.#buffer.subarray(from, this.#start));
  }

  /** Waits for more bytes. @throws {@link ProtocolError} `…/truncated` where there are none. */
  async more(): Promise<void> {
    if (!(await this.#pull())) {
      throw new ProtocolError(`${this.#layer}/truncated`, `ends after ${this.position} bytes`);
    }
  }

  /** Whether the stream ended here. Waits only where nothing is left unread. */
  async ended(): Promise<boolean> {
    return this.available === 0 && !(await this.#pull());
  }

  async waitTake(length: number): Promise<Uint8Array> {
    for (;;) {
      const bytes = this.take(length);
      if (bytes !== null) return bytes;
      await this.more();
    }
  }

  async waitVarint(): Promise<number> {
    for (;;) {
      const value = this.varint();
      if (value !== null) return value;
      await this.more();
    }
  }

  async waitPrefixed(): Promise<Uint8Array> {
    for (;;) {
      const bytes = this.prefixed();
      if (bytes !== null) return bytes;
      await this.more();
    }
  }

  /** All that is left, up to the limit. */
  async rest(): Promise<Uint8Array> {
    do this.#requireWithin(this.available);
    while (await this.#pull());
    return this.take(this.available) ?? NO_BYTES;
  }

  /** Tells the source that nobody reads on. */
  async cancel(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#source.return?.();
  }

  #requireWithin(length: number): void {
    if (this.position + length > this.#limit) {
      throw new ProtocolError(`${this.#layer}/too-large`, `${length} bytes at ${this.position}`);
    }
  }

  async #pull(): Promise<boolean> {
    while (!this.#ended) {
      const next = await this.#source.next();
      if (next.done === true) {
        this.#ended = true;
      } else if (next.value.length > 0) {
        this.#append(next.value);
        return true;
      }
    }
    return false;
  }

  #append(piece: Uint8Array): void {
    const from = this.#keep === null ? this.#start : this.#keep - this.#base;
    const held = this.#end - from;
    if (held === 0) {
      this.#base += this.#start;
      this.#buffer = piece;
      this.#start = 0;
      this.#end = piece.length;
      this.#own = false;
      return;
    }
    if (!this.#own || this.#buffer.length - this.#end < piece.length) {
      const grown = new Uint8Array(2 * (held + piece.length));
      grown.set(this.#buffer.subarray(from, this.#end));
      this.#buffer = grown;
      this.#base += from;
      this.#start -= from;
      this.#end = held;
      this.#own = true;
    }
    this.#buffer.set(piece, this.#end);
    this.#end += piece.length;
  }
}
