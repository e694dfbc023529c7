/** Who made a document: the certificate chain to a pinned root, and the signatures. */
import { includesBytes } from "./bytes.ts";
import { type EvidenceCache, type Memory, memoryOf } from "./cache.ts";
import { type Chain, chainValidity, parseChain } from "./chain.ts";
import { verifyCoseSign1 } from "./cose.ts";
import { importPoint, type VerificationKey, verifyEcdsa } from "./ecdsa.ts";
import { AttestationError } from "./errors.ts";
import {
  type Evidence,
  parseDocument,
  parseEnvelope,
  type SignedDocument,
  type VerifiedEvidence,
} from "./nitro.ts";
import type { Platform } from "./policy.ts";

/** Whom to believe: a policy's entry for a platform is one. */
export interface TrustAnchors {
  /** SHA-256 of the DER of each acceptable root, 32 bytes each. */
  readonly roots: readonly Uint8Array[];
}

/** After the module id, the leaf's common name tells whose enclave it is: AWS names its region. */
const DOMAIN = /^\.[a-z0-9.-]{1,64}$/u;
const AWS_DOMAIN = /^\.[a-z0-9-]{1,32}\.aws$/u;
const RESERVED = ".aws";

/**
 * Verifies who made a document: strict form, chain to a pinned root, every signature.
 *
 * It says nothing of debug mode, code, nonce or age: those are the appraisal's
 * ({@link appraiseDocument}).
 *
 * @param bytes - COSE_Sign1 as the security module gave it, at most 16 384 bytes.
 * @param atMs - when the certificates must be valid, Unix time, milliseconds.
 * @param cache - spares signatures that were verified before; the result is the same with and
 * without.
 * @throws {@link AttestationError} `cbor/…`, `cose/…` and `evidence/…` for the form; `chain/…`,
 * `certificate/…` or `evidence/module-id` where the chain fails (RFC 5280 §6); `cose/signature` where
 * only the document's own signature does (RFC 9052 §4.4).
 */
export async function verifyEvidence(
  bytes: Uint8Array,
  anchors: TrustAnchors,
  atMs: number,
  cache: EvidenceCache | null = null,
): Promise<VerifiedEvidence> {
  const memory = cache === null ? null : memoryOf(cache);
  const signed = parseEnvelope(bytes);
  const known = knownDocument(signed, anchors, atMs, memory);
  return known ?? verifySignatures(parseDocument(signed), anchors, atMs, memory);
}

/** {@link verifyEvidence} of a document that was parsed, of which nobody else holds the bytes. */
export async function verifyDocument(
  evidence: Evidence,
  anchors: TrustAnchors,
  atMs: number,
  cache: EvidenceCache | null,
): Promise<VerifiedEvidence> {
  const memory = cache === null ? null : memoryOf(cache);
  const known = knownDocument(evidence, anchors, atMs, memory);
  return known ?? verifySignatures(evidence, anchors, atMs, memory);
}

/** What was verified of the same bytes before, if its root and its times still hold. */
function knownDocument(
  signed: SignedDocument,
  { roots }: TrustAnchors,
  atMs: number,
  memory: Memory | null,
): VerifiedEvidence | null {
  const known = memory?.document(signed) ?? null;
  if (known === null || !includesBytes(roots, known.rootDigest)) return null;
  const { notBeforeMs, notAfterMs } = known.chainValidity;
  // Where it does not hold, verification says which certificate it is.
  return notBeforeMs <= atMs && atMs <= notAfterMs ? known : null;
}

async function verifySignatures(
  evidence: Evidence,
  { roots }: TrustAnchors,
  atMs: number,
  memory: Memory | null,
): Promise<VerifiedEvidence> {
  // 1. RFC 5280 §6: all of the chain but its signatures.
  const chain = await parseChain([...evidence.cabundle, evidence.certificate], roots, atMs, memory);
  // 2. AWS Nitro Enclaves attestation process §3.2.3: issued to the module that the document names.
  const platform = requirePlatform(chain, evidence.moduleId);
  // 3. RFC 5280 §6.1.3 (a)(1), RFC 9052 §4.4: every signature.
  const keys = await requireSignatures(chain, evidence, memory);
  const { notBeforeMs, notAfterMs } = chain.leaf;
  const facts = {
    ...evidence,
    platform,
    rootDigest: chain.rootDigest,
    leafValidity: { notBeforeMs, notAfterMs },
    chainValidity: chainValidity(chain.certificates),
  };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- this is the maker of VerifiedEvidence
  const verified = facts as VerifiedEvidence;
  if (memory !== null) remember(memory, chain, keys, verified);
  return verified;
}

/** The leaf's common name is the module id and a domain, which says what kind of enclave it is. */
function requirePlatform(chain: Chain, id: string): Platform {
  const name = chain.leaf.commonName;
  if (name?.startsWith(id) === true) {
    const domain = name.slice(id.length);
    if (AWS_DOMAIN.test(domain)) return "aws-nitro";
    if (DOMAIN.test(domain) && !domain.endsWith(RESERVED)) return "simulated";
  }
  throw new AttestationError("evidence/module-id", "leaf certificate names another module");
}

/**
 * Requires that each certificate but the root is signed by the one before it, and the document by
 * the leaf; gives the key of each certificate, null where it was not needed.
 *
 * Each verification runs while the next key is imported; the first failure in the chain's order is
 * the one reported.
 */
async function requireSignatures(
  { certificates, ders }: Chain,
  { payload, signature }: SignedDocument,
  memory: Memory | null,
): Promise<readonly (VerificationKey | null)[]> {
  const links: (boolean | Promise<boolean>)[] = [];
  const keys: (VerificationKey | null)[] = certificates.map(() => null);
  for (const [index, certificate] of certificates.entries()) {
    const next = certificates[index + 1];
    const nextDer = ders[index + 1];
    const known = nextDer === undefined ? null : memory?.certificateKey(nextDer, certificate);
    if (known !== null && known !== undefined) {
      keys[index + 1] = known;
      links.push(true);
      continue;
    }
    const key = keys[index] ?? (await importPoint("P-384", certificate.publicKey));
    keys[index] = key;
    const link =
      next === undefined
        ? verifyCoseSign1({ algorithm: "ES384", payload, signature }, key)
        : verifyEcdsa(key, next.signature, next.signed);
    links.push(link);
  }
  requireAll(await Promise.all(links));
  return keys;
}

/** @param links - of each certificate but the root, then of the document. */
function requireAll(links: readonly boolean[]): void {
  const failed = links.indexOf(false);
  if (failed === -1) return;
  if (failed === links.length - 1) {
    throw new AttestationError("cose/signature", "document is not signed by its leaf certificate");
  }
  const which = `certificate ${failed + 1} of the chain`;
  throw new AttestationError("chain/signature", `${which} is not signed by the one before it`);
}

/** Called with what was verified, and nothing else. */
function remember(
  memory: Memory,
  { certificates, ders, rootDigest }: Chain,
  keys: readonly (VerificationKey | null)[],
  verified: VerifiedEvidence,
): void {
  for (const [index, certificate] of certificates.entries()) {
    const [der, key, issuer] = [ders[index], keys[index] ?? null, certificates[index - 1]];
    if (der === undefined) continue;
    if (issuer === undefined) memory.addRoot({ der, sha256: rootDigest });
    else if (key !== null) memory.addCertificate(der, certificate, issuer, key);
  }
  memory.addDocument(verified);
}
