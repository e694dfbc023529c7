/**
 * Philox4x32-10: random numbers by counter (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011, §3.3; constants and test vectors from the authors' Random123).
 *
 * The nth number of a seed is a function of seed and n alone: there is no state that a batch, a retry
 * or another request could move on. It is not for keys: whoever knows the seed knows every number.
 */

/** PHILOX_M4x32_0 and _1. */
const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57] as const;
/** PHILOX_W32_0 and _1: the golden ratio and √3 − 1, by which the key grows each round. */
const WEYL = [0x9e3779b9, 0xbb67ae85] as const;
const ROUNDS = 10;

export type Words4 = readonly [number, number, number, number];
export type Words2 = readonly [number, number];

/** The block of four 32-bit words that stands at `counter` in the sequence of `key`. */
export function philox4x32(counter: Words4, key: Words2): Words4 {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round += 1) {
    const high0 = multiplyHigh(MULTIPLIERS[0], c0);
    const high1 = multiplyHigh(MULTIPLIERS[1], c2);
    const low0 = Math.imul(MULTIPLIERS[0], c0);
    const low1 = Math.imul(MULTIPLIERS[1], c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + WEYL[0]) >>> 0;
    k1 = (k1 + WEYL[1]) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/**
 * The `index`th number of `seed`, in [0, 1), with 53 random bits.
 *
 * @param seed - and `index`: integers from 0 to 2^53 − 1.
 */
export function uniform(seed: number, index: number): number {
  const [a, b] = philox4x32([low32(index), high32(index), 0, 0], [low32(seed), high32(seed)]);
  return ((a >>> 5) * 2 ** 26 + (b >>> 6)) / 2 ** 53;
}

/** The upper 32 bits of the product of two 32-bit words, by halves: no step leaves 2^53. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle % 2 ** 16);
  return (aHigh * bHigh + Math.floor(middle / 2 ** 16) + Math.floor(carry / 2 ** 16)) >>> 0;
}

const low32 = (value: number): number => value >>> 0;
const high32 = (value: number): number => Math.floor(value / 2 ** 32) >>> 0;
