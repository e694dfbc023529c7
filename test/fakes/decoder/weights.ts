/** Random weights, the same for the same seed and name in whatever graph they stand. */

import { randomFrom } from "../fuzz.ts";

/** Elements that share a scale in MatMulNBits. */
export const BLOCK = 32;

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Uniform values around `mean` with this standard deviation. */
export function randomWeights(
  seed: number,
  name: string,
  count: number,
  deviation: number,
  mean = 0,
): Float32Array<ArrayBuffer> {
  let state = FNV_OFFSET ^ seed;
  for (const byte of new TextEncoder().encode(name)) {
    state = Math.imul(state ^ byte, FNV_PRIME);
  }
  const random = randomFrom(state);
  // A uniform value between −a and a has the deviation a / √3.
  const width = 2 * Math.sqrt(3) * deviation;
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = mean + (random() - 0.5) * width;
  return values;
}

/** [rows, columns] to [columns, rows]. */
export function transposed(
  values: Float32Array<ArrayBuffer>,
  rows: number,
): Float32Array<ArrayBuffer> {
  const columns = values.length / rows;
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      out[column * rows + row] = values[row * columns + column] ?? 0;
    }
  }
  return out;
}

/** IEEE 754 binary16, rounded to nearest even. */
export function toFloat16(values: Float32Array<ArrayBuffer>): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, (word) => {
    const sign = (word >>> 16) & 0x8000;
    const exponent = ((word >>> 23) & 0xff) - 127;
    const mantissa = word & 0x7fffff;
    if (exponent > 15) return sign | 0x7c00;
    if (exponent < -25) return sign;
    // Numbers below 2^-14 are subnormal: their leading one is written, and the rest moves down.
    const [kept, shift] =
      exponent < -14
        ? [mantissa | 0x800000, -exponent - 1]
        : [((exponent + 15) << 23) | mantissa, 13];
    const rest = kept & (2 ** shift - 1);
    const half = 2 ** (shift - 1);
    const low = kept >>> shift;
    const up = rest > half || (rest === half && (low & 1) === 1);
    return sign | (low + (up ? 1 : 0));
  });
}

/** Symmetric blocks along each row, as MatMulNBits reads them; the zero point is in the middle. */
export function quantizedBlocks(
  values: Float32Array<ArrayBuffer>,
  rows: number,
  bits: 4 | 8,
): { readonly packed: Uint8Array<ArrayBuffer>; readonly scales: Float32Array<ArrayBuffer> } {
  const columns = values.length / rows;
  const blocks = Math.ceil(columns / BLOCK);
  const zero = 2 ** (bits - 1);
  const scales = new Float32Array(rows * blocks);
  const packed = new Uint8Array((rows * blocks * BLOCK * bits) / 8);
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const start = row * columns + block * BLOCK;
      const length = Math.min(BLOCK, columns - block * BLOCK);
      let largest = 0;
      for (let i = start; i < start + length; i++) {
        largest = Math.max(largest, Math.abs(values[i] ?? 0));
      }
      const scale = largest / (zero - 1);
      scales[row * blocks + block] = scale;
      for (let i = 0; i < BLOCK; i++) {
        const value = i < length ? (values[start + i] ?? 0) : 0;
        const level = zero + (scale === 0 ? 0 : Math.round(value / scale));
        const at = (row * blocks + block) * BLOCK + i;
        if (bits === 8) packed[at] = level;
        else packed[at >> 1] = (packed[at >> 1] ?? 0) | (level << (4 * (at & 1)));
      }
    }
  }
  return { packed, scales };
}

/** One symmetric scale for the whole matrix, as optimum's dynamic quantisation has it. */
export function quantizedWhole(values: Float32Array<ArrayBuffer>): {
  readonly levels: Int8Array<ArrayBuffer>;
  readonly scale: number;
} {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const scale = largest / 127;
  return { levels: Int8Array.from(values, (value) => Math.round(value / scale)), scale };
}
