import {
  type CompiledConstraint,
  type ConstraintState,
  startConstraint,
} from "../../text/constraint.ts";
import type { EngineFinish, GeneratedToken } from "../../text/generation.ts";
import { createSampler, type Sampler } from "../../text/sampler.ts";
import type { Generation } from "./generation.ts";

/** One answer in the making. */
export class Choice {
  readonly generation: Generation;
  readonly #index: number;
  readonly #sampler: Sampler;
  readonly #constraint: ConstraintState | null;
  readonly #endTokens: readonly number[];
  readonly #maxTokens: number;
  #generated = 0;
  #token = 0;
  #over = false;

  /** @throws EnclaveError `constraint/schema` where this vocabulary cannot write what is asked for. */
  constructor(
    generation: Generation,
    index: number,
    seed: number,
    compiled: CompiledConstraint | null,
  ) {
    const { decoder, request } = generation;
    this.generation = generation;
    this.#index = index;
    this.#maxTokens = request.maxTokens;
    this.#endTokens = decoder.endTokens;
    this.#constraint = compiled && startConstraint(compiled, decoder.vocabulary);
    this.#sampler = createSampler({
      parameters: request.sampling,
      seed,
      prompt: request.prompt,
      vocabularySize: decoder.plan.vocabularySize,
      endTokens: decoder.endTokens,
      never: decoder.never,
      constraint: this.#constraint,
    });
  }

  /** Whether nothing more is wanted of it: it finished, or was stopped. */
  get over(): boolean {
    return this.#over;
  }

  /** The token that the next step reads. */
  get token(): number {
    return this.#token;
  }

  stop(): void {
    this.#over = true;
  }

  /**
   * Goes on by one token.
   *
   * @param logits - after its last token; overwritten.
   * @throws EnclaveError `inference/failed` where they allow no token.
   */
  take(logits: Float32Array): GeneratedToken {
    // A constraint may be complete before the first token; after each other it is looked at below.
    if (this.#constraint?.mustEnd === true) return this.#end("complete");
    const { token, logprob, top } = this.#sampler.sample(logits);
    if (this.#endTokens.includes(token)) return this.#end("end");
    this.#token = token;
    this.#generated += 1;
    const finish = this.#finish();
    this.#over = finish !== null;
    return { choice: this.#index, token, logprob, top, finish };
  }

  #finish(): EngineFinish | null {
    if (this.#constraint?.mustEnd === true) return "complete";
    return this.#generated < this.#maxTokens ? null : "length";
  }

  #end(finish: EngineFinish): GeneratedToken {
    this.#over = true;
    return { choice: this.#index, token: null, logprob: null, top: [], finish };
  }
}
