import type { Vocabulary } from "../vocabulary.ts";
import { type Automaton, DEAD } from "./automaton.ts";
import { MAX_CONFIGURATIONS } from "./closure.ts";

/**
 * New sets that one walk may meet, and configurations in them, before it leaves out the longer tokens
 * that it has not come to. Only a schema made to be ambiguous meets so many; single-byte tokens are
 * never left out, so the answer still gets on.
 */
const MAX_WALK_SETS = 4096;
const MAX_WALK_CONFIGURATIONS = 32_768;
/** Masks kept; the oldest goes first. */
const MAX_CACHE_BYTES = 4 * 1024 * 1024;

export interface Mask {
  /** One bit for each token id. */
  readonly words: Uint32Array;
  readonly empty: boolean;
  /** Whether a set that was met on the way holds as many configurations as a set may. */
  readonly crowded: boolean;
}

/** The masks of one constraint. Sets that no token can tell apart share one. */
export class MaskCache {
  readonly #automaton: Automaton;
  readonly #vocabulary: Vocabulary;
  readonly #capacity: number;
  readonly #masks = new Map<string, Mask>();
  #epoch = 0;

  constructor(automaton: Automaton, vocabulary: Vocabulary) {
    this.#automaton = automaton;
    this.#vocabulary = vocabulary;
    this.#capacity = Math.max(1, Math.floor(MAX_CACHE_BYTES / (vocabulary.maskWords * 4 + 64)));
  }

  /** The tokens that may follow in set `id`. */
  of(id: number): Mask {
    // The shapes of frames mean something within an epoch only.
    if (this.#epoch !== this.#automaton.epoch) this.#masks.clear();
    this.#epoch = this.#automaton.epoch;
    const key = this.#automaton
      .set(id)
      .configurations.map(({ state, frame }) => `${state}:${frame?.shape ?? 0}`)
      .join();
    const known = this.#masks.get(key);
    if (known !== undefined) return known;
    const mask = walk(this.#vocabulary, this.#automaton, id);
    // Which readings of a crowded set are kept may hang on counts that its key does not tell.
    if (mask.crowded) return mask;
    for (const oldest of this.#masks.keys()) {
      if (this.#masks.size < this.#capacity) break;
      this.#masks.delete(oldest);
    }
    this.#masks.set(key, mask);
    return mask;
  }
}

/**
 * Steps through the trie and the automaton together. Within a string, the tokens of plain characters
 * are allowed up to a length, which is known beforehand; only the others are walked.
 */
function walk(vocabulary: Vocabulary, automaton: Automaton, start: number): Mask {
  const words = new Uint32Array(vocabulary.maskWords);
  const characters = automaton.charactersLeft(start);
  if (characters !== null) markPlain(words, vocabulary.plain, characters);
  const { bytes, depths, skips, ends, twins, nodes } =
    characters === null ? vocabulary.trie : vocabulary.special;
  const effort = new Effort(automaton);
  /** The set at each depth of the path to the node. */
  const path = new Int32Array(vocabulary.longest + 1);
  path[0] = start;
  for (let node = 0; node < nodes;) {
    const depth = depths[node] ?? 1;
    const before = path[depth - 1] ?? DEAD;
    const set = depth > 1 && effort.spent ? DEAD : automaton.step(before, bytes[node] ?? 0);
    if (set === DEAD) {
      node = skips[node] ?? nodes;
      continue;
    }
    path[depth] = set;
    const end = ends[node] ?? -1;
    if (effort.enter(set) && end >= 0) mark(words, end, twins);
    node += 1;
  }
  return { words, empty: words.every((word) => word === 0), crowded: effort.crowded };
}

function markPlain(words: Uint32Array, plain: Uint16Array, most: number): void {
  for (let token = 0; token < plain.length; token += 1) {
    const length = plain[token] ?? 0;
    if (length > 0 && length <= most) {
      words[token >>> 5] = (words[token >>> 5] ?? 0) | (1 << (token & 31));
    }
  }
}

function mark(words: Uint32Array, first: number, twins: Int32Array): void {
  for (let token = first; token >= 0; token = twins[token] ?? -1) {
    words[token >>> 5] = (words[token >>> 5] ?? 0) | (1 << (token & 31));
  }
}

/** Counts what a walk meets; the same in every walk from the same set, whatever is cached. */
class Effort {
  readonly #automaton: Automaton;
  /** By id of a set that was met: 1, and 2 more where it is viable. */
  #met = new Uint8Array(1024);
  #sets = 0;
  #configurations = 0;
  crowded = false;

  constructor(automaton: Automaton) {
    this.#automaton = automaton;
  }

  get spent(): boolean {
    return this.#sets > MAX_WALK_SETS || this.#configurations > MAX_WALK_CONFIGURATIONS;
  }

  /** Notes a set; whether a token may end in it. */
  enter(id: number): boolean {
    const met = this.#met[id] ?? 0;
    if (met !== 0) return met === 3;
    if (id >= this.#met.length) {
      const grown = new Uint8Array(Math.max(id + 1, this.#met.length * 2));
      grown.set(this.#met);
      this.#met = grown;
    }
    const { configurations, viable } = this.#automaton.set(id);
    this.#sets += 1;
    this.#configurations += configurations.length;
    if (configurations.length >= MAX_CONFIGURATIONS) this.crowded = true;
    this.#met[id] = viable ? 3 : 1;
    return viable;
  }
}
