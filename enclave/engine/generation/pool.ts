import { EnclaveError } from "../../errors.ts";

/**
 * The memory of all caches: buffers that are kept by size and used again, never more than the limit.
 *
 * A buffer that comes back holds zeros: whoever gives it back has cleared what it wrote. That is not for
 * secrecy alone. A masked slot counts for nothing only where it is finite (0 × ∞ is no number), so what
 * one client left there could otherwise reach another's answer.
 */
export class CachePool {
  readonly limitBytes: number;
  readonly #free = new Map<number, ArrayBuffer[]>();
  #freeBytes = 0;
  #usedBytes = 0;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  /** Bytes of the buffers that are out. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Bytes of all buffers, those that wait to be used again among them. */
  get totalBytes(): number {
    return this.#usedBytes + this.#freeBytes;
  }

  /** A buffer of zeros. @throws {@link EnclaveError} `memory/full`. */
  acquire(bytes: number): ArrayBuffer {
    const kept = this.#free.get(bytes)?.pop();
    if (kept !== undefined) {
      this.#freeBytes -= bytes;
      this.#usedBytes += bytes;
      return kept;
    }
    if (this.totalBytes + bytes > this.limitBytes) this.#drop(this.totalBytes + bytes);
    if (this.totalBytes + bytes > this.limitBytes) throw full();
    let fresh: ArrayBuffer;
    try {
      fresh = new ArrayBuffer(bytes);
    } catch {
      // The machine has less than the limit says.
      throw full();
    }
    this.#usedBytes += bytes;
    return fresh;
  }

  /** Takes a buffer back, all zeros again. */
  release(buffer: ArrayBuffer): void {
    const bytes = buffer.byteLength;
    this.#usedBytes -= bytes;
    this.#freeBytes += bytes;
    const kept = this.#free.get(bytes);
    if (kept === undefined) this.#free.set(bytes, [buffer]);
    else kept.push(buffer);
  }

  /** Gives memory back to the machine until `wanted` bytes in all are within the limit. */
  #drop(wanted: number): void {
    let excess = wanted - this.limitBytes;
    for (const [bytes, buffers] of this.#free) {
      while (excess > 0) {
        const buffer = buffers.pop();
        if (buffer === undefined) break;
        // Its memory is given back now, and not when the garbage is next collected.
        buffer.transfer(0);
        this.#freeBytes -= bytes;
        excess -= bytes;
      }
      if (buffers.length === 0) this.#free.delete(bytes);
    }
  }
}

function full(): EnclaveError {
  return new EnclaveError("memory/full", "no memory for the keys and values of this text");
}
