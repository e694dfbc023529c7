/**
 * The registers that the hypervisor fills from an image (AWS Nitro Enclaves, "Cryptographic
 * attestation"): PCR0 over kernel, command line and all ramdisks; PCR1 over kernel, command line and
 * the first ramdisk; PCR2 over the other ramdisks; PCR8 over the signing certificate.
 */
import { concatBytes } from "@countersign/attestation/attester";
import { createHash, hash, type Hash } from "node:crypto";
import type { SectionType } from "./eif.ts";

/** Bytes of SHA-384, which all registers are. */
export const PCR_BYTES = 48;
const ALGORITHM = "sha384";

export interface Registers {
  readonly pcr0: Uint8Array;
  readonly pcr1: Uint8Array;
  readonly pcr2: Uint8Array;
}

/** Takes an image's sections in their order, in pieces of any size, and nothing twice. */
export class RegisterHasher {
  readonly #image: Hash = createHash(ALGORITHM);
  readonly #application: Hash = createHash(ALGORITHM);
  #platform: Uint8Array | null = null;
  #ramdisks = 0;

  /** Another section begins. What was hashed before the second ramdisk is the platform. */
  begin(type: SectionType): void {
    if (type !== "ramdisk") return;
    this.#ramdisks++;
    if (this.#ramdisks === 2) this.#platform = digest(this.#image.copy());
  }

  update(type: SectionType, chunk: Uint8Array): void {
    if (type === "metadata" || type === "signature") return;
    this.#image.update(chunk);
    if (type === "ramdisk" && this.#ramdisks > 1) this.#application.update(chunk);
  }

  /** The registers, after the last ramdisk. */
  registers(): Registers {
    const image = digest(this.#image.copy());
    return {
      pcr0: extended(image),
      pcr1: extended(this.#platform ?? image),
      pcr2: extended(digest(this.#application.copy())),
    };
  }
}

/** PCR8 of an image that is signed with this certificate, DER. */
export function certificateRegister(certificate: Uint8Array): Uint8Array {
  return extended(new Uint8Array(hash(ALGORITHM, certificate, "buffer")));
}

/** A register that was zero, extended once: SHA-384(48 zero bytes ‖ digest). */
function extended(digestBytes: Uint8Array): Uint8Array {
  const bytes = concatBytes(new Uint8Array(PCR_BYTES), digestBytes);
  return new Uint8Array(hash(ALGORITHM, bytes, "buffer"));
}

function digest(state: Hash): Uint8Array {
  return new Uint8Array(state.digest());
}
