/**
 * ECDSA whose nonce follows from key and message, so that the lab signs the same bytes in every run.
 *
 * For tests only: nobody has looked at what this tells about its keys, which the seed tells anyway.
 */
import { createECDH, createHash } from "node:crypto";
import type { Signer } from "../fakes/nitro.ts";

export type Curve = "P-256" | "P-384";

/** Node's name, bytes of a coordinate, hash, and the order n (NIST SP 800-186 §3.2.1.3, §3.2.1.4). */
const CURVES = {
  "P-256": {
    name: "prime256v1",
    bytes: 32,
    hash: "sha256",
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  },
  "P-384": {
    name: "secp384r1",
    bytes: 48,
    hash: "sha384",
    order:
      0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  },
} as const;

/** Signatures that one key remembers. */
const MAX_SIGNED = 256;

/** A key of the lab, and its signatures without waiting. */
export interface LabKey extends Signer {
  readonly curve: Curve;
  readonly scalar: bigint;
  readonly signNow: (message: Uint8Array) => Uint8Array;
}

/** The key with this private scalar, from 1 to n - 1. */
export function labKey(curve: Curve, scalar: bigint): LabKey {
  const point = multiply(curve, scalar);
  // Most mutants change one certificate: what the others say was signed before.
  const signed = new Map<string, Uint8Array>();
  const signNow = (message: Uint8Array): Uint8Array => {
    const name = createHash("sha256").update(message).digest("base64");
    const signature = signed.get(name) ?? sign(curve, scalar, message);
    if (signed.size >= MAX_SIGNED) signed.clear();
    signed.set(name, signature);
    return signature;
  };
  return { curve, scalar, point, signNow, sign: (message) => Promise.resolve(signNow(message)) };
}

/** A scalar that follows from `words`. */
export function labScalar(curve: Curve, ...words: readonly (string | Uint8Array)[]): bigint {
  const hash = createHash("sha512");
  for (const word of words) hash.update(word);
  return 1n + (number(hash.digest()) % (CURVES[curve].order - 1n));
}

/** r ‖ n − s: what ECDSA takes for the same signature as r ‖ s. */
export function twin(curve: Curve, signature: Uint8Array): Uint8Array {
  const { bytes, order } = CURVES[curve];
  const s = order - number(signature.subarray(bytes));
  return new Uint8Array([...signature.subarray(0, bytes), ...fixed(s, bytes)]);
}

/** FIPS 186-5 §6.4.1. */
function sign(curve: Curve, scalar: bigint, message: Uint8Array): Uint8Array {
  const { bytes, hash, order } = CURVES[curve];
  const digest = createHash(hash).update(message).digest();
  const nonce = labScalar(curve, fixed(scalar, bytes), digest);
  const r = number(multiply(curve, nonce).subarray(1, 1 + bytes)) % order;
  const s = (inverse(nonce, order) * (number(digest) + r * scalar)) % order;
  return new Uint8Array([...fixed(r, bytes), ...fixed(s, bytes)]);
}

/** The point scalar · G, uncompressed, by Node. */
function multiply(curve: Curve, scalar: bigint): Uint8Array {
  const { name, bytes } = CURVES[curve];
  const ecdh = createECDH(name);
  ecdh.setPrivateKey(fixed(scalar, bytes));
  return new Uint8Array(ecdh.getPublicKey());
}

/** Extended Euclid. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [r, next] = [modulus, value];
  let [t, nextT] = [0n, 1n];
  while (next !== 0n) {
    const quotient = r / next;
    [r, next] = [next, r - quotient * next];
    [t, nextT] = [nextT, t - quotient * nextT];
  }
  return t < 0n ? t + modulus : t;
}

function number(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}

function fixed(value: bigint, bytes: number): Uint8Array {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(2 * bytes, "0"), "hex"));
}
