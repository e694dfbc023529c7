/** CMS EnvelopedData as a KMS makes it for a recipient's key, and with one thing or another wrong. */
import {
  constants,
  createCipheriv,
  createPublicKey,
  type KeyObject,
  publicEncrypt,
  randomBytes,
} from "node:crypto";
import { type RecipientKey, recipientKey } from "../../enclave/keys/recipient.ts";
import { hex, tlv } from "./nitro.ts";

/** All that the envelope is put together from: elements as bytes. */
export interface EnvelopeParts {
  readonly contentType: Uint8Array;
  readonly version: Uint8Array;
  /** Null: none, as in what a KMS sends. */
  readonly originator: Uint8Array | null;
  /** RecipientInfo, without its head; more than one where a test wants that. */
  readonly recipients: readonly (readonly Uint8Array[])[];
  readonly type: Uint8Array;
  readonly cipher: Uint8Array;
  readonly content: Uint8Array;
  readonly unprotected: Uint8Array | null;
}

export const OIDS = {
  data: hex("2a864886f70d010701"),
  envelopedData: hex("2a864886f70d010703"),
  rsaEncryption: hex("2a864886f70d010101"),
  rsaesOaep: hex("2a864886f70d010107"),
  mgf1: hex("2a864886f70d010108"),
  pSpecified: hex("2a864886f70d010109"),
  sha1: hex("2b0e03021a"),
  sha256: hex("608648016503040201"),
  sha384: hex("608648016503040202"),
  aes128Cbc: hex("608648016503040102"),
  aes256Cbc: hex("60864801650304012a"),
  aes256Gcm: hex("60864801650304012e"),
};

const NULL = hex("0500");

export const sequence = (...parts: readonly Uint8Array[]): Uint8Array => tlv(0x30, ...parts);
export const octetString = (bytes: Uint8Array): Uint8Array => tlv(0x04, bytes);
export const integer = (value: number): Uint8Array => tlv(0x02, Uint8Array.of(value));
export const oid = (value: Uint8Array): Uint8Array => tlv(0x06, value);
export const sha256 = (parameters: Uint8Array = NULL): Uint8Array =>
  sequence(oid(OIDS.sha256), parameters);

/** Without a count of what is inside (X.690 §8.1.3.6): the tag, and an end. */
export function indefinite(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat([Uint8Array.of(tag, 0x80), ...parts, hex("0000")]));
}

/** An AlgorithmIdentifier with both hashes, and whatever is to come after them. */
export function oaep(
  hash: Uint8Array = sha256(),
  mask: Uint8Array = sequence(oid(OIDS.mgf1), sha256()),
  ...more: readonly Uint8Array[]
): Uint8Array {
  const parameters = sequence(tlv(0xa0, hash), tlv(0xa1, mask), ...more);
  return sequence(oid(OIDS.rsaesOaep), parameters);
}

/** [2] PSourceAlgorithm. */
export function label(bytes: Uint8Array, source: Uint8Array = OIDS.pSpecified): Uint8Array {
  return tlv(0xa2, sequence(oid(source), octetString(bytes)));
}

export interface Sealed {
  readonly encryptedKey: Uint8Array;
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
}

/** `plaintext` as a KMS encrypts it: a key of its own for AES-256-CBC, and that for the recipient. */
export function sealTo(
  spki: Uint8Array,
  plaintext: Uint8Array,
  how: { readonly keyBytes?: 16 | 32; readonly hash?: "sha1" | "sha256" } = {},
): Sealed {
  const { keyBytes = 32, hash = "sha256" } = how;
  const [key, iv] = [randomBytes(keyBytes), randomBytes(16)];
  const cipher = createCipheriv(`aes-${keyBytes === 32 ? 256 : 128}-cbc`, key, iv);
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const publicKey = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const encryptedKey = publicEncrypt({ key: publicKey, padding, oaepHash: hash }, key);
  return { encryptedKey, iv, ciphertext };
}

/** The parts of an envelope as AWS KMS makes it. */
export function kmsParts(identifier: Uint8Array, sealed: Sealed): EnvelopeParts {
  return {
    contentType: oid(OIDS.envelopedData),
    version: integer(2),
    originator: null,
    recipients: [[integer(2), tlv(0x80, identifier), oaep(), octetString(sealed.encryptedKey)]],
    type: oid(OIDS.data),
    cipher: sequence(oid(OIDS.aes256Cbc), octetString(sealed.iv)),
    content: indefinite(0xa0, octetString(sealed.ciphertext)),
    unprotected: null,
  };
}

/** In the form of the real answers, indefinite where they are; or all of it with lengths. */
export function writeEnvelope(parts: EnvelopeParts, form: "indefinite" | "definite"): Uint8Array {
  const outer = form === "indefinite" ? indefinite : tlv;
  const { contentType, version, originator, recipients, unprotected } = parts;
  const optional = (part: Uint8Array | null): readonly Uint8Array[] =>
    part === null ? [] : [part];
  const enveloped = outer(
    0x30,
    version,
    ...optional(originator),
    tlv(0x31, ...recipients.map((recipient) => sequence(...recipient))),
    outer(0x30, parts.type, parts.cipher, parts.content),
    ...optional(unprotected),
  );
  return outer(0x30, contentType, outer(0xa0, enveloped));
}

/** What AWS KMS would answer for the holder of `spki`. */
export function kmsEnvelope(spki: Uint8Array, identifier: Uint8Array, key: Uint8Array): Uint8Array {
  return writeEnvelope(kmsParts(identifier, sealTo(spki, key)), "indefinite");
}

/** A recipient with a private key that is there already. */
export function recipientOf(privateKey: KeyObject): RecipientKey {
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  return recipientKey(privateKey, new Uint8Array(spki));
}
