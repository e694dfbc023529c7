/**
 * What AWS KMS answers in place of a key in clear: CMS EnvelopedData (RFC 5652 §6) for one recipient,
 * RSAES-OAEP with SHA-256 around an AES-256-CBC key, in BER.
 *
 * Nothing in it is authenticated: whoever knows the public key can make one, and a bit that is changed in
 * the initialization vector changes the same bit of the key. What vouches for the key is TLS, which
 * ends in this enclave, and then the model: no segment opens under another key (PROTOCOL.md, "Sealed
 * models"). One envelope that does not open ends the boot, and the RSA key with it, so that there is
 * nobody to try a second one on (RFC 5652 §14).
 */
import { DATA_KEY_BYTES } from "@countersign/protocol";
import asn1, { type Asn1 } from "node-forge/lib/asn1.js";
import { constants, createDecipheriv, type KeyObject, privateDecrypt } from "node:crypto";
import { EnclaveError } from "../errors.ts";
import type { RecipientKey } from "./recipient.ts";

/** AWS KMS answers with 0.5 kB for a key of 2048 bits. AWS KMS API, CiphertextForRecipient: ≤ 6144. */
const MAX_ENVELOPE_BYTES = 6_144;
/** ContentInfo down to the hash of the mask generation function: eleven levels. */
const MAX_DEPTH = 11;
const IV_BYTES = 16;
/** A data key and a block of padding (RFC 5652 §6.3). */
const ENCRYPTED_BYTES = DATA_KEY_BYTES + 16;

/** Identifier octets (X.690 §8.1.2). */
const INTEGER = 0x02;
const OCTET_STRING = 0x04;
const NULL = 0x05;
const OBJECT_IDENTIFIER = 0x06;
const SEQUENCE = 0x30;
const SET = 0x31;
/** Context-specific, primitive. */
const TAG_0 = 0x80;
const CONSTRUCTED = 0x20;

/** Contents octets of object identifiers. RFC 5652 §4 and §6.1; RFC 8017 §A.2; RFC 3565 §4.1. */
const ID_DATA = oid("2a864886f70d010701");
const ID_ENVELOPED_DATA = oid("2a864886f70d010703");
const ID_RSAES_OAEP = oid("2a864886f70d010107");
const ID_MGF1 = oid("2a864886f70d010108");
const ID_P_SPECIFIED = oid("2a864886f70d010109");
const ID_SHA256 = oid("608648016503040201");
const ID_AES256_CBC = oid("60864801650304012a");

/** What an envelope holds, as it came. */
export interface RecipientEnvelope {
  readonly encryptedKey: Uint8Array;
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
}

/**
 * The data key in `ber`; the caller overwrites it.
 *
 * @throws EnclaveError `key/envelope`, the same whatever is wrong: who made `ber` learns no more.
 */
export function openRecipientEnvelope(ber: Uint8Array, recipient: RecipientKey): Uint8Array {
  return uniform(() => decrypted(envelopeOf(ber, recipient.identifier), recipient.privateKey));
}

/**
 * What is in `ber`, for a recipient whose key has this identifier.
 *
 * @throws EnclaveError `key/envelope`.
 */
export function parseRecipientEnvelope(ber: Uint8Array, identifier: Uint8Array): RecipientEnvelope {
  return uniform(() => envelopeOf(ber, identifier));
}

function uniform<T>(run: () => T): T {
  try {
    return run();
  } catch {
    // Without a cause: forge, OpenSSL and our own words each tell how far it got.
    throw new EnclaveError("key/envelope", "the key service's envelope does not open");
  }
}

/** Throws whatever comes to hand: see {@link uniform}. */
function envelopeOf(ber: Uint8Array, identifier: Uint8Array): RecipientEnvelope {
  if (ber.length > MAX_ENVELOPE_BYTES) throw refusal("too long");
  // 1. RFC 5652 §3: ContentInfo, of enveloped data.
  const [contentType, content] = elements(readBer(ber), SEQUENCE, 2);
  requireOid(contentType, ID_ENVELOPED_DATA);
  // 2. §6.1: EnvelopedData without what KMS does not send, originator and unprotected attributes.
  const [enveloped] = elements(content, TAG_0 | CONSTRUCTED, 1);
  const [version, recipients, encryptedContent] = elements(enveloped, SEQUENCE, 3);
  // 3. §6.2.1: one recipient, to whom a key is transported.
  const [transport] = elements(recipients, SET, 1);
  const [transportVersion, rid, algorithm, encryptedKey] = elements(transport, SEQUENCE, 4);
  // 4. Versions follow from how the recipient is named: 2 by its key's identifier, 0 by a certificate.
  const wanted = requireRecipient(rid, identifier);
  if (small(version) !== wanted || small(transportVersion) !== wanted) throw refusal("version");
  // 5. RFC 4055 §4.1: OAEP, both hashes SHA-256.
  requireOaep(algorithm);
  // 6. RFC 5652 §6.1: data, under AES-256 in CBC mode (RFC 3565 §2.1).
  const [type, cipher, ciphertext] = elements(encryptedContent, SEQUENCE, 3);
  requireOid(type, ID_DATA);
  const [cipherId, iv] = elements(cipher, SEQUENCE, 2);
  requireOid(cipherId, ID_AES256_CBC);
  return {
    encryptedKey: octets(encryptedKey, OCTET_STRING),
    iv: exactly(octets(iv, OCTET_STRING), IV_BYTES),
    ciphertext: exactly(octets(ciphertext, TAG_0), ENCRYPTED_BYTES),
  };
}

/** Every intermediate value is overwritten, whichever step fails. */
function decrypted(envelope: RecipientEnvelope, privateKey: KeyObject): Uint8Array {
  const { iv, ciphertext } = envelope;
  // RFC 8017 §7.1.2 step 1: as long as the modulus. OpenSSL takes a number without its leading zeros, too.
  const encryptedKey = exactly(envelope.encryptedKey, modulusBytes(privateKey));
  const secrets: Buffer[] = [];
  const held = (secret: Buffer): Buffer => {
    secrets.push(secret);
    return secret;
  };
  try {
    // `oaepHash` is the hash of the mask generation function too; the label is empty.
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    const key = held(
      privateDecrypt({ key: privateKey, padding, oaepHash: "sha256" }, encryptedKey),
    );
    // Throws where the key has not 32 bytes.
    const decipher = createDecipheriv("aes-256-cbc", key, iv);
    const dataKey = held(decipher.update(ciphertext));
    const rest = held(decipher.final());
    if (rest.length !== 0) throw refusal("length");
    return Uint8Array.from(exactly(dataKey, DATA_KEY_BYTES));
  } finally {
    for (const secret of secrets) secret.fill(0);
  }
}

function modulusBytes({ asymmetricKeyDetails: details }: KeyObject): number {
  return Math.ceil((details?.modulusLength ?? 0) / 8);
}

/** One element and nothing after it. Lengths have four bytes at most, and need not be the shortest. */
function readBer(ber: Uint8Array): Asn1 {
  return asn1.fromDer(Buffer.from(ber).toString("latin1"), {
    strict: true,
    parseAllBytes: true,
    decodeBitStrings: false,
    maxDepth: MAX_DEPTH,
  });
}

/**
 * How the envelope names its recipient, as the version that goes with it: RFC 5652 §6.2.1.
 *
 * A key identifier must be this key's. A certificate there is none of, so that its issuer and serial
 * number can be anything: a hint which key to try, of which there is one.
 */
function requireRecipient(rid: Asn1 | undefined, identifier: Uint8Array): 0 | 2 {
  if (rid?.tagClass === TAG_0) {
    if (!Buffer.from(identifier).equals(octets(rid, TAG_0))) throw refusal("recipient");
    return 2;
  }
  const [issuer, serialNumber] = elements(rid, SEQUENCE, 2);
  elements(issuer, SEQUENCE, null);
  if (contents(serialNumber, INTEGER) === "") throw refusal("serial number");
  return 0;
}

/** RFC 4055 §4.1. What is left out has a default, SHA-1: both hashes must be there. */
function requireOaep(algorithm: Asn1 | undefined): void {
  const [algorithmId, parameters] = elements(algorithm, SEQUENCE, 2);
  requireOid(algorithmId, ID_RSAES_OAEP);
  const [hash, mask, source, ...more] = elements(parameters, SEQUENCE, null);
  requireSha256(elements(hash, TAG_0 | CONSTRUCTED, 1)[0]);
  const [maskId, maskHash] = elements(elements(mask, 0xa1, 1)[0], SEQUENCE, 2);
  requireOid(maskId, ID_MGF1);
  requireSha256(maskHash);
  if (source === undefined) return;
  // The default, spelled out: an empty label.
  const [sourceId, label] = elements(elements(source, 0xa2, 1)[0], SEQUENCE, 2);
  requireOid(sourceId, ID_P_SPECIFIED);
  if (octets(label, OCTET_STRING).length > 0 || more.length > 0) throw refusal("label");
}

/** Parameters NULL or absent: RFC 4055 §2.1 has both accepted. */
function requireSha256(algorithm: Asn1 | undefined): void {
  const [id, parameters, ...more] = elements(algorithm, SEQUENCE, null);
  requireOid(id, ID_SHA256);
  if (parameters !== undefined && contents(parameters, NULL) !== "") throw refusal("hash");
  if (more.length > 0) throw refusal("hash");
}

function requireOid(element: Asn1 | undefined, wanted: string): void {
  if (contents(element, OBJECT_IDENTIFIER) !== wanted) throw refusal("object identifier");
}

/** The elements of a constructed one, `count` of them where that is known. */
function elements(
  element: Asn1 | undefined,
  identifier: number,
  count: number | null,
): readonly Asn1[] {
  if (element === undefined || identifierOf(element) !== identifier) throw refusal("element");
  const { value } = element;
  if (typeof value === "string" || (count !== null && value.length !== count)) {
    throw refusal("number of elements");
  }
  return value;
}

/** Of a primitive one. */
function contents(element: Asn1 | undefined, identifier: number): string {
  if (element === undefined || identifierOf(element) !== identifier) throw refusal("element");
  if (typeof element.value !== "string") throw refusal("element");
  return element.value;
}

/** Of a string in one piece, or in the pieces of one that was written as it came (X.690 §8.7.3). */
function octets(element: Asn1 | undefined, identifier: number): Uint8Array {
  const whole =
    element?.constructed === true
      ? elements(element, identifier | CONSTRUCTED, null)
          .map((piece) => contents(piece, OCTET_STRING))
          .join("")
      : contents(element, identifier);
  return Buffer.from(whole, "latin1");
}

function small(element: Asn1 | undefined): number {
  const value = contents(element, INTEGER);
  if (value.length !== 1) throw refusal("integer");
  return value.charCodeAt(0);
}

function identifierOf({ tagClass, type, constructed }: Asn1): number {
  return tagClass | (constructed ? CONSTRUCTED : 0) | type;
}

function exactly<T extends Uint8Array>(bytes: T, length: number): T {
  if (bytes.length !== length) throw refusal("length");
  return bytes;
}

function oid(hex: string): string {
  return Buffer.from(hex, "hex").toString("latin1");
}

/** Heard by nobody but a debugger. */
function refusal(what: string): TypeError {
  return new TypeError(what);
}
