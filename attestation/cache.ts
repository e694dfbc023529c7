/**
 * What was verified before, so that the same signatures are not verified again.
 *
 * It holds facts about bytes only: this certificate has a signature of that key, this document is
 * signed under this chain. Roots and times are judged anew at every use, so that nothing in it grows
 * stale; entries are compared byte for byte, so that no other input can have their benefit. Only
 * what led to a pinned root gets in, so that strangers cannot fill it.
 */
import { encodeHex, equalBytes } from "./bytes.ts";
import type { Certificate } from "./certificate.ts";
import type { VerificationKey } from "./ecdsa.ts";
import { parseMeasurement } from "./measurement.ts";
import type { SignedDocument, VerifiedEvidence } from "./nitro.ts";

/** PROTOCOL.md, "Limits". */
const MAX_CERTIFICATES = 1024;
const MAX_DOCUMENTS = 128;

interface KnownCertificate {
  /** The point whose signature the certificate has. */
  readonly issuer: Uint8Array;
  readonly signed: Uint8Array;
  /** The certificate's own key. */
  readonly key: VerificationKey;
}

/**
 * A memory of verifications, for a Relying Party that judges many documents: at most 1024
 * certificates and 128 documents, the least recently used forgotten first. Give it to
 * `verifyEvidence` and to the appraisal's context. One may serve several policies.
 */
export class EvidenceCache {
  /** By signature, in hex. */
  readonly #certificates = new Map<string, KnownCertificate>();
  readonly #documents = new Map<string, VerifiedEvidence>();

  /** The key of `certificate`, if its signature by `issuer` was verified. */
  certificateKey(certificate: Certificate, issuer: Certificate): VerificationKey | null {
    const known = recall(this.#certificates, certificate.signature);
    if (known === null || !equalBytes(known.signed, certificate.signed)) return null;
    return equalBytes(known.issuer, issuer.publicKey) ? known.key : null;
  }

  /** Remembers that `certificate` has a signature by `issuer`. */
  addCertificate(certificate: Certificate, issuer: Certificate, key: VerificationKey): void {
    const { signature, signed } = certificate;
    // Copies: views would keep whole documents alive.
    const known = { issuer: new Uint8Array(issuer.publicKey), signed: new Uint8Array(signed), key };
    remember(this.#certificates, signature, known, MAX_CERTIFICATES);
  }

  /** A copy of what was verified of this document, whenever that was. */
  document({ payload, signature }: SignedDocument): VerifiedEvidence | null {
    const known = recall(this.#documents, signature);
    return known !== null && equalBytes(known.payload, payload) ? copyOf(known) : null;
  }

  addDocument(verified: VerifiedEvidence): void {
    remember(this.#documents, verified.signature, copyOf(verified), MAX_DOCUMENTS);
  }
}

function recall<T>(known: Map<string, T>, signature: Uint8Array): T | null {
  const name = encodeHex(signature);
  const entry = known.get(name);
  if (entry === undefined) return null;
  // A Map iterates in the order of insertion: the first is the least recently used.
  known.delete(name);
  known.set(name, entry);
  return entry;
}

function remember<T>(known: Map<string, T>, signature: Uint8Array, entry: T, most: number): void {
  known.set(encodeHex(signature), entry);
  for (const name of known.keys()) {
    if (known.size <= most) return;
    known.delete(name);
  }
}

/** What callers change in theirs must not change ours. */
function copyOf(verified: VerifiedEvidence): VerifiedEvidence {
  const { pcrs, cabundle, publicKey, userData, nonce } = verified;
  return {
    ...verified,
    payload: new Uint8Array(verified.payload),
    signature: new Uint8Array(verified.signature),
    pcrs: new Map(Array.from(pcrs, ([index, value]) => [index, parseMeasurement(value)])),
    certificate: new Uint8Array(verified.certificate),
    cabundle: cabundle.map((der) => new Uint8Array(der)),
    publicKey: publicKey === null ? null : new Uint8Array(publicKey),
    userData: userData === null ? null : new Uint8Array(userData),
    nonce: nonce === null ? null : new Uint8Array(nonce),
    rootDigest: new Uint8Array(verified.rootDigest),
  };
}
