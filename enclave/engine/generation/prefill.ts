import type { CacheShape } from "./arrays.ts";
import { ExactCache } from "./exact-cache.ts";
import type { LoadedDecoder } from "./load-decoder.ts";
import { capacityFor, CHUNK_TOKENS, type DecoderPlan, rowCapacity } from "./plan.ts";
import type { CachePool } from "./pool.ts";
import { extendExact, extendRow } from "./runs.ts";
import { Slab } from "./slab.ts";

/** Slots of the cache that a prompt is read into. */
export function prefillCapacity(plan: DecoderPlan, prompt: number, mostTokens: number): number {
  switch (plan.mode) {
    case "append":
      return prompt;
    case "in-place":
      return rowCapacity(plan, prompt, mostTokens);
    case "exact":
      return capacityFor(mostTokens, plan.contextLength);
    default:
      return plan.mode satisfies never;
  }
}

/**
 * Reads one prompt, once for all choices, in pieces.
 *
 * The pieces end at the same tokens whoever else is served, and each has a run to itself: a prompt's
 * numbers depend on nothing but the prompt.
 */
export class Prefill {
  readonly cache: ExactCache | Slab;
  readonly #decoder: LoadedDecoder;
  readonly #prompt: Int32Array;
  #read = 0;

  /** @throws EnclaveError `memory/full`. */
  constructor(decoder: LoadedDecoder, pool: CachePool, prompt: Int32Array, capacity: number) {
    this.#decoder = decoder;
    this.#prompt = prompt;
    const { shape } = decoder.session;
    const { mode, twofold } = decoder.plan;
    if (mode !== "in-place") {
      this.cache = new ExactCache(pool, shape, capacity, twofold);
      return;
    }
    this.cache = openRow(pool, shape, capacity);
  }

  get done(): boolean {
    return this.#read === this.#prompt.length;
  }

  /** Reads the next piece. @returns the logits after the prompt's last token; before it, null. */
  async read(): Promise<Float32Array | null> {
    const piece = this.#prompt.subarray(this.#read, this.#read + CHUNK_TOKENS);
    const last = this.#read + piece.length === this.#prompt.length;
    const { session } = this.#decoder;
    const logits =
      this.cache instanceof Slab
        ? await extendRow(session, this.cache, piece, last)
        : await extendExact(session, this.cache, piece, last);
    this.#read += piece.length;
    return logits;
  }

  /** Gives back what is still held. */
  release(): void {
    this.cache.release();
  }
}

function openRow(pool: CachePool, shape: CacheShape, capacity: number): Slab {
  const slab = new Slab(pool, shape, capacity, 1);
  try {
    slab.open();
    return slab;
  } catch (error) {
    slab.release();
    throw error;
  }
}
