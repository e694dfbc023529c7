/** Points of the two curves that no verifier may take for keys, and a good one beside them. */
import { concatBytes, type Curve, encodeHex } from "@countersign/attestation";
import { smallPoint as smallPointP256 } from "../corpus/p256.ts";
import { smallPoint as smallPointP384 } from "../corpus/p384.ts";
import type { PointQuestion } from "./questions.ts";

interface CurvePoints {
  readonly curve: Curve;
  /** Uncompressed. */
  readonly point: Uint8Array;
  /** The same point with x + p for x, which fits the same bytes. */
  readonly unreduced: Uint8Array;
}

const CURVES: readonly CurvePoints[] = [p256(), p384()];

export const GOOD_POINTS: readonly PointQuestion[] = CURVES.map(({ curve, point }) => ({
  what: "a point",
  curve,
  point: encodeHex(point),
}));

export const BAD_POINTS: readonly PointQuestion[] = CURVES.flatMap(
  ({ curve, point, unreduced }) => {
    const x = point.slice(1, (point.length + 1) / 2);
    const y = point.slice(1 + x.length);
    const odd = (y.at(-1) ?? 0) & 1;
    const points = {
      "another y": concatBytes(Uint8Array.of(4), x, flipped(y)),
      "another x": concatBytes(Uint8Array.of(4), flipped(x), y),
      "the coordinates exchanged": concatBytes(Uint8Array.of(4), y, x),
      "x not reduced": unreduced,
      "both coordinates zero": concatBytes(Uint8Array.of(4), new Uint8Array(2 * x.length)),
      "all bits set": concatBytes(Uint8Array.of(4), new Uint8Array(2 * x.length).fill(0xff)),
      "the point at infinity": Uint8Array.of(0),
      compressed: concatBytes(Uint8Array.of(2 + odd), x),
      hybrid: concatBytes(Uint8Array.of(6 + odd), x, y),
      "a byte too many": concatBytes(point, Uint8Array.of(0)),
      "a byte too few": point.slice(0, -1),
      "no bytes": new Uint8Array(),
    };
    return Object.entries(points).map(([what, bytes]) => ({
      what,
      curve,
      point: encodeHex(bytes),
    }));
  },
);

function p256(): CurvePoints {
  const { x, y, xBeyondField } = smallPointP256();
  return {
    curve: "P-256",
    point: concatBytes(Uint8Array.of(4), x, y),
    unreduced: concatBytes(Uint8Array.of(4), xBeyondField, y),
  };
}

function p384(): CurvePoints {
  const { reduced, unreduced } = smallPointP384();
  return { curve: "P-384", point: reduced, unreduced };
}

function flipped(coordinate: Uint8Array): Uint8Array {
  return coordinate.with(-1, (coordinate.at(-1) ?? 0) ^ 1);
}
