/** Bytes that nobody sends on purpose, the same in every run. */

/** mulberry32. */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Random bytes, short ones more often than long ones. */
export function noise(random: () => number, mostBytes: number): Uint8Array {
  const length = Math.floor(random() * random() * mostBytes);
  return Uint8Array.from({ length }, () => Math.floor(random() * 256));
}

/** Flips, cuts, grows, repeats or smears parts of `bytes`. */
export function mutate(random: () => number, bytes: Uint8Array): Uint8Array {
  const at = Math.floor(random() * bytes.length);
  const span = Math.floor(random() * 64) + 1;
  switch (Math.floor(random() * 6)) {
    case 0: {
      const flipped = bytes.slice();
      flipped[at] = (flipped[at] ?? 0) ^ (1 << Math.floor(random() * 8));
      return flipped;
    }
    case 1:
      return bytes.slice(0, at);
    case 2:
      return bytes.slice(at);
    case 3:
      return Uint8Array.of(...bytes, ...bytes.subarray(at, at + span));
    case 4:
      return Uint8Array.of(...bytes.subarray(0, at), ...bytes.subarray(at + span));
    default: {
      const smeared = bytes.slice();
      smeared.fill(Math.floor(random() * 256), at, at + span);
      return smeared;
    }
  }
}
