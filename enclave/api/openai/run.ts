/** A request for text under way: its generations, its choices, and what the receipt learns of them. */
import type { Outcome } from "@countersign/attestation/attester";
import { EnclaveError } from "../../errors.ts";
import type { ExchangeRecord } from "../../exchange-record.ts";
import type { Generation } from "../../text/generation.ts";
import { Choice } from "./choice.ts";
import { withParam } from "./naming.ts";
import { parametersDigest, type Prompt, type TextWork } from "./work.ts";

/** Tokens in and out. */
export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

export class Run {
  /** In the order of the answer: the first prompt's, then the next one's. */
  readonly choices: readonly Choice[];
  readonly #work: TextWork;
  readonly #record: ExchangeRecord;
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  readonly #started: Partial<Outcome>;
  #underWay = 0;
  #failure: Error | null = null;
  #wake: (() => void) | null = null;

  private constructor(work: TextWork, record: ExchangeRecord, signal: AbortSignal) {
    const { model, parameters, prompts, use } = work;
    const { stop, seed, endpoint } = parameters;
    const start = endpoint === "completions" ? "continuation" : "beginning";
    this.#work = work;
    this.#record = record;
    this.#signal = AbortSignal.any([signal, this.#abort.signal]);
    this.choices = prompts.flatMap(() =>
      Array.from({ length: parameters.choices }, () => new Choice({ model, start, stop, use })),
    );
    const promptTokens = prompts.reduce((sum, { tokens }) => sum + tokens.length, 0);
    this.#started = { promptTokens, seed, parameters: parametersDigest(parameters) };
    this.#note();
  }

  /**
   * Has every prompt admitted, then lets them run.
   *
   * @param signal - the exchange's: aborted, the generations stop.
   * @throws {@link EnclaveError} why the engine refused one; the others are then stopped.
   */
  static async start(work: TextWork, record: ExchangeRecord, signal: AbortSignal): Promise<Run> {
    const run = new Run(work, record, signal);
    try {
      // One after the other: a request waits for one turn at a time, however many prompts it brings.
      for (const [index, prompt] of work.prompts.entries()) {
        void run.#follow(await run.#admit(prompt, index), index);
      }
      if (run.#failure !== null) throw run.#failure;
    } catch (error) {
      run.stop();
      throw error;
    }
    return run;
  }

  /** Whether nothing more comes. */
  get ended(): boolean {
    return this.#failure !== null || this.#underWay === 0;
  }

  /** Why it ended before its time, or null. */
  get failure(): Error | null {
    return this.#failure;
  }

  get usage(): Usage {
    const completionTokens = this.choices.reduce((sum, { tokens }) => sum + tokens, 0);
    return { promptTokens: this.#started.promptTokens ?? 0, completionTokens };
  }

  /** Whether any choice has something to take. */
  get changed(): boolean {
    return this.choices.some((choice) => choice.changed);
  }

  /** Resolves when there is more, or the end. One caller at a time. */
  async next(): Promise<void> {
    if (this.ended || this.changed) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Resolves at the end. One caller at a time, and not besides {@link next}. */
  async end(): Promise<void> {
    while (!this.ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Stops every generation: nobody wants them any more. */
  stop(): void {
    this.#abort.abort();
  }

  async #admit({ tokens, param }: Prompt, index: number): Promise<Generation> {
    const { model, constraint, parameters } = this.#work;
    const { choices: count, seed, maxTokens, sampling } = parameters;
    const choices = Array.from({ length: count }, (_, i) => ({ seed: seed + index * count + i }));
    const request = { prompt: tokens, choices, maxTokens, sampling, constraint };
    this.#underWay++;
    try {
      return await model.generate(request, this.#signal);
    } catch (error) {
      throw withParam(error, param);
    }
  }

  /** Never rejects. */
  async #follow(generation: Generation, index: number): Promise<void> {
    const { choices: count } = this.#work.parameters;
    const own = this.choices.slice(index * count, (index + 1) * count);
    try {
      for await (const batch of generation.tokens) {
        for (const event of batch) {
          const choice = own[event.choice];
          if (choice === undefined) throw new TypeError(`no choice ${event.choice}`);
          choice.push(event);
          if (choice.finish !== null && event.finish === null) generation.stop(event.choice);
        }
        this.#note();
        this.#notify();
        // Leaving the loop stops what a stop string has ended.
        if (own.every((choice) => choice.finish !== null)) break;
      }
      if (own.some((choice) => choice.finish === null)) {
        throw new EnclaveError("inference/failed", "the engine ended early");
      }
    } catch (error) {
      this.#failure ??= error instanceof Error ? error : new TypeError("thrown without an error");
      this.stop();
    }
    this.#underWay--;
    this.#note();
    this.#notify();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  /** What a receipt says that is signed now. */
  #note(): void {
    const { completionTokens } = this.usage;
    const reasons = new Set(this.choices.map((choice) => choice.finish));
    const [reason = null] = reasons;
    this.#record.outcome = {
      ...this.#started,
      completionTokens,
      ...(reasons.has(null) ? {} : { finishReason: reasons.size > 1 ? "mixed" : (reason ?? "") }),
    };
  }
}
