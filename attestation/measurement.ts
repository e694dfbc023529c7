import type { Brand } from "./brand.ts";
import { AttestationError } from "./errors.ts";

/** Bytes in a PCR under digest "SHA384". AWS Nitro Enclaves attestation process §3.2. */
export const PCR_BYTES = 48;
/** The registers that hold the image: all of it, its kernel and boot file system, its application. */
export const IMAGE_REGISTERS: readonly [0, 1, 2] = [0, 1, 2];

/** One platform configuration register: 48 bytes, SHA-384. */
export type Measurement = Brand<Uint8Array, "Measurement">;

/**
 * A copy of exactly 48 bytes.
 *
 * @throws {@link AttestationError} `evidence/pcrs`.
 */
export function parseMeasurement(bytes: Uint8Array): Measurement {
  if (bytes.length !== PCR_BYTES) {
    throw new AttestationError("evidence/pcrs", `PCR of ${bytes.length} bytes, want ${PCR_BYTES}`);
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- this is the parser of Measurement
  return new Uint8Array(bytes) as Measurement;
}

/**
 * Whether the enclave runs in debug mode, in which its operator can read all of it.
 *
 * Nitro then reports PCR0, PCR1 and PCR2 as zero. SHA-384 never gives zero in practice, so one zero
 * register is reason enough, and so is one that is missing.
 */
export function debugMode(evidence: { readonly pcrs: ReadonlyMap<number, Uint8Array> }): boolean {
  return IMAGE_REGISTERS.some((index) => {
    const value = evidence.pcrs.get(index);
    return value === undefined || value.every((byte) => byte === 0);
  });
}
