import type { Tensor } from "onnxruntime-node";
import {
  acquireArray,
  type CacheArray,
  type CacheShape,
  cacheTensor,
  rowElements,
  type RowPlace,
} from "./arrays.ts";
import type { CachePool } from "./pool.ts";

/**
 * One sequence's keys and values without any slot to spare, as graphs want a past that they do not mask.
 *
 * The arrays have room for `capacity` tokens; what is filled lies at their beginning, at the stride that
 * the present length gives.
 */
export class ExactCache {
  readonly capacity: number;
  readonly #shape: CacheShape;
  readonly #pool: CachePool;
  readonly #arrays: CacheArray[] = [];
  /** Where a graph writes past and new together; then the two change places. */
  readonly #others: CacheArray[] = [];
  readonly #givenBack = new Set<CacheArray>();
  #length = 0;
  /** Slots that were ever given to a run or filled. */
  #written = 0;

  /** @throws EnclaveError `memory/full`; then nothing is held. */
  constructor(pool: CachePool, shape: CacheShape, capacity: number, twofold: boolean) {
    this.#pool = pool;
    this.#shape = shape;
    this.capacity = capacity;
    try {
      for (let i = 0; i < shape.arrays; i++) {
        this.#arrays.push(acquireArray(pool, shape, rowElements(shape, capacity)));
        if (twofold) this.#others.push(acquireArray(pool, shape, rowElements(shape, capacity)));
      }
    } catch (error) {
      this.release();
      throw error;
    }
  }

  get length(): number {
    return this.#length;
  }

  get twofold(): boolean {
    return this.#others.length > 0;
  }

  past(): Tensor[] {
    return this.#arrays.map((array) => cacheTensor(this.#shape, array, 1, this.#length));
  }

  /** Where a graph that gives past and new together is to write `tokens` more. */
  present(tokens: number): Tensor[] {
    const slots = this.#length + tokens;
    if (slots > this.capacity) throw new TypeError(`${slots} tokens in ${this.capacity} slots`);
    this.#written = Math.max(this.#written, slots);
    return this.#others.map((array) => cacheTensor(this.#shape, array, 1, slots));
  }

  /** What {@link present} was written with is the past from now on. */
  advanceWhole(tokens: number): void {
    const written = this.#others.splice(0);
    this.#others.push(...this.#arrays.splice(0));
    this.#arrays.push(...written);
    this.#length += tokens;
  }

  /** Puts new keys and values, of shape [1, kvHeads, tokens, headDim], behind those of each head. */
  advance(added: readonly CacheArray[], tokens: number): void {
    const { kvHeads, headDim } = this.#shape;
    const before = this.#length * headDim;
    const after = before + tokens * headDim;
    if (this.#length + tokens > this.capacity) throw new TypeError("the cache is full");
    this.#arrays.forEach((array, i) => {
      const news = added[i];
      if (news === undefined) throw new TypeError("an array is missing");
      // From the last head on, so that none is written over before it has moved.
      for (let head = kvHeads - 1; head >= 0; head--) {
        array.copyWithin(head * after, head * before, (head + 1) * before);
        const from = head * tokens * headDim;
        array.set(news.subarray(from, from + tokens * headDim), head * after + before);
      }
    });
    this.#length += tokens;
    this.#written = Math.max(this.#written, this.#length);
  }

  /** Where the one row lies in array `i`. */
  place(i: number): RowPlace {
    const array = this.#arrays[i];
    if (array === undefined) throw new TypeError(`no array ${i}`);
    return { array, offset: 0, slots: this.#length };
  }

  /** A copy that continues by itself. @throws EnclaveError `memory/full`. */
  clone(): ExactCache {
    const copy = new ExactCache(this.#pool, this.#shape, this.capacity, this.twofold);
    const elements = rowElements(this.#shape, this.#length);
    copy.#arrays.forEach((array, i) => {
      array.set(this.place(i).array.subarray(0, elements));
    });
    copy.#length = this.#length;
    copy.#written = this.#length;
    return copy;
  }

  /** Gives array `i` back while the others are still read: what moves need not be there twice. */
  releaseArray(i: number): void {
    const array = this.#arrays[i];
    if (array !== undefined) this.#giveBack(array);
    const other = this.#others[i];
    if (other !== undefined) this.#giveBack(other);
  }

  /** Gives everything back. Once; arrays that went one by one are passed over. */
  release(): void {
    for (const array of [...this.#arrays.splice(0), ...this.#others.splice(0)]) {
      this.#giveBack(array);
    }
    this.#length = 0;
  }

  #giveBack(array: CacheArray): void {
    if (this.#givenBack.has(array)) return;
    this.#givenBack.add(array);
    // A run that failed may have written anywhere in what it was given.
    array.fill(0, 0, rowElements(this.#shape, this.#written));
    this.#pool.release(array.buffer);
  }
}
