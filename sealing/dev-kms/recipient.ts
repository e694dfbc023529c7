/**
 * Whether an answer is encrypted to an enclave: the attestation document of a request's `Recipient`.
 *
 * AWS KMS Developer Guide, "Cryptographic attestation support". What the code in the enclave is, is
 * the key policy's to judge; here the document has to be genuine, fresh, and name a key.
 */
import { createPublicKey, type KeyObject } from "node:crypto";

import { AttestationError, encodeHex, verifyEvidence } from "@countersign/attestation";

import { invalid } from "./failure.ts";

/** An attested key, and the registers of the enclave that holds it. */
export interface Recipient {
  readonly publicKey: KeyObject;
  /** By index, lower-case hexadecimal. */
  readonly pcrs: ReadonlyMap<number, string>;
}

const MAX_AGE_MS = 5 * 60_000;
/** Clocks differ: a document may be this much ahead of ours. */
const MAX_AHEAD_MS = 60_000;
const MIN_MODULUS_BITS = 2048;
const MAX_MODULUS_BITS = 4096;
const MIN_EXPONENT = 65_537n;

/**
 * @param roots - SHA-256 of the DER of each root that may vouch for an enclave.
 * @throws KmsFailure `ValidationException`
 */
export async function verifyRecipient(
  document: Uint8Array,
  roots: readonly Uint8Array[],
  nowMs: number,
): Promise<Recipient> {
  const evidence = await verifyEvidence(document, { roots }, nowMs).catch((error: unknown) => {
    if (!(error instanceof AttestationError)) throw error;
    throw invalid(`The attestation document is not acceptable: ${error.message}`);
  });
  const ageMs = nowMs - evidence.timestampMs;
  if (ageMs > MAX_AGE_MS) throw invalid("The attestation document is more than 5 minutes old");
  if (ageMs < -MAX_AHEAD_MS) throw invalid("The attestation document is from the future");
  const pcrs = [...evidence.pcrs].map(([index, register]) => [index, encodeHex(register)] as const);
  return { publicKey: requireRsaKey(evidence.publicKey), pcrs: new Map(pcrs) };
}

function requireRsaKey(spki: Uint8Array | null): KeyObject {
  if (spki === null) throw invalid("The attestation document has no public key");
  const key = parseKey(spki);
  // OpenSSL passes over what follows the key; we do not.
  if (key?.export({ format: "der", type: "spki" }).equals(spki) === false) {
    throw invalid("The attestation document's public key is not in DER");
  }
  const bits = key?.asymmetricKeyDetails?.modulusLength ?? 0;
  const exponent = key?.asymmetricKeyDetails?.publicExponent ?? 0n;
  const fits = bits >= MIN_MODULUS_BITS && bits <= MAX_MODULUS_BITS && exponent >= MIN_EXPONENT;
  if (key?.asymmetricKeyType !== "rsa" || !fits) {
    throw invalid("The attestation document's public key is no RSA key of 2048 to 4096 bits");
  }
  return key;
}

function parseKey(spki: Uint8Array): KeyObject | null {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch {
    return null;
  }
}
