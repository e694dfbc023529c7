/** The RSA key that a KMS encrypts to, in place of answering in clear: made at boot, never stored. */
import { createHash, generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";

/** As AWS's own SDK for enclaves asks. The key guards others for as long as a boot takes. */
const MODULUS_BITS = 2048;

export interface RecipientKey {
  readonly privateKey: KeyObject;
  /** SubjectPublicKeyInfo, DER: what an attestation document carries as its public key. */
  readonly spki: Uint8Array;
  /** SHA-256 of `spki`: how AWS KMS names this key in what it encrypts to it (measured: a real answer). */
  readonly identifier: Uint8Array;
}

const generate = promisify(generateKeyPair);

/** A fresh key. */
export async function makeRecipientKey(): Promise<RecipientKey> {
  const { privateKey, publicKey } = await generate("rsa", { modulusLength: MODULUS_BITS });
  return recipientKey(
    privateKey,
    new Uint8Array(publicKey.export({ format: "der", type: "spki" })),
  );
}

/** @param spki - of the public half. */
export function recipientKey(privateKey: KeyObject, spki: Uint8Array): RecipientKey {
  const identifier = new Uint8Array(createHash("sha256").update(spki).digest());
  return { privateKey, spki, identifier };
}
