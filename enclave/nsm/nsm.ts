import type { Awaitable } from "@countersign/attestation/attester";

/** One platform configuration register. */
export interface Pcr {
  readonly locked: boolean;
  /** 48 bytes, SHA-384. */
  readonly value: Uint8Array;
}

/** What an attestation document is asked to carry; null leaves a field out. */
export interface AttestationRequest {
  /** ≤ 512 bytes. */
  readonly userData: Uint8Array | null;
  /** ≤ 512 bytes. */
  readonly nonce: Uint8Array | null;
  /** ≤ 1024 bytes. */
  readonly publicKey: Uint8Array | null;
}

/**
 * The Nitro Secure Module: registers that only grow, and documents the hardware signs.
 *
 * Every call throws EnclaveError `nsm/…` when the module refuses it.
 */
export interface Nsm {
  describePcr(index: number): Awaitable<Pcr>;
  /** New value = SHA-384(old value ‖ `data`); returns it. */
  extendPcr(index: number, data: Uint8Array): Awaitable<Uint8Array>;
  /** After this the register cannot be extended any more. */
  lockPcr(index: number): Awaitable<void>;
  /** The COSE_Sign1 bytes of an attestation document. */
  attest(request: AttestationRequest): Awaitable<Uint8Array>;
  /** Up to 256 random bytes of the module's own source. */
  random(): Awaitable<Uint8Array>;
}
