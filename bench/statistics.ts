/** The `share`-quantile of `values`, of which there is at least one; 0.5 is the median. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  if (value === undefined) throw new TypeError("no values");
  return value;
}

/** The median: of an even number of values, the upper of the two in the middle. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** `map(a, b)` of each pair, in order: both lists come from windows that took turns. */
export function paired(
  a: readonly number[],
  b: readonly number[],
  map: (a: number, b: number) => number,
): number[] {
  if (a.length !== b.length) throw new TypeError("windows without their partner");
  return a.map((value, i) => map(value, b[i] ?? Number.NaN));
}
