/** Bytes kept of each SHA-256(header ‖ enc). PROTOCOL.md, "Replay". */
const TAG_BYTES = 16;
const TAG_WORDS = TAG_BYTES / 4;
/** The table holds twice the slots it fills, so that a probe stays short. */
const SLOTS_PER_ENTRY = 2;
/** Most entries that one table may be asked for: 512 MiB of memory. */
export const MAX_REPLAY_ENTRIES = 16_777_216;

/** `fresh`: never seen, now recorded. `replayed`: seen before. `full`: no room, not recorded. */
export type ReplayAnswer = "fresh" | "replayed" | "full";

/**
 * The requests an epoch has seen: open addressing in one flat table, nothing ever evicted.
 *
 * Written by the gateway only, synchronously: two calls never interleave.
 */
export class ReplaySet {
  readonly #words: Uint32Array;
  readonly #mask: number;
  readonly #capacity: number;
  #size = 0;

  /** @param capacity - how many requests it holds before it is full. */
  constructor(capacity: number) {
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > MAX_REPLAY_ENTRIES) {
      throw new TypeError(`replay set of ${capacity} entries`);
    }
    const slots = 1 << Math.ceil(Math.log2(capacity * SLOTS_PER_ENTRY));
    this.#words = new Uint32Array(slots * TAG_WORDS);
    this.#mask = slots - 1;
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#size;
  }

  get full(): boolean {
    return this.#size >= this.#capacity;
  }

  /** Whether fifteen sixteenths are taken: time to open the next epoch. */
  get nearlyFull(): boolean {
    return this.#size >= this.#capacity - (this.#capacity >> 4);
  }

  /** Records `digest` unless it is there. @param digest - SHA-256(header ‖ enc), 32 bytes. */
  testAndSet(digest: Uint8Array): ReplayAnswer {
    const a = word(digest, 0);
    const b = word(digest, 4);
    const c = word(digest, 8);
    let d = word(digest, 12);
    // An empty slot is four zero words, so a tag of zeros counts as the tag 1.
    if ((a | b | c | d) === 0) d = 1;
    const words = this.#words;
    // The end of the digest, which the tag leaves out, chooses the slot.
    for (let slot = word(digest, 28) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const at = slot * TAG_WORDS;
      const [w, x, y, z] = [words[at], words[at + 1], words[at + 2], words[at + 3]];
      if (w === a && x === b && y === c && z === d) return "replayed";
      if (w === 0 && x === 0 && y === 0 && z === 0) {
        if (this.full) return "full";
        words[at] = a;
        words[at + 1] = b;
        words[at + 2] = c;
        words[at + 3] = d;
        this.#size++;
        return "fresh";
      }
    }
  }

  /** Zeroes the table; the set accepts nothing any more. */
  destroy(): void {
    this.#words.fill(0);
    this.#size = this.#capacity;
  }
}

/** Big-endian word at `offset`. */
function word(bytes: Uint8Array, offset: number): number {
  const [a, b, c, d] = [bytes[offset], bytes[offset + 1], bytes[offset + 2], bytes[offset + 3]];
  return (((a ?? 0) << 24) | ((b ?? 0) << 16) | ((c ?? 0) << 8) | (d ?? 0)) >>> 0;
}
