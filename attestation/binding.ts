/**
 * EpochBinding: what the attestation document vouches for, in its `user_data`.
 *
 * ```cddl
 * EpochBinding = { 1: "countersign/epoch/v1", 2: keyset digest, 3: models digest, 4: config digest,
 *                  5: sequence uint, 6: notBefore uint, 7: notAfter uint, ? 8: previous document }
 * ```
 * Digests are SHA-256 of the exact bytes sent. The tag separates purposes: a document made for
 * anything else carries another tag and is never taken for an epoch.
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
import { sha384 } from "./hashes.ts";
import { DIGEST_BYTES, Fields } from "./structure.ts";

const TAG = "countersign/epoch/v1";

/** `user_data` of a Nitro attestation document holds at most 512 bytes by its specification. */
const MAX_BINDING_BYTES = 512;

/**
 * From notBefore to notAfter, its overlap included: a Nitro leaf certificate, which must cover it,
 * lives three hours and may be ten minutes old. PROTOCOL.md, "Limits".
 */
export const MAX_EPOCH_SECONDS = 10_200;

/** The register that holds the models: the first one the application may extend. */
export const MODELS_REGISTER = 16;

/** Bytes of a register under SHA-384; a register that was never extended is zero. */
const REGISTER_BYTES = 48;

/** One epoch of one enclave: its keys, models, configuration and lifetime. */
export interface EpochBinding {
  /** SHA-256 of the Keyset's bytes. */
  readonly keysetDigest: Uint8Array;
  /** SHA-256 of the ModelSet's bytes. */
  readonly modelsDigest: Uint8Array;
  /** SHA-256 of the RuntimeConfig's bytes. */
  readonly configDigest: Uint8Array;
  /** Counts the epochs of one boot. */
  readonly sequence: number;
  /** Unix seconds; the epoch's keys are used from then on. */
  readonly notBefore: number;
  /** Unix seconds; the epoch's keys are destroyed by then. */
  readonly notAfter: number;
  /** SHA-256 of the previous epoch's document payload; null for the first epoch of a boot. */
  readonly previous: Uint8Array | null;
}

/** The bytes for `user_data`. @throws {@link AttestationError} as {@link parseEpochBinding}. */
export function encodeEpochBinding(binding: EpochBinding): Uint8Array {
  const map = new Map<CborKey, CborValue>([
    [1, TAG],
    [2, binding.keysetDigest],
    [3, binding.modelsDigest],
    [4, binding.configDigest],
    [5, binding.sequence],
    [6, binding.notBefore],
    [7, binding.notAfter],
  ]);
  if (binding.previous !== null) map.set(8, binding.previous);
  const bytes = encodeCbor(map);
  parseEpochBinding(bytes);
  return bytes;
}

/**
 * Reads an EpochBinding.
 *
 * @throws {@link AttestationError} `binding/tag` where `bytes` are CBOR for another purpose,
 * `binding/structure` or `cbor/…` where they are not well formed.
 */
export function parseEpochBinding(bytes: Uint8Array): EpochBinding {
  if (bytes.length > MAX_BINDING_BYTES) {
    throw new AttestationError("binding/structure", `${bytes.length} bytes, want ≤ 512`);
  }
  const value = decodeCbor(bytes, DETERMINISTIC);
  if (!isMap(value) || value.get(1) !== TAG) {
    throw new AttestationError("binding/tag", `user_data is not tagged ${TAG}`);
  }
  const fields = new Fields(value, {
    code: "binding/structure",
    name: "EpochBinding",
    required: [1, 2, 3, 4, 5, 6, 7],
    optional: [8],
  });
  const notBefore = fields.uint(6);
  const notAfter = fields.uint(7);
  if (notAfter <= notBefore) {
    throw fields.refusal(`notAfter ${notAfter} is not after notBefore ${notBefore}`);
  }
  if (notAfter - notBefore > MAX_EPOCH_SECONDS) {
    throw fields.refusal(`${notAfter - notBefore} s long, want ≤ ${MAX_EPOCH_SECONDS} s`);
  }
  return {
    keysetDigest: fields.digest(2),
    modelsDigest: fields.digest(3),
    configDigest: fields.digest(4),
    sequence: fields.uint(5),
    notBefore,
    notAfter,
    previous: fields.has(8) ? fields.digest(8) : null,
  };
}

/**
 * The value of register 16 once the enclave extended it, from zero, with the models digest.
 *
 * AWS Nitro Enclaves NSM API, `ExtendPCR`: the new value is SHA-384 of the old one and the data.
 *
 * @throws TypeError unless the digest has 32 bytes.
 */
export function modelsRegister(modelsDigest: Uint8Array): Promise<Uint8Array> {
  if (modelsDigest.length !== DIGEST_BYTES) {
    throw new TypeError(`models digest of ${modelsDigest.length} bytes, want ${DIGEST_BYTES}`);
  }
  return sha384(new Uint8Array(REGISTER_BYTES), modelsDigest);
}
