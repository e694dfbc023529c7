/**
 * Proves, on a decoder just opened, how its sequences may share a run. Nothing is taken on trust: kernels
 * differ by processor, by quantisation and by version.
 *
 *  1. A past with slots to spare is worth as much as one without: what is in those slots changes no bit,
 *     and the logits are those of the exact past, but for rounding. Else every sequence gets an exact
 *     past, and its own runs.
 *  2. The rows of a batch do not know of each other: each row's logits are, bit for bit, those that its
 *     sequence has alone, at every size of batch that will be used. Where only batches of one differ, a
 *     sequence alone gets a row of padding for company; where more differ, each has its own runs.
 *
 * The logits of a second step depend on all keys and values that the first one wrote.
 */
import { EnclaveError } from "../../errors.ts";
import { capacityFor } from "./plan.ts";
import type { CachePool } from "./pool.ts";
import type { DecoderSession } from "./decoder-session.ts";
import { ExactCache } from "./exact-cache.ts";
import { extendExact, extendRow, peekSlab, stepSlab } from "./runs.ts";
import { kept, type RowSource, Slab } from "./slab.ts";

/** Part of the span of the logits by which padded and exact past may differ: activations are rounded. */
const TOLERANCE = 0.02;
const MIN_PROMPT = 3;
const PROMPT_STEPS = 13;
/** The longest prompt and two steps. */
export const PROBE_TOKENS: number = MIN_PROMPT + PROMPT_STEPS + 1;

export interface Proof {
  readonly mode: "append" | "in-place" | "exact";
  readonly rows: { readonly least: 1 | 2; readonly most: number };
}

const ALONE = { least: 1, most: 1 } as const;

/**
 * @param config - whether a layer sees the last tokens only; the context, of more than PROBE_TOKENS.
 * @param mostRows - sequences that may ever share a run.
 * @throws EnclaveError `memory/full` where not even the probe has room; what the graph throws.
 */
export async function probeDecoder(
  session: DecoderSession,
  pool: CachePool,
  config: { readonly slidingWindow: boolean; readonly contextLength: number },
  mostRows: number,
): Promise<Proof> {
  const { form } = session.graph;
  const { slidingWindow, contextLength } = config;
  const probe = new Probe(session, pool, contextLength, mostRows);
  // In a graph that concatenates, a window counts slots, those to spare among them. The probe's prompts
  // are shorter than any window, so it would not see that.
  if (form === "whole" || (slidingWindow && form === "append")) {
    await probe.exactLogits();
    return { mode: "exact", rows: ALONE };
  }
  try {
    await probe.readPrompts();
    if (!(await probe.sparesSlots())) return { mode: "exact", rows: ALONE };
    return { mode: form, rows: await probe.sharedRows() };
  } finally {
    probe.release();
  }
}

class Probe {
  readonly #session: DecoderSession;
  readonly #pool: CachePool;
  readonly #capacity: number;
  readonly #prompts: readonly Int32Array[];
  /** What each prompt was read into. */
  readonly #read: (ExactCache | Slab)[] = [];
  /** What each sequence goes on with, at its first and second step. */
  readonly #next: readonly (readonly number[])[];

  constructor(session: DecoderSession, pool: CachePool, contextLength: number, mostRows: number) {
    this.#session = session;
    this.#pool = pool;
    this.#capacity = capacityFor(PROBE_TOKENS, contextLength);
    const token = pseudoTokens(session.vocabularySize);
    this.#prompts = Array.from({ length: mostRows }, (_, i) =>
      Int32Array.from({ length: MIN_PROMPT + ((5 * i) % PROMPT_STEPS) }, token),
    );
    // The last id is read once: a run that meets one that the graph does not know fails for all who share it.
    this.#prompts[0]?.fill(session.vocabularySize - 1, 0, 1);
    this.#next = [0, 1].map(() => this.#prompts.map(token));
  }

  /** Reads every prompt, each by itself, as it will be. {@link release} gives their memory back. */
  async readPrompts(): Promise<void> {
    const { shape, graph } = this.#session;
    for (const prompt of this.#prompts) {
      if (graph.form === "append") {
        const cache = new ExactCache(this.#pool, shape, prompt.length, false);
        this.#read.push(cache);
        await extendExact(this.#session, cache, prompt, false);
        continue;
      }
      const row = new Slab(this.#pool, shape, prompt.length, 1);
      this.#read.push(row);
      row.open();
      await extendRow(this.#session, row, prompt, false);
    }
  }

  release(): void {
    for (const source of this.#read.splice(0)) source.release();
  }

  /** Of the first sequence's first step, with an exact past. */
  async exactLogits(): Promise<Float32Array> {
    const twofold = this.#session.graph.form !== "append";
    const cache = new ExactCache(this.#pool, this.#session.shape, this.#capacity, twofold);
    try {
      await extendExact(this.#session, cache, this.#prompt(0), false);
      const step = Int32Array.of(this.#next[0]?.[0] ?? 0);
      return requireFinite(await extendExact(this.#session, cache, step, true));
    } finally {
      cache.release();
    }
  }

  /** Whether slots to spare change nothing, by their contents or by being there. */
  async sparesSlots(): Promise<boolean> {
    const exact = await this.exactLogits();
    const slab = this.#slabOf([0], 1);
    try {
      const first = this.#next[0]?.slice(0, 1) ?? [];
      const clean = (await peekSlab(this.#session, slab, first)).slice();
      if (!closeTo(clean, exact)) return false;
      slab.soil();
      return sameBits(await peekSlab(this.#session, slab, first), clean);
    } finally {
      slab.release();
    }
  }

  /** How many rows may share a run. */
  async sharedRows(): Promise<Proof["rows"]> {
    const most = this.#prompts.length;
    if (most === 1) return ALONE;
    const all = this.#prompts.map((_, i) => i);
    for (const least of [1, 2] as const) {
      const alone: (readonly Float32Array[])[] = [];
      for (const i of all) alone.push(await this.#twoSteps([i], least));
      if (await this.#holds(alone, least)) return { least, most };
    }
    return ALONE;
  }

  /** Whether each row of every batch has the logits that its sequence has alone. */
  async #holds(alone: readonly (readonly Float32Array[])[], least: 1 | 2): Promise<boolean> {
    for (let size = 2; size <= this.#prompts.length; size++) {
      // The last ones, so that a sequence is not always the same row.
      const members = alone.map((_, i) => i).slice(-size);
      const together = await this.#twoSteps(members, least);
      const same = together.every((logits, step) =>
        members.every((i, row) => sameBits(rowOf(logits, row, size), alone[i]?.[step])),
      );
      if (!same) return false;
    }
    return true;
  }

  /** The logits of two steps of these sequences in one slab. */
  async #twoSteps(members: readonly number[], least: 1 | 2): Promise<readonly Float32Array[]> {
    const slab = this.#slabOf(members, least);
    try {
      const steps: Float32Array[] = [];
      for (const next of this.#next) {
        const tokens = members.map((i) => next[i] ?? 0);
        const logits = await stepSlab(this.#session, slab, tokens);
        steps.push(logits.slice(0, members.length * this.#session.vocabularySize));
      }
      return steps;
    } finally {
      slab.release();
    }
  }

  /** A slab of these sequences, which have read their prompts. */
  #slabOf(members: readonly number[], least: 1 | 2): Slab {
    const slab = new Slab(this.#pool, this.#session.shape, this.#capacity, least);
    try {
      for (const i of members) slab.adopt(kept(this.#sourceOf(i)), 1);
      return slab;
    } catch (error) {
      slab.release();
      throw error;
    }
  }

  #sourceOf(i: number): RowSource {
    const source = this.#read[i];
    if (source === undefined) throw new TypeError(`prompt ${i} was not read`);
    return source instanceof Slab ? source.source(0) : source;
  }

  #prompt(i: number): Int32Array {
    const prompt = this.#prompts[i];
    if (prompt === undefined) throw new TypeError(`no prompt ${i}`);
    return prompt;
  }
}

/** Made-up tokens, the same each time: Numerical Recipes' linear congruential generator. */
function pseudoTokens(vocabularySize: number): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state % vocabularySize;
  };
}

function rowOf(logits: Float32Array, row: number, rows: number): Float32Array {
  const length = logits.length / rows;
  return logits.subarray(row * length, (row + 1) * length);
}

/** Compares the bits, so that no two values that only count as equal pass. */
function sameBits(a: Float32Array, b: Float32Array | undefined): boolean {
  if (b === undefined) return false;
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

function bytesOf(array: Float32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function closeTo(a: Float32Array, b: Float32Array): boolean {
  let least = Infinity;
  let most = -Infinity;
  let difference = 0;
  b.forEach((value, i) => {
    least = Math.min(least, value);
    most = Math.max(most, value);
    difference = Math.max(difference, Math.abs(value - (a[i] ?? NaN)));
  });
  // Not a number compares false.
  return difference <= TOLERANCE * (most - least);
}

function requireFinite(logits: Float32Array | null): Float32Array {
  if (logits?.every(Number.isFinite) !== true) {
    throw new EnclaveError("model/unsupported", "the decoder's logits are no finite numbers");
  }
  return logits.slice();
}
