import type { Tensor } from "onnxruntime-node";
import {
  acquireArray,
  type CacheArray,
  type CacheShape,
  cacheTensor,
  clearRow,
  copyRow,
  elementBytes,
  rowElements,
  type RowPlace,
} from "./arrays.ts";
import type { CachePool } from "./pool.ts";

/** A row that moves into a slab: another slab's, or an exact cache. */
export interface RowSource {
  readonly length: number;
  place(i: number): RowPlace;
  /** Array `i` was copied and is not read again. */
  releaseArray(i: number): void;
}

/**
 * Keys and values of sequences that share their runs, each a row of `capacity` slots.
 *
 * The rows in use lie in front, so that a batch is a view and no copy. Slots behind a row's length are
 * masked, and hold zeros except for what its own run writes next.
 */
export class Slab {
  readonly capacity: number;
  readonly #pool: CachePool;
  readonly #shape: CacheShape;
  /** Rows that a run needs at least; those without a sequence are padding. */
  readonly #leastRows: number;
  readonly #arrays: CacheArray[];
  readonly #lengths: number[] = [];
  /** By number of rows in a run; void when an array is another. */
  readonly #tensors = new Map<number, Tensor[]>();
  #soiled = false;

  constructor(pool: CachePool, shape: CacheShape, capacity: number, leastRows: number) {
    this.#pool = pool;
    this.#shape = shape;
    this.capacity = capacity;
    this.#leastRows = leastRows;
    this.#arrays = Array.from({ length: shape.arrays }, () => EMPTY);
  }

  /** Rows in use. */
  get rows(): number {
    return this.#lengths.length;
  }

  /** Rows of a run: at least as many as the decoder needs. */
  get runRows(): number {
    return Math.max(this.#leastRows, this.rows);
  }

  length(row: number): number {
    const length = this.#lengths[row];
    if (length === undefined) throw new TypeError(`no row ${row}`);
    return length;
  }

  /** Bytes of one row. */
  get rowBytes(): number {
    const { arrays, type } = this.#shape;
    return arrays * rowElements(this.#shape, this.capacity) * elementBytes(type);
  }

  /** How many bytes `count` rows more would take from the pool. */
  growth(count: number): number {
    const held = (this.#arrays[0]?.length ?? 0) / rowElements(this.#shape, this.capacity);
    const wanted = Math.max(this.#leastRows, this.rows + count);
    return Math.max(0, wanted - held) * this.rowBytes;
  }

  /** The arrays as a run wants them: past, and in place the present too. */
  tensors(): readonly Tensor[] {
    const rows = this.runRows;
    let tensors = this.#tensors.get(rows);
    if (tensors === undefined) {
      tensors = this.#arrays.map((array) => cacheTensor(this.#shape, array, rows, this.capacity));
      this.#tensors.set(rows, tensors);
    }
    return tensors;
  }

  /** An empty row, for a prompt that the graph writes in place. @throws EnclaveError `memory/full`. */
  open(): void {
    this.#resize(Math.max(this.#leastRows, this.rows + 1));
    this.#lengths.push(0);
  }

  /**
   * Takes a row in, `count` times, array by array, so that little is held twice.
   *
   * @throws EnclaveError `memory/full`; the rows in use stay whole.
   */
  adopt(source: RowSource, count: number): void {
    const first = this.rows;
    const { length } = source;
    if (length > this.capacity) throw new TypeError(`${length} tokens in ${this.capacity} slots`);
    const wanted = Math.max(this.#leastRows, first + count);
    try {
      for (let i = 0; i < this.#arrays.length; i++) {
        this.#resizeArray(i, wanted);
        const from = source.place(i);
        for (let row = first; row < first + count; row++) {
          copyRow(this.#shape, from, this.#placeOf(i, row), length);
        }
        source.releaseArray(i);
      }
    } catch (error) {
      this.#forget(first, count, length);
      throw error;
    }
    for (let k = 0; k < count; k++) this.#lengths.push(length);
  }

  /** Clears what was copied into rows that never came to be: they have no length that tells of it. */
  #forget(first: number, count: number, length: number): void {
    for (let i = 0; i < this.#arrays.length; i++) {
      for (let row = first; row < first + count; row++) {
        // Beyond the end of an array that did not grow, nothing is filled.
        clearRow(this.#shape, this.#placeOf(i, row), length);
      }
    }
  }

  /** One row, as another slab takes it in; this one still holds it until {@link remove}. */
  source(row: number): RowSource {
    return {
      length: this.length(row),
      place: (i) => this.#placeOf(i, row),
      releaseArray: () => undefined,
    };
  }

  /** The one row, which gives each array back once it is copied: what moves is not there twice. */
  give(): RowSource {
    return {
      length: this.length(0),
      place: (i) => this.#placeOf(i, 0),
      releaseArray: (i) => {
        this.#replace(i, EMPTY);
      },
    };
  }

  /** Makes room for `count` rows more at once, so that they need not be moved for each. */
  grow(count: number): void {
    const rows = Math.max(this.#leastRows, this.rows + count);
    for (let i = 0; i < this.#arrays.length; i++) this.#resizeArray(i, rows);
  }

  /**
   * Clears a row; the last one takes its place.
   *
   * A run may have written one token beyond a row's length, in place; and padding its first.
   */
  remove(row: number): void {
    const last = this.rows - 1;
    const length = this.length(last);
    const cleared = this.#written(this.length(row));
    this.#arrays.forEach((_, i) => {
      clearRow(this.#shape, this.#placeOf(i, row), cleared);
      if (row === last) return;
      copyRow(this.#shape, this.#placeOf(i, last), this.#placeOf(i, row), length);
      clearRow(this.#shape, this.#placeOf(i, last), this.#written(length));
    });
    this.#lengths[row] = length;
    this.#lengths.pop();
  }

  /** The graph wrote `tokens` more into `row`, in place. */
  advance(row: number, tokens: number): void {
    const length = this.length(row) + tokens;
    if (length > this.capacity) throw new TypeError(`${length} tokens in ${this.capacity} slots`);
    this.#lengths[row] = length;
  }

  /** Writes one new token of each row, of shape [runRows, kvHeads, 1, headDim], behind the others. */
  append(added: readonly CacheArray[]): void {
    const { kvHeads, headDim } = this.#shape;
    const stride = this.capacity * headDim;
    this.#arrays.forEach((array, i) => {
      const news = added[i];
      if (news === undefined) throw new TypeError("an array is missing");
      let from = 0;
      for (let row = 0; row < this.rows; row++) {
        let to = row * kvHeads * stride + this.length(row) * headDim;
        for (let head = 0; head < kvHeads; head++) {
          // Strips are short: a loop is faster than the views that `set` would need.
          for (let k = 0; k < headDim; k++) array[to + k] = news[from + k] ?? 0;
          from += headDim;
          to += stride;
        }
      }
    });
    for (let row = 0; row < this.rows; row++) this.advance(row, 1);
  }

  /** Fills every slot that holds no token with numbers, to prove that they count for nothing. */
  soil(): void {
    this.#soiled = true;
    const { headDim } = this.#shape;
    this.#arrays.forEach((array) => {
      const number = array instanceof Float32Array ? SOIL : SOIL_FLOAT16;
      for (let strip = 0; strip * this.capacity * headDim < array.length; strip++) {
        const start = strip * this.capacity * headDim;
        const length = this.#lengths[Math.floor(strip / this.#shape.kvHeads)] ?? 0;
        array.fill(number, start + length * headDim, start + this.capacity * headDim);
      }
    });
  }

  /** Gives back the rows that hold no sequence. */
  trim(): void {
    this.#resize(this.rows === 0 ? 0 : this.runRows);
  }

  /** Gives everything back. */
  release(): void {
    for (let row = this.rows - 1; row >= 0; row--) this.remove(row);
    this.#resize(0);
  }

  #placeOf(i: number, row: number): RowPlace {
    const array = this.#arrays[i];
    if (array === undefined) throw new TypeError(`no array ${i}`);
    const slots = this.capacity;
    return { array, offset: row * rowElements(this.#shape, slots), slots };
  }

  #resize(rows: number): void {
    for (let i = 0; i < this.#arrays.length; i++) this.#resizeArray(i, rows, true);
  }

  /** Grows array `i`, or makes it smaller where `exactly`. */
  #resizeArray(i: number, rows: number, exactly = false): void {
    const elements = rows * rowElements(this.#shape, this.capacity);
    const old = this.#arrays[i] ?? EMPTY;
    if (exactly ? elements === old.length : elements <= old.length) return;
    const next = elements === 0 ? EMPTY : acquireArray(this.#pool, this.#shape, elements);
    const slots = this.capacity;
    const kept = Math.min(this.rows, rows);
    for (let row = 0; row < kept; row++) {
      const offset = row * rowElements(this.#shape, slots);
      copyRow(
        this.#shape,
        { array: old, offset, slots },
        { array: next, offset, slots },
        this.length(row),
      );
    }
    this.#replace(i, next);
  }

  #replace(i: number, next: CacheArray): void {
    const old = this.#arrays[i] ?? EMPTY;
    this.#arrays[i] = next;
    this.#tensors.clear();
    if (old.length === 0) return;
    this.#clear(old);
    this.#pool.release(old.buffer);
  }

  /** Slots of a row of this length that may be written: one more, where a run writes in place. */
  #written(length: number): number {
    return this.#soiled ? this.capacity : Math.min(this.capacity, length + 1);
  }

  /** What is written in an array: rows with a sequence, and the first token of padding. */
  #clear(array: CacheArray): void {
    const elements = rowElements(this.#shape, this.capacity);
    for (let row = 0; row * elements < array.length; row++) {
      const written = this.#written(this.#lengths[row] ?? 0);
      clearRow(this.#shape, { array, offset: row * elements, slots: this.capacity }, written);
    }
  }
}

/** The same row, which stays where it is too. */
export function kept(row: RowSource): RowSource {
  return { length: row.length, place: (i) => row.place(i), releaseArray: () => undefined };
}

/** Any number but zero; and its bits as binary16. */
const SOIL = 37.5;
const SOIL_FLOAT16 = 0x50b0;

/** Stands where an array was not asked for yet. */
const EMPTY: CacheArray = new Float32Array(0);
