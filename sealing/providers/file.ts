/** Data keys wrapped under the key of a key file: for tests, and for those who use no cloud. */
import { createCipheriv, createDecipheriv, randomBytes, randomFillSync } from "node:crypto";
import { concatBytes, encodeUtf8 } from "@countersign/attestation";
import { DATA_KEY_BYTES, type Envelope } from "@countersign/protocol";
import { SealingError } from "../errors.ts";
import { keyFileId } from "../key-file.ts";
import type { KeyProvider } from "./provider.ts";

const LABEL = encodeUtf8("countersign/wrapped-key/v1");
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const WRAPPED_BYTES = NONCE_BYTES + DATA_KEY_BYTES + TAG_BYTES;

/**
 * Wraps under `key`, 32 bytes, which must live as long as the provider: it is not copied.
 *
 * @throws {@link SealingError} `sealing/key` where an envelope is of another key, or does not open.
 */
export function fileProvider(key: Uint8Array): KeyProvider {
  const id = keyFileId(key);
  const wrap = (dataKey: Uint8Array, modelDigest: Uint8Array): Envelope => {
    return { kind: "file", key: id, wrapped: wrapKey(key, dataKey, modelDigest) };
  };
  return {
    async generate(modelDigest) {
      const dataKey = randomFillSync(new Uint8Array(DATA_KEY_BYTES));
      return { key: dataKey, envelope: wrap(dataKey, modelDigest) };
    },
    async unwrap(envelope, modelDigest) {
      if (envelope.kind !== "file") {
        throw new SealingError("sealing/key", "the model is sealed under a key of AWS KMS");
      }
      if (envelope.key !== id) {
        const found = `the model is sealed under key ${envelope.key}`;
        throw new SealingError("sealing/key", `${found}, and this key file has ${id}`);
      }
      return unwrapKey(key, envelope.wrapped, modelDigest);
    },
    wrap: async (dataKey, modelDigest) => wrap(dataKey, modelDigest),
  };
}

/** nonce(12) ‖ AES-256-GCM. Random nonces: far fewer keys are wrapped than SP 800-38D §8.3 allows. */
function wrapKey(key: Uint8Array, dataKey: Uint8Array, modelDigest: Uint8Array): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(concatBytes(LABEL, modelDigest));
  return concatBytes(nonce, cipher.update(dataKey), cipher.final(), cipher.getAuthTag());
}

function unwrapKey(key: Uint8Array, wrapped: Uint8Array, modelDigest: Uint8Array): Uint8Array {
  if (wrapped.length !== WRAPPED_BYTES) {
    throw new SealingError("sealing/key", `wrapped key of ${wrapped.length} bytes`);
  }
  const nonce = wrapped.subarray(0, NONCE_BYTES);
  const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(concatBytes(LABEL, modelDigest));
  decipher.setAuthTag(wrapped.subarray(WRAPPED_BYTES - TAG_BYTES));
  const opened = decipher.update(wrapped.subarray(NONCE_BYTES, WRAPPED_BYTES - TAG_BYTES));
  try {
    decipher.final();
    return Uint8Array.from(opened);
  } catch (cause) {
    const message = "the wrapped key does not open: it was changed, or is of another model";
    throw new SealingError("sealing/key", message, { cause });
  } finally {
    opened.fill(0);
  }
}
