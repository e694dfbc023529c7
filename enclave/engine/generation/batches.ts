import type { Choice } from "./choice.ts";
import type { ExactCache } from "./exact-cache.ts";
import type { LoadedDecoder } from "./load-decoder.ts";
import { capacityFor, rowCapacity, storedTokens } from "./plan.ts";
import type { CachePool } from "./pool.ts";
import { extendExact, stepSlab } from "./runs.ts";
import { kept, type RowSource, Slab } from "./slab.ts";

/** Sequences that share their runs: `choices[i]` has row i of the slab. */
interface Batch {
  readonly slab: Slab;
  readonly choices: Choice[];
}

/** A sequence with runs of its own. */
interface Single {
  readonly cache: ExactCache;
  readonly choice: Choice;
}

/** Makes room in the pool, as far as that is possible. */
export type MakeRoom = (bytes: number) => void;
/** Told after each run, so that its tokens leave before the next. */
export type AfterRun = () => void;

/** All sequences of one decoder that are past their prompt, and their caches. */
export class Batches {
  readonly #decoder: LoadedDecoder;
  readonly #pool: CachePool;
  readonly #makeRoom: MakeRoom;
  #batches: Batch[] = [];
  #singles: Single[] = [];

  constructor(decoder: LoadedDecoder, pool: CachePool, makeRoom: MakeRoom) {
    this.#decoder = decoder;
    this.#pool = pool;
    this.#makeRoom = makeRoom;
  }

  /**
   * Takes choices in that have read their prompt, into which `source` gives itself up.
   *
   * @throws EnclaveError `memory/full`; some may have a place then.
   */
  enter(choices: readonly Choice[], source: ExactCache | Slab): void {
    const [first, ...others] = choices;
    if (first === undefined) return;
    if (this.#decoder.plan.mode === "exact" && !(source instanceof Slab)) {
      for (const choice of others) this.#addSingle(choice, source.clone());
      this.#addSingle(first, source);
      return;
    }
    const row = source instanceof Slab ? source.give() : source;
    let placed = 0;
    while (placed < choices.length) {
      const batch = this.#batchFor(this.#capacityOf(first, row.length));
      const room = this.#decoder.plan.rows.most - batch.slab.rows;
      const some = choices.slice(placed, placed + room);
      placed += some.length;
      this.#adopt(batch, placed === choices.length ? row : kept(row), some);
    }
  }

  /** One step for every sequence. @param afterRun - told when a run has given its tokens. */
  async step(afterRun: AfterRun): Promise<void> {
    this.#removeThoseThatAreOver();
    this.#moveThoseThatAreFull();
    for (const batch of this.#batches.slice()) {
      await this.#stepBatch(batch);
      afterRun();
    }
    for (const single of this.#singles.slice()) {
      await this.#stepSingle(single);
      afterRun();
    }
    this.#removeThoseThatAreOver();
  }

  /** Gives back rows that hold no sequence. */
  trim(): void {
    for (const { slab } of this.#batches) slab.trim();
  }

  async #stepBatch({ slab, choices }: Batch): Promise<void> {
    if (choices.every(({ over }) => over)) return;
    let logits: Float32Array;
    try {
      logits = await stepSlab(
        this.#decoder.session,
        slab,
        choices.map(({ token }) => token),
      );
    } catch (error) {
      for (const { generation } of choices) generation.fail(error);
      return;
    }
    const { vocabularySize } = this.#decoder.plan;
    choices.forEach((choice, row) => {
      const start = row * vocabularySize;
      choice.generation.take(choice, logits.subarray(start, start + vocabularySize));
    });
  }

  async #stepSingle({ cache, choice }: Single): Promise<void> {
    if (choice.over) return;
    try {
      const token = Int32Array.of(choice.token);
      const logits = await extendExact(this.#decoder.session, cache, token, true);
      if (logits !== null) choice.generation.take(choice, logits);
    } catch (error) {
      choice.generation.fail(error);
    }
  }

  #addSingle(choice: Choice, cache: ExactCache): void {
    this.#singles.push({ cache, choice });
    choice.generation.placed += 1;
  }

  #capacityOf({ generation }: Choice, length: number): number {
    const { prompt, maxTokens } = generation.request;
    return rowCapacity(this.#decoder.plan, length, storedTokens(prompt.length, maxTokens));
  }

  /** A batch of that capacity with room for one more. */
  #batchFor(capacity: number): Batch {
    const { rows } = this.#decoder.plan;
    const found = this.#batches.find(
      ({ slab }) => slab.capacity === capacity && slab.rows < rows.most,
    );
    if (found !== undefined) return found;
    const { shape } = this.#decoder.session;
    const batch = { slab: new Slab(this.#pool, shape, capacity, rows.least), choices: [] };
    this.#batches.push(batch);
    return batch;
  }

  #adopt({ slab, choices }: Batch, source: RowSource, some: readonly Choice[]): void {
    this.#makeRoom(slab.growth(some.length));
    slab.adopt(source, some.length);
    choices.push(...some);
    for (const { generation } of some) generation.placed += 1;
  }

  /** Sequences that grew to their capacity go on in a larger slab, all of a batch together. */
  #moveThoseThatAreFull(): void {
    const { contextLength, mode } = this.#decoder.plan;
    if (mode !== "append") return;
    for (const batch of this.#batches.slice()) {
      const { slab, choices } = batch;
      const full = choices.filter((_, row) => slab.length(row) === slab.capacity);
      const capacity = capacityFor(slab.capacity + 1, contextLength);
      full.forEach((choice, moved) => {
        this.#move(batch, choices.indexOf(choice), capacity, full.length - moved);
      });
    }
    this.#removeThoseThatAreOver();
  }

  /** @param coming - rows that move to that capacity now, this one among them. */
  #move(from: Batch, row: number, capacity: number, coming: number): void {
    const choice = from.choices[row];
    if (choice === undefined) throw new TypeError(`no row ${row}`);
    try {
      const target = this.#batchFor(capacity);
      const count = Math.min(coming, this.#decoder.plan.rows.most - target.slab.rows);
      this.#makeRoom(target.slab.growth(count));
      target.slab.grow(count);
      this.#adopt(target, from.slab.source(row), [choice]);
    } catch (error) {
      choice.generation.fail(error);
      return;
    }
    this.#remove(from, row);
  }

  #removeThoseThatAreOver(): void {
    for (const batch of this.#batches) {
      for (let row = batch.choices.length - 1; row >= 0; row--) {
        if (batch.choices[row]?.over === true) this.#remove(batch, row);
      }
    }
    for (const { slab } of this.#batches) if (slab.rows === 0) slab.release();
    this.#batches = this.#batches.filter(({ slab }) => slab.rows > 0);
    for (const { cache, choice } of this.#singles) {
      if (!choice.over) continue;
      cache.release();
      choice.generation.placed -= 1;
    }
    this.#singles = this.#singles.filter(({ choice }) => !choice.over);
  }

  /** As {@link Slab.remove}: the last one takes its place. */
  #remove({ slab, choices }: Batch, row: number): void {
    const choice = choices[row];
    const last = choices.pop();
    if (choice === undefined || last === undefined) throw new TypeError(`no row ${row}`);
    slab.remove(row);
    if (row < choices.length) choices[row] = last;
    choice.generation.placed -= 1;
  }
}
