/**
 * Writes `CiphertextForRecipient`: CMS EnvelopedData (RFC 5652 §6) in the very form of AWS KMS.
 *
 * BER with indefinite lengths, one recipient named by its subject key identifier, RSAES-OAEP with
 * SHA-256 for both of its functions (RFC 4055 §4.1), AES-256-CBC, the content in a constructed
 * string. Taken from real answers; the identifier is the SHA-256 of the SubjectPublicKeyInfo.
 */
import {
  constants,
  createCipheriv,
  createHash,
  type KeyObject,
  publicEncrypt,
  randomBytes,
} from "node:crypto";

import { concatBytes } from "@countersign/attestation";

const KEY_BYTES = 32;
const BLOCK_BYTES = 16;

const TAG = {
  integer: 0x02,
  octets: 0x04,
  null: 0x05,
  oid: 0x06,
  sequence: 0x30,
  set: 0x31,
  /** [0] IMPLICIT, primitive: a subject key identifier. */
  identifier: 0x80,
  context0: 0xa0,
  context1: 0xa1,
} as const;

/** RFC 5652 §§4, 6.1; RFC 8017 appendix C; NIST CSOR. Contents, not whole elements. */
const OID = {
  data: [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01],
  envelopedData: [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03],
  rsaesOaep: [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07],
  mgf1: [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08],
  sha256: [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01],
  aes256Cbc: [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a],
} as const;

/** RFC 5652 §6.1: version 2, because a recipient is named by its key identifier. */
const VERSION = 2;

/** `plaintext` for the holder of `publicKey` alone (RSA). */
export function encodeRecipientEnvelope(plaintext: Uint8Array, publicKey: KeyObject): Uint8Array {
  const key = randomBytes(KEY_BYTES);
  const iv = randomBytes(BLOCK_BYTES);
  const cipher = createCipheriv("aes-256-cbc", key, iv);
  const content = concatBytes(cipher.update(plaintext), cipher.final());
  const encryptedKey = publicEncrypt(
    { key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
    key,
  );
  key.fill(0);
  const envelopedData = open(
    TAG.sequence,
    element(TAG.integer, Uint8Array.of(VERSION)),
    element(TAG.set, recipient(keyIdentifier(publicKey), encryptedKey)),
    open(
      TAG.sequence,
      oid(OID.data),
      element(TAG.sequence, oid(OID.aes256Cbc), element(TAG.octets, iv)),
      open(TAG.context0, element(TAG.octets, content)),
    ),
  );
  return open(TAG.sequence, oid(OID.envelopedData), open(TAG.context0, envelopedData));
}

function keyIdentifier(publicKey: KeyObject): Uint8Array {
  const spki = publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(spki).digest();
}

/** RFC 5652 §6.2.1. */
function recipient(identifier: Uint8Array, encryptedKey: Uint8Array): Uint8Array {
  const sha256 = element(TAG.sequence, oid(OID.sha256), element(TAG.null));
  const parameters = element(
    TAG.sequence,
    element(TAG.context0, sha256),
    element(TAG.context1, element(TAG.sequence, oid(OID.mgf1), sha256)),
  );
  return element(
    TAG.sequence,
    element(TAG.integer, Uint8Array.of(VERSION)),
    element(TAG.identifier, identifier),
    element(TAG.sequence, oid(OID.rsaesOaep), parameters),
    element(TAG.octets, encryptedKey),
  );
}

function oid(content: readonly number[]): Uint8Array {
  return element(TAG.oid, Uint8Array.from(content));
}

/** Definite length (X.690 §8.1.3.3). */
function element(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...parts);
  const { length } = content;
  const octets = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  const head = length < 0x80 ? [length] : octets;
  return concatBytes(Uint8Array.of(tag, ...head), content);
}

/** Indefinite length (X.690 §8.1.3.6): it ends with two zero octets. */
function open(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return concatBytes(Uint8Array.of(tag, 0x80), ...parts, Uint8Array.of(0, 0));
}
