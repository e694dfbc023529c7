/** Points of NIST's curves (SP 800-186 §3.2.1): y² = x³ − 3x + b over a prime p ≡ 3 mod 4. */
export interface CurveEquation {
  readonly prime: bigint;
  readonly b: bigint;
}

/** The point with the least x above 0: so small that x + p fits the field's bytes, too. */
export function leastPoint({ prime, b }: CurveEquation): {
  readonly x: bigint;
  readonly y: bigint;
} {
  for (let x = 1n; ; x++) {
    const square = (x ** 3n - 3n * x + b) % prime;
    // The root, where there is one, is this power (SEC 1 §2.3.4).
    const y = power(square, (prime + 1n) / 4n, prime);
    if ((y * y) % prime === square) return { x, y };
  }
}

/** Big-endian, of `length` bytes. */
export function bytesOfNumber(value: bigint, length: number): Uint8Array {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(2 * length, "0"), "hex"));
}

function power(base: bigint, exponent: bigint, prime: bigint): bigint {
  let result = 1n;
  for (const bit of exponent.toString(2)) {
    result = (result * result) % prime;
    if (bit === "1") result = (result * base) % prime;
  }
  return result;
}
