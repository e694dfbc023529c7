/** The public types of @countersign/protocol/web. Written by test/api/generate.ts. */
import type { Awaitable, Hashes } from "@countersign/attestation/attester";

export interface WebPrimitivesOptions {
  readonly mlkem768: MlKem768 | null;
}

export declare function webPrimitives(options?: WebPrimitivesOptions): Primitives;

interface Aead {
  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Awaitable<Uint8Array>;
  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Awaitable<Uint8Array | null>;
}

interface Encapsulation {
  readonly sharedSecret: Uint8Array;
  readonly ciphertext: Uint8Array;
}

interface MlKem768 {
  key(seed: Uint8Array): Awaitable<MlKem768Key>;
  encapsulate(publicKey: Uint8Array): Awaitable<Encapsulation | null>;
}

interface MlKem768Key {
  readonly publicKey: Uint8Array;
  decapsulate(ciphertext: Uint8Array): Awaitable<Uint8Array | null>;
  destroy(): void;
}

interface Primitives extends Hashes {
  random(length: number): Uint8Array;
  aesGcm(key: Uint8Array): Awaitable<Aead>;
  sha3_256(bytes: Uint8Array): Awaitable<Uint8Array>;
  shake256(bytes: Uint8Array, length: number): Awaitable<Uint8Array>;
  x25519(privateKey: Uint8Array): Awaitable<X25519Key>;
  readonly mlkem768: MlKem768;
}

interface X25519Key {
  readonly publicKey: Uint8Array;
  agree(peer: Uint8Array): Awaitable<Uint8Array | null>;
  destroy(): void;
}

export {};
