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
import type { RootCertificate } from "./roots.ts";

/** PROTOCOL.md, "Limits". */
const MAX_CERTIFICATES = 1024;
const MAX_DOCUMENTS = 128;
/** The end of a certificate is its signature, of a document too: enough to tell entries apart. */
const NAME_BYTES = 16;

interface KnownCertificate {
  readonly der: Uint8Array;
  readonly certificate: Certificate;
  /** The point whose signature it has. */
  readonly issuer: Uint8Array;
  /** Its own key. */
  readonly key: VerificationKey;
}

/** What {@link EvidenceCache} holds; for verification alone. */
export class Memory {
  readonly #certificates = new Map<string, KnownCertificate>();
  readonly #roots = new Map<string, RootCertificate>();
  readonly #documents = new Map<string, VerifiedEvidence>();

  /** What the certificate of these bytes says, if it was verified. */
  certificate(der: Uint8Array): Certificate | null {
    return this.#known(der)?.certificate ?? null;
  }

  /** The key of a certificate, if its signature by `issuer` was verified. */
  certificateKey(der: Uint8Array, issuer: Certificate): VerificationKey | null {
    const known = this.#known(der);
    return known !== null && equalBytes(known.issuer, issuer.publicKey) ? known.key : null;
  }

  /** Remembers that the certificate of these bytes has a signature by `issuer`. */
  addCertificate(
    der: Uint8Array,
    certificate: Certificate,
    issuer: Certificate,
    key: VerificationKey,
  ): void {
    // A copy: a view would keep a whole document alive.
    const known = { der, certificate, issuer: new Uint8Array(issuer.publicKey), key };
    remember(this.#certificates, der, known, MAX_CERTIFICATES);
  }

  /** SHA-256 of a root's DER, if it was pinned before. */
  rootDigest(der: Uint8Array): Uint8Array | null {
    const known = recall(this.#roots, der);
    return known !== null && equalBytes(known.der, der) ? new Uint8Array(known.sha256) : null;
  }

  addRoot({ der, sha256 }: RootCertificate): void {
    remember(this.#roots, der, { der, sha256: new Uint8Array(sha256) }, MAX_CERTIFICATES);
  }

  /** A copy of what was verified of this document, whenever that was. */
  document({ payload, signature }: SignedDocument): VerifiedEvidence | null {
    const known = recall(this.#documents, signature);
    if (known === null || !equalBytes(known.signature, signature)) return null;
    // What was asked about is equal, and is the caller's own already.
    return equalBytes(known.payload, payload) ? { ...copyOf(known), payload, signature } : null;
  }

  addDocument(verified: VerifiedEvidence): void {
    const payload = new Uint8Array(verified.payload);
    const signature = new Uint8Array(verified.signature);
    const known = { ...copyOf(verified), payload, signature };
    remember(this.#documents, signature, known, MAX_DOCUMENTS);
  }

  #known(der: Uint8Array): KnownCertificate | null {
    const known = recall(this.#certificates, der);
    return known !== null && equalBytes(known.der, der) ? known : null;
  }
}

/** The memory in a cache. */
export function memoryOf(cache: EvidenceCache): Memory {
  return read(cache);
}

let read: (cache: EvidenceCache) => Memory;

/**
 * A memory of verifications, for a Relying Party that judges many documents: at most 1024
 * certificates and 128 documents, the least recently used forgotten first. Give it to
 * `verifyEvidence` and to the appraisal's context. One may serve several policies.
 */
export class EvidenceCache {
  readonly #memory = new Memory();

  static {
    read = (cache) => cache.#memory;
  }
}

function recall<T>(known: Map<string, T>, bytes: Uint8Array): T | null {
  const name = nameOf(bytes);
  const entry = known.get(name);
  if (entry === undefined) return null;
  // A Map iterates in the order of insertion: the first is the least recently used.
  known.delete(name);
  known.set(name, entry);
  return entry;
}

function remember<T>(known: Map<string, T>, bytes: Uint8Array, entry: T, most: number): void {
  known.set(nameOf(bytes), entry);
  for (const name of known.keys()) {
    if (known.size <= most) return;
    known.delete(name);
  }
}

function nameOf(bytes: Uint8Array): string {
  return encodeHex(bytes.subarray(-NAME_BYTES));
}

/** Of all but payload and signature: what callers change in theirs must not change ours. */
function copyOf(verified: VerifiedEvidence): VerifiedEvidence {
  const { pcrs, cabundle, publicKey, userData, nonce } = verified;
  return {
    ...verified,
    pcrs: new Map(Array.from(pcrs, ([index, value]) => [index, parseMeasurement(value)])),
    certificate: new Uint8Array(verified.certificate),
    cabundle: cabundle.map((der) => new Uint8Array(der)),
    publicKey: publicKey === null ? null : new Uint8Array(publicKey),
    userData: userData === null ? null : new Uint8Array(userData),
    nonce: nonce === null ? null : new Uint8Array(nonce),
    rootDigest: new Uint8Array(verified.rootDigest),
    leafValidity: { ...verified.leafValidity },
    chainValidity: { ...verified.chainValidity },
  };
}
