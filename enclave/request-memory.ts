/** Of each request, this much is not counted: large ones never keep small ones out. */
export const SMALL_REQUEST_BYTES = 131_072;
/** What all requests under way may have sent beyond that. What is made of a byte takes a few more. */
const MAX_LARGE_BYTES = 268_435_456;

/** How much memory requests take together. One for each gateway; written synchronously only. */
export class RequestMemory {
  readonly #maxBytes: number;
  #held = 0;

  /** @param largestRequest - bytes of one request, which fits in any case when it is alone. */
  constructor(largestRequest: number) {
    this.#maxBytes = Math.max(MAX_LARGE_BYTES, largestRequest);
  }

  /** Bytes taken and not given back. */
  get held(): number {
    return this.#held;
  }

  /** Whether there was room for `bytes`, which are then taken. */
  take(bytes: number): boolean {
    if (this.#held + bytes > this.#maxBytes) return false;
    this.#held += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#held -= bytes;
  }
}
