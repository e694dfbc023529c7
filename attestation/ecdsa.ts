/**
 * ECDSA (FIPS 186-5 §6) over the two curves we verify, through WebCrypto.
 *
 * Keys are uncompressed points, signatures are `r ‖ s` of fixed width; other forms are converted or
 * refused before WebCrypto sees them, so that no two encodings of one key or signature are accepted.
 */
import { compareBytes, decodeHex } from "./bytes.ts";
import { AttestationError } from "./errors.ts";

/** Curves by WebCrypto's names (NIST SP 800-186 §3.2.1). */
export type Curve = "P-256" | "P-384";

interface CurveParameters {
  readonly hash: "SHA-256" | "SHA-384";
  /** Bytes in a coordinate, and in each half of a signature. */
  readonly fieldBytes: number;
  /** The order n of the base point, big-endian (NIST SP 800-186 §3.2.1.3, §3.2.1.4). */
  readonly order: Uint8Array;
}

const CURVES: Readonly<Record<Curve, CurveParameters>> = {
  "P-256": {
    hash: "SHA-256",
    fieldBytes: 32,
    order: constant("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
  },
  "P-384": {
    hash: "SHA-384",
    fieldBytes: 48,
    order: constant(
      "ffffffffffffffffffffffffffffffffffffffffffffffff" +
        "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    ),
  },
};

/** SEC 1 §2.3.3: the first byte of an uncompressed point. */
const UNCOMPRESSED = 4;

/** Length of an uncompressed point: 65 or 97 bytes. */
export function pointBytes(curve: Curve): number {
  return 1 + 2 * CURVES[curve].fieldBytes;
}

/** Length of `r ‖ s`: 64 or 96 bytes. */
export function signatureBytes(curve: Curve): number {
  return 2 * CURVES[curve].fieldBytes;
}

/** Whether `signature` is `r ‖ s` of the fixed width with both in [1, n − 1] (FIPS 186-5 §6.4.2). */
export function isSignature(curve: Curve, signature: Uint8Array): boolean {
  const { fieldBytes, order } = CURVES[curve];
  if (signature.length !== 2 * fieldBytes) return false;
  for (const half of [signature.subarray(0, fieldBytes), signature.subarray(fieldBytes)]) {
    if (half.every((byte) => byte === 0) || compareBytes(half, order) >= 0) return false;
  }
  return true;
}

/** Whether s ≤ (n − 1) / 2, the one of two valid values that our own receipts carry. */
export function isLowS(curve: Curve, signature: Uint8Array): boolean {
  const { fieldBytes } = CURVES[curve];
  const s = signature.subarray(fieldBytes);
  return compareBytes(s, negated(curve, s)) < 0;
}

/** The same signature with s ≤ (n − 1) / 2. Takes a signature in range; returns a copy. */
export function lowS(curve: Curve, signature: Uint8Array): Uint8Array {
  const { fieldBytes } = CURVES[curve];
  const copy = new Uint8Array(signature);
  if (!isLowS(curve, copy)) copy.set(negated(curve, copy.subarray(fieldBytes)), fieldBytes);
  return copy;
}

/** n − s. */
function negated(curve: Curve, s: Uint8Array): Uint8Array {
  const { fieldBytes, order } = CURVES[curve];
  const difference = new Uint8Array(fieldBytes);
  let borrow = 0;
  for (let i = fieldBytes - 1; i >= 0; i--) {
    const digit = (order[i] ?? 0) - (s[i] ?? 0) - borrow;
    borrow = digit < 0 ? 1 : 0;
    difference[i] = digit & 0xff;
  }
  return difference;
}

/** A WebCrypto key, under a name that declarations can use whatever ambient types they meet. */
export type KeyHandle = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

/** A public key that is a point on its curve. */
export interface VerificationKey {
  readonly curve: Curve;
  readonly handle: KeyHandle;
}

/**
 * Imports an uncompressed point.
 *
 * The point must be on the curve: WebCrypto's import refuses any other (W3C Web Cryptography API
 * §23.7, "raw"), which a test holds it to.
 * @throws {@link AttestationError} `certificate/key`.
 */
export async function importPoint(curve: Curve, point: Uint8Array): Promise<VerificationKey> {
  // Compressed and hybrid points name the same keys; importing engines differ in taking them.
  if (point.length !== pointBytes(curve) || point[0] !== UNCOMPRESSED) {
    throw new AttestationError("certificate/key", `key is no uncompressed ${curve} point`);
  }
  const algorithm = { name: "ECDSA", namedCurve: curve };
  try {
    const handle = await crypto.subtle.importKey("raw", point, algorithm, false, ["verify"]);
    return { curve, handle };
  } catch (cause) {
    throw new AttestationError("certificate/key", `point is not on ${curve}`, { cause });
  }
}

/** Whether `signature` (`r ‖ s`) over `message` is by `key`. */
export async function verifyEcdsa(
  key: VerificationKey,
  signature: Uint8Array,
  message: Uint8Array,
): Promise<boolean> {
  if (!isSignature(key.curve, signature)) return false;
  const algorithm = { name: "ECDSA", hash: CURVES[key.curve].hash };
  return crypto.subtle.verify(algorithm, key.handle, signature, message);
}

function constant(hex: string): Uint8Array {
  return decodeHex(hex) ?? new Uint8Array();
}
