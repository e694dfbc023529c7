/**
 * A row of AEAD messages under one key, with nonce = base nonce XOR counter.
 *
 * RFC 9180 §5.2 and draft-ietf-ohai-chunked-ohttp-08 §6.2 count in the same way, so requests and
 * responses share this. Counters are reserved before the first await and never wrap.
 */
import type { Awaitable } from "@countersign/attestation/attester";
import { ProtocolError } from "./errors.ts";
import type { Aead } from "./primitives.ts";

/** Messages under one key: the bound of NIST SP 800-38D §8.3, far below where a counter wraps. */
export const MAX_MESSAGES: number = 2 ** 32;

/**
 * The nonce of message number `counter`, from 0 (RFC 9180 §5.2 ComputeNonce).
 *
 * @throws {@link ProtocolError} `hpke/exhausted` from 2^32 on.
 */
export function nonceAt(base: Uint8Array, counter: number): Uint8Array {
  if (counter >= MAX_MESSAGES) throw new ProtocolError("hpke/exhausted", "2^32 messages");
  const nonce = new Uint8Array(base);
  const view = new DataView(nonce.buffer);
  const end = nonce.length - 4;
  view.setUint32(end, (view.getUint32(end) ^ counter) >>> 0);
  return nonce;
}

export class ChunkSealer {
  readonly #aead: Aead;
  readonly #baseNonce: Uint8Array;
  #next = 0;

  constructor(aead: Aead, baseNonce: Uint8Array) {
    this.#aead = aead;
    this.#baseNonce = baseNonce;
  }

  /** Ciphertext and tag. @throws {@link ProtocolError} `hpke/exhausted` after 2^32 messages. */
  seal(aad: Uint8Array, plaintext: Uint8Array): Awaitable<Uint8Array> {
    return this.#aead.seal(nonceAt(this.#baseNonce, this.#next++), aad, plaintext);
  }
}

/** Opens in order. One failure ends it: nothing is opened after a message that did not open. */
export class ChunkOpener {
  readonly #aead: Aead;
  readonly #baseNonce: Uint8Array;
  #next = 0;
  #failed = false;

  constructor(aead: Aead, baseNonce: Uint8Array) {
    this.#aead = aead;
    this.#baseNonce = baseNonce;
  }

  /** @throws {@link ProtocolError} `hpke/open`, whatever the reason. */
  async open(aad: Uint8Array, ciphertext: Uint8Array): Promise<Uint8Array> {
    const nonce = nonceAt(this.#baseNonce, this.#next++);
    const plaintext = this.#failed ? null : await this.#aead.open(nonce, aad, ciphertext);
    if (plaintext === null || this.#failed) {
      this.#failed = true;
      throw new ProtocolError("hpke/open", "cannot decrypt");
    }
    return plaintext;
  }
}
