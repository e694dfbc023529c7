/** The curve P-256 (NIST SP 800-186 §3.2.1.3), as far as odd encodings of its points need it. */
import { bytesOfNumber, leastPoint } from "./curve.ts";

const FIELD_BYTES = 32;
const P = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;

export interface SmallPoint {
  /** 32 bytes each. */
  readonly x: Uint8Array;
  readonly y: Uint8Array;
  /** x + p, which still fits 32 bytes and names the same field element. */
  readonly xBeyondField: Uint8Array;
}

/** The point with the least x: only below 2^224 is there room for x + p. */
export function smallPoint(): SmallPoint {
  const { x, y } = leastPoint({ prime: P, b: B });
  const coordinate = (value: bigint): Uint8Array => bytesOfNumber(value, FIELD_BYTES);
  return { x: coordinate(x), y: coordinate(y), xBeyondField: coordinate(x + P) };
}
