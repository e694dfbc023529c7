import type { Envelope } from "@countersign/protocol";

/**
 * Whoever wraps and unwraps the data keys of an owner's sealed models.
 *
 * A model digest is bound to every wrapped key: it opens as the key of that model and no other.
 */
export interface KeyProvider {
  /** A fresh data key and its envelope. The caller overwrites the key. */
  generate(
    modelDigest: Uint8Array,
  ): Promise<{ readonly key: Uint8Array; readonly envelope: Envelope }>;
  /** The data key of `envelope`. The caller overwrites it. */
  unwrap(envelope: Envelope, modelDigest: Uint8Array): Promise<Uint8Array>;
  /** The same data key under this provider's key. */
  wrap(key: Uint8Array, modelDigest: Uint8Array): Promise<Envelope>;
}

/** Whoever can unwrap an envelope. @throws {@link SealingError} where nobody is known who could. */
export type ProviderOf = (envelope: Envelope) => Promise<KeyProvider>;
