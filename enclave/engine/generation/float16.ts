/**
 * Widens IEEE 754 binary16, by its raw bits, to 32 bits. Exact.
 *
 * A table, because a step widens a whole vocabulary for each sequence.
 */
export function widen(from: Uint16Array, to: Float32Array): void {
  for (let i = 0; i < from.length; i++) to[i] = TABLE[from[i] ?? 0] ?? 0;
}

const TABLE = Float32Array.from({ length: 65_536 }, (_, bits) => {
  const sign = (bits & 0x8000) === 0 ? 1 : -1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
});
