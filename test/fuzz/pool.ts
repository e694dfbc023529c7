/** Inputs that are worth mutating: the seeds, and what reached something new. */
import type { Random } from "./random.ts";
import type { Input } from "./target.ts";

/** Beyond it, a new input takes the place of one that is no seed. */
const MAX_KEPT = 2048;
/** What was kept last has neighbours that nobody tried yet: half of all parents are among these. */
const RECENT = 24;

export class Pool {
  readonly #inputs: Input[];
  readonly #seeds: number;

  constructor(seeds: readonly Input[]) {
    this.#inputs = [...seeds];
    this.#seeds = seeds.length;
  }

  get size(): number {
    return this.#inputs.length;
  }

  add(random: Random, input: Input): void {
    const full = this.#inputs.length >= this.#seeds + MAX_KEPT;
    if (full) this.#inputs.splice(this.#seeds + random.below(MAX_KEPT), 1);
    this.#inputs.push(input);
  }

  parent(random: Random): Input {
    return random.once(2) ? random.pick(this.#inputs.slice(-RECENT)) : this.any(random);
  }

  any(random: Random): Input {
    return random.pick(this.#inputs);
  }
}
