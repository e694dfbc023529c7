/**
 * ReleaseBinding: what an enclave's document vouches for, in its `user_data`, when it asks a key broker
 * for the data key of a sealed model.
 *
 * ```cddl
 * ReleaseBinding = { 1: "countersign/key-release/v1", 2: public key digest, 3: model digest,
 *                    4: envelope digest }
 * ```
 * Digests are SHA-256 of the exact bytes sent; the model digest is that of the manifest. The tag keeps
 * purposes apart: no epoch is ever taken for a request, and no request for an epoch.
 */
import {
  type CborKey,
  type CborValue,
  decodeCbor,
  DETERMINISTIC,
  encodeCbor,
  isMap,
} from "./cbor.ts";
import { AttestationError } from "./errors.ts";
import { Fields } from "./structure.ts";

const TAG = "countersign/key-release/v1";

/** `user_data` of a Nitro attestation document holds at most 512 bytes by its specification. */
const MAX_BINDING_BYTES = 512;

/** One request for one key: who may read the answer, for which model, and out of which envelope. */
export interface ReleaseBinding {
  /** SHA-256 of the HPKE public key that the answer is encrypted to. */
  readonly publicKeyDigest: Uint8Array;
  /** The model digest, 32 bytes. */
  readonly modelDigest: Uint8Array;
  /** SHA-256 of the envelope's bytes. */
  readonly envelopeDigest: Uint8Array;
}

/** The bytes for `user_data`. @throws {@link AttestationError} as {@link parseReleaseBinding}. */
export function encodeReleaseBinding(binding: ReleaseBinding): Uint8Array {
  const bytes = encodeCbor(
    new Map<CborKey, CborValue>([
      [1, TAG],
      [2, binding.publicKeyDigest],
      [3, binding.modelDigest],
      [4, binding.envelopeDigest],
    ]),
  );
  parseReleaseBinding(bytes);
  return bytes;
}

/**
 * Reads a ReleaseBinding.
 *
 * @throws {@link AttestationError} `binding/tag` where `bytes` are CBOR for another purpose,
 * `binding/structure` or `cbor/…` where they are not well formed.
 */
export function parseReleaseBinding(bytes: Uint8Array): ReleaseBinding {
  if (bytes.length > MAX_BINDING_BYTES) {
    throw new AttestationError("binding/structure", `${bytes.length} bytes, want ≤ 512`);
  }
  const value = decodeCbor(bytes, DETERMINISTIC);
  if (!isMap(value) || value.get(1) !== TAG) {
    throw new AttestationError("binding/tag", `user_data is not tagged ${TAG}`);
  }
  const fields = new Fields(value, {
    code: "binding/structure",
    name: "ReleaseBinding",
    required: [1, 2, 3, 4],
  });
  return {
    publicKeyDigest: fields.digest(2),
    modelDigest: fields.digest(3),
    envelopeDigest: fields.digest(4),
  };
}
