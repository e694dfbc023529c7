/** From one vector for each token to one for the text, as sentence-transformers' Pooling does it. */

export type Pooling = "cls" | "mean" | "max" | "mean_sqrt_len" | "weighted_mean" | "last";

export const POOLINGS: readonly Pooling[] = [
  "cls",
  "mean",
  "max",
  "mean_sqrt_len",
  "weighted_mean",
  "last",
];

/** Keeps a vector of zeros one: torch.nn.functional.normalize's eps. */
const LEAST_NORM = 1e-12;

/**
 * The vector of one text, summed in 64-bit floats.
 *
 * @param rows - [tokens, dimensions], row-major, nothing padded; at least one token.
 */
export function pool(rows: Float32Array, dimensions: number, pooling: Pooling): Float64Array {
  const tokens = rows.length / dimensions;
  if (!Number.isInteger(tokens) || tokens < 1) throw new TypeError("rows of another length");
  const row = (token: number): Float64Array =>
    Float64Array.from(rows.subarray(token * dimensions, (token + 1) * dimensions));
  switch (pooling) {
    case "cls":
      return row(0);
    case "last":
      return row(tokens - 1);
    case "max":
      return maxima(rows, dimensions);
    case "mean":
      return weightedSum(rows, dimensions, () => 1 / tokens);
    case "mean_sqrt_len":
      return weightedSum(rows, dimensions, () => 1 / Math.sqrt(tokens));
    case "weighted_mean": {
      const all = (tokens * (tokens + 1)) / 2;
      return weightedSum(rows, dimensions, (token) => (token + 1) / all);
    }
    default:
      return pooling satisfies never;
  }
}

/** At length one, or of zeros where it was. */
export function normalize(vector: Float64Array): Float64Array {
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return vector.map((value) => value / Math.max(norm, LEAST_NORM));
}

function weightedSum(
  rows: Float32Array,
  dimensions: number,
  weight: (token: number) => number,
): Float64Array {
  const sum = new Float64Array(dimensions);
  for (let at = 0, token = 0; at < rows.length; at += dimensions, token++) {
    const factor = weight(token);
    for (let d = 0; d < dimensions; d++) sum[d] = (sum[d] ?? 0) + factor * (rows[at + d] ?? 0);
  }
  return sum;
}

function maxima(rows: Float32Array, dimensions: number): Float64Array {
  const most = new Float64Array(dimensions).fill(-Infinity);
  for (const [i, value] of rows.entries()) {
    const d = i % dimensions;
    most[d] = Math.max(most[d] ?? 0, value);
  }
  return most;
}
