import { exponential } from "./exponential.ts";
import type { TokenLogprob } from "./generation.ts";

/**
 * Reads log-probabilities from the model's own logits: natural logarithms of their softmax, before a
 * constraint, a bias, a penalty, the temperature or a cut has changed anything.
 */
export class Logprobs {
  readonly #raw: Float32Array;
  #logSum = 0;

  constructor(vocabularySize: number) {
    this.#raw = new Float32Array(vocabularySize);
  }

  /** Copies the logits of one step, of which `best` is the highest, and finite. */
  read(logits: Float32Array, best: number): void {
    this.#raw.set(logits);
    let sum = 0;
    for (let id = 0; id < logits.length; id += 1) sum += exponential((logits[id] ?? 0) - best);
    this.#logSum = best + Math.log(sum);
  }

  of(token: number): number {
    return (this.#raw[token] ?? -Infinity) - this.#logSum;
  }

  /** The `count` most likely tokens, descending; of equal ones, the lower id first. None at −∞. */
  top(count: number): TokenLogprob[] {
    const best: { token: number; logit: number }[] = [];
    if (count === 0) return [];
    const raw = this.#raw;
    /** What a token must be above to be among them. */
    let least = -Infinity;
    for (let token = 0; token < raw.length; token += 1) {
      const logit = raw[token] ?? -Infinity;
      if (logit <= least) continue;
      let place = best.length;
      while (place > 0 && logit > (best[place - 1]?.logit ?? 0)) place -= 1;
      best.splice(place, 0, { token, logit });
      if (best.length > count) best.pop();
      if (best.length === count) least = best[count - 1]?.logit ?? least;
    }
    return best.map(({ token, logit }) => ({ token, logprob: logit - this.#logSum }));
  }
}
