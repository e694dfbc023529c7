import { setImmediate } from "node:timers/promises";
import type { GenerationRequest } from "../../text/generation.ts";
import { Batches } from "./batches.ts";
import { Generation } from "./generation.ts";
import type { LoadedDecoder } from "./load-decoder.ts";
import type { Outcome } from "./outcome.ts";
import { promisableBytes, storedTokens } from "./plan.ts";
import type { CachePool } from "./pool.ts";
import { Prefill, prefillCapacity } from "./prefill.ts";

/**
 * Continuous batching: in each turn one piece of one prompt, and one step of every sequence that is past
 * its prompt. A long prompt so costs the others one piece a turn, and prompts take turns.
 *
 * Between two runs the worker handles its messages, so whatever comes or is stopped counts from the next
 * run on. What is admitted fits: the main thread has reckoned.
 */
export class Scheduler {
  readonly #pool: CachePool;
  readonly #post: (outcomes: readonly Outcome[]) => void;
  readonly #batches = new Map<LoadedDecoder, Batches>();
  readonly #generations = new Map<number, Generation>();
  /** Generations whose prompt is not read, next first. */
  readonly #prompts: Generation[] = [];
  #running = false;

  constructor(pool: CachePool, post: (outcomes: readonly Outcome[]) => void) {
    this.#pool = pool;
    this.#post = post;
  }

  addDecoder(decoder: LoadedDecoder): void {
    const makeRoom = (bytes: number): void => {
      this.#makeRoom(bytes);
    };
    this.#batches.set(decoder, new Batches(decoder, this.#pool, makeRoom));
  }

  /** @throws EnclaveError `constraint/schema`; then nothing was added. */
  add(id: number, decoder: LoadedDecoder, request: GenerationRequest): void {
    const generation = new Generation(id, decoder, request);
    this.#generations.set(id, generation);
    this.#prompts.push(generation);
    if (this.#running) return;
    this.#running = true;
    // A rejection here is a bug of ours: unhandled, it ends the worker, and with it the engine.
    void this.#run();
  }

  /** @param choice - null for all. What has ended by itself is passed over. */
  stop(id: number, choice: number | null): void {
    const generation = this.#generations.get(id);
    if (generation === undefined) return;
    if (choice !== null) generation.choices[choice]?.stop();
    else for (const each of generation.choices) each.stop();
  }

  async #run(): Promise<void> {
    while (this.#generations.size > 0) {
      await this.#readPiece();
      for (const batches of this.#batches.values()) {
        await batches.step(() => {
          this.#report();
        });
      }
      this.#report();
      // Also where nothing was left to run: messages get their turn.
      await setImmediate();
    }
    this.#running = false;
  }

  /** Reads a piece of the prompt whose turn it is. */
  async #readPiece(): Promise<void> {
    const generation = this.#prompts.shift();
    if (generation === undefined) return;
    const { prefill } = generation;
    if (generation.over) {
      prefill?.release();
      generation.prefill = null;
      return;
    }
    try {
      await this.#readWith(generation, prefill ?? this.#startPrefill(generation));
    } catch (error) {
      generation.fail(error);
      generation.prefill?.release();
      generation.prefill = null;
    }
  }

  #startPrefill(generation: Generation): Prefill {
    const { decoder, request } = generation;
    const { plan } = decoder;
    const stored = storedTokens(request.prompt.length, request.maxTokens);
    const capacity = prefillCapacity(plan, request.prompt.length, stored);
    this.#makeRoom(capacity * plan.bytesPerToken * (plan.twofold ? 2 : 1));
    generation.prefill = new Prefill(decoder, this.#pool, request.prompt, capacity);
    return generation.prefill;
  }

  async #readWith(generation: Generation, prefill: Prefill): Promise<void> {
    const logits = await prefill.read();
    if (logits === null) {
      this.#prompts.push(generation);
      this.#post([{ id: generation.id, tokens: [], ended: false, failure: null }]);
      return;
    }
    // Each choice begins with the same logits, and writes over them. The tokens leave at once.
    for (const choice of generation.choices) generation.take(choice, logits.slice());
    this.#report();
    const going = generation.choices.filter(({ over }) => !over);
    this.#batches.get(generation.decoder)?.enter(going, prefill.cache);
    if (generation.placed === 0 || generation.decoder.plan.mode !== "exact") prefill.release();
    generation.prefill = null;
  }

  /** Posts what happened since the last time, in one message. */
  #report(): void {
    const outcomes: Outcome[] = [];
    for (const generation of this.#generations.values()) {
      const { id, tokens, empty: ended } = generation;
      if (tokens.length === 0 && !ended) continue;
      generation.tokens = [];
      outcomes.push({ id, tokens, ended, failure: ended ? generation.failure : null });
      if (ended) this.#generations.delete(id);
    }
    if (outcomes.length > 0) this.#post(outcomes);
  }

  /** Gives back spare rows where `bytes` more would be beyond what may be promised. */
  #makeRoom(bytes: number): void {
    const arrays = [...this.#batches.keys()].map(({ plan }) => plan.arrays);
    const promisable = promisableBytes(this.#pool.limitBytes, Math.min(...arrays));
    if (this.#pool.usedBytes + bytes <= promisable) return;
    for (const batches of this.#batches.values()) batches.trim();
  }
}
