import type { Awaitable, Hashes } from "@countersign/attestation/attester";

/** AES-GCM under one key: 12-byte nonces, 16-byte tags (NIST SP 800-38D). */
export interface Aead {
  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Awaitable<Uint8Array>;
  /** The plaintext, or null where the tag is not right. */
  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Awaitable<Uint8Array | null>;
}

/** An X25519 private key (RFC 7748 §5). */
export interface X25519Key {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** The shared secret, or null where `peer` is no key or of low order (RFC 7748 §6.1). */
  agree(peer: Uint8Array): Awaitable<Uint8Array | null>;
  /** Overwrites private bytes held outside the runtime's own keys. Not to be used after. */
  destroy(): void;
}

/** An ML-KEM-768 decapsulation key (FIPS 203). */
export interface MlKem768Key {
  /** 1184 bytes. */
  readonly publicKey: Uint8Array;
  /** The shared secret, or null where `ciphertext` is not 1088 bytes. */
  decapsulate(ciphertext: Uint8Array): Awaitable<Uint8Array | null>;
  /** Overwrites private bytes held outside the runtime's own keys. Not to be used after. */
  destroy(): void;
}

export interface Encapsulation {
  /** 32 bytes. */
  readonly sharedSecret: Uint8Array;
  readonly ciphertext: Uint8Array;
}

/** ML-KEM-768 (FIPS 203). */
export interface MlKem768 {
  /** The key that FIPS 203 §7.1 makes of `seed`, d ‖ z, 64 bytes. */
  key(seed: Uint8Array): Awaitable<MlKem768Key>;
  /** A fresh secret for `publicKey`, or null where that fails the check of FIPS 203 §7.2. */
  encapsulate(publicKey: Uint8Array): Awaitable<Encapsulation | null>;
}

/**
 * The cryptography that the protocol stands on, as an argument.
 *
 * Outputs are plain arrays that belong to the caller. Inputs are only read.
 */
export interface Primitives extends Hashes {
  /** Bytes nobody can predict. */
  random(length: number): Uint8Array;
  /** `key` of 16 or 32 bytes. */
  aesGcm(key: Uint8Array): Awaitable<Aead>;
  /** SHA3-256 (FIPS 202), 32 bytes. */
  sha3_256(bytes: Uint8Array): Awaitable<Uint8Array>;
  /** SHAKE256 (FIPS 202), `length` bytes. */
  shake256(bytes: Uint8Array, length: number): Awaitable<Uint8Array>;
  /** The key of 32 private bytes. */
  x25519(privateKey: Uint8Array): Awaitable<X25519Key>;
  readonly mlkem768: MlKem768;
}
