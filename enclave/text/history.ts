import type { SamplingParameters } from "./generation.ts";

type Penalties = Pick<
  SamplingParameters,
  "frequencyPenalty" | "presencePenalty" | "repetitionPenalty"
>;

/** What prompt and answer hold so far, as penalties count it. */
export class History {
  /** How often each token was generated. */
  readonly #generated: Uint32Array;
  /** One bit for each token that is in #tokens. */
  readonly #seen: Uint8Array;
  /** Every token of prompt or answer, once. */
  readonly #tokens: number[] = [];

  constructor(prompt: Int32Array, vocabularySize: number) {
    this.#generated = new Uint32Array(vocabularySize);
    this.#seen = new Uint8Array(vocabularySize);
    for (const token of prompt) this.#note(token);
  }

  /** A token was generated. */
  add(token: number): void {
    this.#generated[token] = (this.#generated[token] ?? 0) + 1;
    this.#note(token);
  }

  /** Whether any penalty is given. */
  changes({ frequencyPenalty, presencePenalty, repetitionPenalty }: Penalties): boolean {
    return frequencyPenalty !== 0 || presencePenalty !== 0 || repetitionPenalty !== 1;
  }

  /**
   * Lowers the logits of tokens that came before.
   *
   * Repetition (Hugging Face's RepetitionPenaltyLogitsProcessor): of prompt and answer; a positive
   * logit is divided, a negative one multiplied. Then frequency and presence (OpenAI): of the answer
   * alone; count × frequency + presence is subtracted.
   */
  penalise(logits: Float32Array, penalties: Penalties): void {
    if (!this.changes(penalties)) return;
    const { frequencyPenalty, presencePenalty, repetitionPenalty } = penalties;
    for (const token of this.#tokens) {
      let logit = logits[token] ?? 0;
      logit = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
      const count = this.#generated[token] ?? 0;
      if (count > 0) logit -= count * frequencyPenalty + presencePenalty;
      logits[token] = logit;
    }
  }

  #note(token: number): void {
    if (this.#seen[token] !== 0) return;
    this.#seen[token] = 1;
    this.#tokens.push(token);
  }
}
