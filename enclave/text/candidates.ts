/**
 * The tokens that may still be drawn, in order of id, and the cuts that make them fewer.
 *
 * A cut finds its threshold by three counting passes over the bits of the logits (a radix selection),
 * not by sorting: the same few passes over 49,152 or 262,144 tokens, whatever their values. Sums run
 * in order of id or of bucket, so every result is the same on every machine.
 */
import { EnclaveError } from "../errors.ts";
import { exponential } from "./exponential.ts";

/** Bits of the ordered key that each pass of a cut settles: 11 + 11 + 10. */
const PASSES = [
  { shift: 21, buckets: 2048, settled: 0 },
  { shift: 10, buckets: 2048, settled: 0xffe00000 },
  { shift: 0, buckets: 1024, settled: 0xfffffc00 },
] as const;

/** Reused from step to step: nothing is allocated while tokens are drawn. */
export class Candidates {
  readonly #ids: Int32Array;
  readonly #logits: Float32Array;
  /** The bits of #logits. */
  readonly #bits: Int32Array;
  readonly #weights: Float64Array;
  readonly #histogram = new Float64Array(2048);
  #count = 0;
  #best = 0;

  constructor(vocabularySize: number) {
    this.#ids = new Int32Array(vocabularySize);
    this.#logits = new Float32Array(vocabularySize);
    this.#bits = new Int32Array(this.#logits.buffer);
    this.#weights = new Float64Array(vocabularySize);
  }

  /**
   * Starts over with every token whose logit is above −∞.
   *
   * @param best - the highest of them, as {@link likeliest} found it.
   */
  gather(logits: Float32Array, best: number): void {
    this.#best = best;
    const ids = this.#ids;
    const kept = this.#logits;
    let count = 0;
    for (let id = 0; id < logits.length; id += 1) {
      const logit = logits[id] ?? 0;
      if (logit === -Infinity) continue;
      ids[count] = id;
      // Adding zero makes −0 the same as 0, which have different bits.
      kept[count] = logit + 0;
      count += 1;
    }
    this.#count = count;
  }

  /** Keeps the `limit` highest logits; of equal ones, those of the lowest ids. */
  keepBest(limit: number): void {
    if (limit < this.#count) this.#cut(limit, false);
  }

  /** Gives every token the weight e^((logit − best) ÷ temperature): its probability, not normalised. */
  weigh(temperature: number): void {
    const logits = this.#logits;
    const weights = this.#weights;
    const best = this.#best;
    const count = this.#count;
    for (let place = 0; place < count; place += 1) {
      weights[place] = exponential(((logits[place] ?? 0) - best) / temperature);
    }
  }

  /** Keeps the heaviest tokens whose weights together reach `share` of all; equal ones by id. */
  keepNucleus(share: number): void {
    this.#cut(share * this.#totalWeight(), true);
  }

  /** Keeps tokens that weigh at least `share` of the heaviest, which weighs 1. */
  keepLikely(share: number): void {
    const weights = this.#weights;
    const total = this.#count;
    let count = 0;
    for (let place = 0; place < total; place += 1) {
      if ((weights[place] ?? 0) < share) continue;
      this.#move(place, count);
      count += 1;
    }
    this.#count = count;
  }

  /** The token where the running sum of the weights passes `point` (in [0, 1)) of their total. */
  draw(point: number): number {
    const target = point * this.#totalWeight();
    const weights = this.#weights;
    const count = this.#count;
    let sum = 0;
    let last = 0;
    for (let place = 0; place < count; place += 1) {
      const weight = weights[place] ?? 0;
      if (weight === 0) continue;
      sum += weight;
      last = place;
      // Rounding can leave the target on the total itself; then the last token is taken.
      if (sum > target) break;
    }
    return this.#ids[last] ?? 0;
  }

  #totalWeight(): number {
    const weights = this.#weights;
    const count = this.#count;
    let sum = 0;
    for (let place = 0; place < count; place += 1) sum += weights[place] ?? 0;
    return sum;
  }

  /**
   * Keeps the highest logits until their measure (weight, or one each) reaches `target`.
   *
   * Each pass sums the measure by the next bits of the key, finds the bucket where the sum from above
   * reaches the target, and drops all below it. Then one key is left whose tokens are taken by id.
   */
  #cut(target: number, weighted: boolean): void {
    const histogram = this.#histogram;
    let above = 0;
    let threshold = 0;
    for (const { shift, buckets, settled } of PASSES) {
      this.#fillHistogram({ shift, buckets, settled }, threshold, weighted);
      let bucket = buckets - 1;
      while (bucket > 0 && above + (histogram[bucket] ?? 0) < target) {
        above += histogram[bucket] ?? 0;
        bucket -= 1;
      }
      threshold = (threshold | (bucket << shift)) >>> 0;
      this.#keepFrom(threshold);
    }

    const bits = this.#bits;
    const total = this.#count;
    let count = 0;
    for (let place = 0; place < total; place += 1) {
      if (orderKey(bits[place] ?? 0) === threshold) {
        if (above >= target) continue;
        above += weighted ? (this.#weights[place] ?? 0) : 1;
      }
      this.#move(place, count);
      count += 1;
    }
    this.#count = count;
  }

  /** Sums the measure by bucket, of the tokens whose key begins as `threshold` does. */
  #fillHistogram(
    { shift, buckets, settled }: { shift: number; buckets: number; settled: number },
    threshold: number,
    weighted: boolean,
  ): void {
    const histogram = this.#histogram;
    const bits = this.#bits;
    const weights = this.#weights;
    const count = this.#count;
    histogram.fill(0);
    for (let place = 0; place < count; place += 1) {
      const key = orderKey(bits[place] ?? 0);
      if ((key & settled) >>> 0 !== threshold) continue;
      const bucket = (key >>> shift) & (buckets - 1);
      histogram[bucket] = (histogram[bucket] ?? 0) + (weighted ? (weights[place] ?? 0) : 1);
    }
  }

  /** Keeps tokens whose key is at least `least`. */
  #keepFrom(least: number): void {
    const bits = this.#bits;
    const total = this.#count;
    let count = 0;
    for (let place = 0; place < total; place += 1) {
      if (orderKey(bits[place] ?? 0) < least) continue;
      this.#move(place, count);
      count += 1;
    }
    this.#count = count;
  }

  #move(from: number, to: number): void {
    this.#ids[to] = this.#ids[from] ?? 0;
    this.#logits[to] = this.#logits[from] ?? 0;
    this.#weights[to] = this.#weights[from] ?? 0;
  }
}

/** An unsigned integer in the order of the float32 with these bits (IEEE 754: sign and magnitude). */
function orderKey(bits: number): number {
  return (bits ^ ((bits >> 31) | 0x80000000)) >>> 0;
}

/**
 * The token of the highest logit; of equal ones, that of the lowest id.
 *
 * @throws {@link EnclaveError} `inference/failed` where one is NaN or +∞, or none is above −∞.
 */
export function likeliest(logits: Float32Array): number {
  let best = -Infinity;
  let token = 0;
  for (let id = 0; id < logits.length; id += 1) {
    const logit = logits[id] ?? 0;
    // True for a higher logit and for NaN, so that the common case takes one comparison.
    if (!(logit <= best)) {
      if (Number.isNaN(logit))
        throw new EnclaveError("inference/failed", "a logit is not a number");
      best = logit;
      token = id;
    }
  }
  if (!Number.isFinite(best)) {
    throw new EnclaveError("inference/failed", "no token has a finite logit, or one is infinite");
  }
  return token;
}
