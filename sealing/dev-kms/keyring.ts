/**
 * The keys, and the ciphertexts that they make.
 *
 * A ciphertext is `01 ‖ key id (16) ‖ nonce (12) ‖ AES-256-GCM ciphertext ‖ tag (16)`. Its associated
 * data are what stands before the nonce, and the encryption context in one agreed form.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

import { compareBytes, concatBytes, encodeHex, encodeUtf8 } from "@countersign/attestation";

import { invalid, KmsFailure } from "./failure.ts";
import { arnOf } from "./names.ts";

export const KEY_BYTES = 32;
/** AWS KMS API Reference, `Encrypt`. */
export const MAX_PLAINTEXT_BYTES = 4096;
/** `Decrypt`. */
export const MAX_CIPHERTEXT_BYTES = 6144;
/** AWS KMS Developer Guide, "Encryption context": what all of it may take. */
const MAX_CONTEXT_BYTES = 8192;

const FORMAT = 1;
const ID_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + ID_BYTES;
const OVERHEAD_BYTES = HEAD_BYTES + NONCE_BYTES + TAG_BYTES;

const CIPHER = "aes-256-gcm";

export type EncryptionContext = ReadonlyMap<string, string>;

export interface KmsKey {
  /** A UUID. */
  readonly id: string;
  /** `alias/NAME`. */
  readonly alias: string;
  readonly createdMs: number;
  /** 32 bytes. Nobody but this module uses them. */
  readonly material: Uint8Array;
}

export function keyArn(key: KmsKey): string {
  return arnOf(`key/${key.id}`);
}

/** The key that `reference` names: an id, an alias, or the ARN of one. @throws KmsFailure */
export function findKey(keys: readonly KmsKey[], reference: string): KmsKey {
  const prefix = arnOf("");
  const name = reference.startsWith(prefix) ? reference.slice(prefix.length) : reference;
  const isArn = name !== reference;
  const found = keys.find(
    (key) => name === key.alias || name === (isArn ? `key/${key.id}` : key.id),
  );
  if (found !== undefined) return found;
  throw new KmsFailure("NotFoundException", `Key '${reference.slice(0, 256)}' does not exist`);
}

/** The key that made `ciphertext`, by what it says; {@link decrypt} judges whether that is true. */
export function keyOfCiphertext(keys: readonly KmsKey[], ciphertext: Uint8Array): KmsKey {
  if (ciphertext.length < OVERHEAD_BYTES || ciphertext[0] !== FORMAT) throw invalidCiphertext();
  const id = encodeHex(ciphertext.subarray(1, HEAD_BYTES));
  const found = keys.find((key) => key.id.replaceAll("-", "") === id);
  if (found === undefined) throw invalidCiphertext();
  return found;
}

export function encrypt(
  key: KmsKey,
  plaintext: Uint8Array,
  context: EncryptionContext,
): Uint8Array {
  const head = concatBytes(Uint8Array.of(FORMAT), Buffer.from(key.id.replaceAll("-", ""), "hex"));
  // Random nonces are safe for 2^32 ciphertexts of a key (NIST SP 800-38D §8.3).
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key.material, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData(head, context));
  const parts = [cipher.update(plaintext), cipher.final()];
  return concatBytes(head, nonce, ...parts, cipher.getAuthTag());
}

/** The caller overwrites the result. @throws KmsFailure `InvalidCiphertextException` */
export function decrypt(
  key: KmsKey,
  ciphertext: Uint8Array,
  context: EncryptionContext,
): Uint8Array {
  if (ciphertext.length < OVERHEAD_BYTES) throw invalidCiphertext();
  const nonce = ciphertext.subarray(HEAD_BYTES, HEAD_BYTES + NONCE_BYTES);
  const tag = ciphertext.subarray(-TAG_BYTES);
  const decipher = createDecipheriv(CIPHER, key.material, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(associatedData(ciphertext.subarray(0, HEAD_BYTES), context));
  decipher.setAuthTag(tag);
  const plaintext = decipher.update(ciphertext.subarray(HEAD_BYTES + NONCE_BYTES, -TAG_BYTES));
  try {
    decipher.final();
  } catch {
    plaintext.fill(0);
    throw invalidCiphertext();
  }
  return plaintext;
}

/**
 * Each string behind its length, the pairs sorted by the bytes of their keys: one text for one
 * context, whatever order the client sent it in.
 *
 * @throws KmsFailure `ValidationException` where it is too long.
 */
function associatedData(head: Uint8Array, context: EncryptionContext): Uint8Array {
  const pairs = [...context].map(([name, value]) => [encodeUtf8(name), encodeUtf8(value)] as const);
  pairs.sort(([a], [b]) => compareBytes(a, b));
  const size = pairs.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (size > MAX_CONTEXT_BYTES) {
    throw invalid(`the encryption context has ${size} bytes, at most ${MAX_CONTEXT_BYTES}`);
  }
  return concatBytes(head, ...pairs.flat().flatMap((text) => [lengthOf(text), text]));
}

function lengthOf(text: Uint8Array): Uint8Array {
  return Uint8Array.of(text.length >> 8, text.length & 0xff);
}

function invalidCiphertext(): KmsFailure {
  // Which of key, context and bytes is wrong stays unsaid, as on AWS.
  return new KmsFailure("InvalidCiphertextException", "The ciphertext is invalid");
}
