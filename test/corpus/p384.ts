/** Arithmetic on P-384 (NIST SP 800-186 §3.2.1.4), for points and signatures of unusual form. */
import { concatBytes } from "@countersign/attestation";
import { hex } from "../fakes/nitro.ts";
import { bytesOfNumber, leastPoint } from "./curve.ts";

const FIELD_BYTES = 48;
const PRIME = 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n;
const B = BigInt(
  "0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
);
const ORDER = BigInt(
  "0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
);
const GENERATOR = hex(
  "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7" +
    "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
);

/** Big-endian: p, p - 3, b, the base point, n. */
export const P384 = {
  prime: bytesOf(PRIME),
  a: bytesOf(PRIME - 3n),
  b: bytesOf(B),
  generator: GENERATOR,
  order: bytesOf(ORDER),
} as const;

/** `r ‖ n - s`: the other of the two signatures that verify. */
export function otherS(signature: Uint8Array): Uint8Array {
  const s = numberOf(signature.slice(FIELD_BYTES));
  return concatBytes(signature.slice(0, FIELD_BYTES), bytesOf(ORDER - s));
}

/**
 * A point on the curve whose x is below 2^128, so that x + p fits 384 bits too.
 *
 * @returns it with x as it is, and with x + p in its place.
 */
export function smallPoint(): { readonly reduced: Uint8Array; readonly unreduced: Uint8Array } {
  const { x, y } = leastPoint({ prime: PRIME, b: B });
  const at = (value: bigint): Uint8Array =>
    concatBytes(Uint8Array.of(4), bytesOf(value), bytesOf(y));
  return { reduced: at(x), unreduced: at(x + PRIME) };
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}

function bytesOf(value: bigint): Uint8Array {
  return bytesOfNumber(value, FIELD_BYTES);
}
