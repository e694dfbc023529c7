/**
 * Certification path validation (RFC 5280 §6) for the bundle a Nitro document carries: root first,
 * in order, complete. Nothing is fetched, built or searched; revocation lists are not consulted.
 */
import { encodeHex, equalBytes, includesBytes } from "./bytes.ts";
import type { Memory } from "./cache.ts";
import { type Certificate, KEY_USAGE, parseCertificate, type Validity } from "./certificate.ts";
import { AttestationError } from "./errors.ts";
import { webHashes } from "./hashes.ts";
import { formatTime } from "./time.ts";

/** Certificates in a chain, root and leaf included. AWS emits five. PROTOCOL.md, "Limits". */
export const MAX_CHAIN_CERTIFICATES = 8;

/** A chain in which everything but the signatures holds. */
export interface Chain {
  /** Root first, leaf last; at least two. */
  readonly certificates: readonly Certificate[];
  /** The DER of each: copies of what was given. */
  readonly ders: readonly Uint8Array[];
  readonly leaf: Certificate;
  /** SHA-256 of the root's DER. */
  readonly rootDigest: Uint8Array;
}

/**
 * Parses a chain and checks all but its signatures: pinned root, names, times, constraints.
 *
 * @param ders - certificates, root first and leaf last.
 * @param roots - SHA-256 of each acceptable root's DER. @param atMs - when it must be valid.
 * @param memory - spares parsing what was parsed before.
 * @throws {@link AttestationError} `chain/…` or `certificate/…`.
 */
export async function parseChain(
  ders: readonly Uint8Array[],
  roots: readonly Uint8Array[],
  atMs: number,
  memory: Memory | null = null,
): Promise<Chain> {
  if (ders.length < 2 || ders.length > MAX_CHAIN_CERTIFICATES) {
    const want = `2 to ${MAX_CHAIN_CERTIFICATES}`;
    throw new AttestationError("chain/length", `${ders.length} certificates, want ${want}`);
  }
  // 1. The trust anchor is the pinned certificate itself: its own signature would prove nothing.
  const copies = ders.map((der) => new Uint8Array(der));
  const root = copies[0] ?? new Uint8Array();
  const rootDigest = memory?.rootDigest(root) ?? (await webHashes.sha256(root));
  if (!includesBytes(roots, rootDigest)) {
    throw new AttestationError("chain/root", `root ${encodeHex(rootDigest)} is not pinned`);
  }
  // 2. RFC 5280 §4: every certificate in our profile.
  const certificates = copies.map((der) => memory?.certificate(der) ?? parseCertificate(der));
  // 3. RFC 5280 §6.1.3, §6.1.4: each in turn.
  certificates.forEach((certificate, index) => {
    requireIssuer(certificate, certificates[index === 0 ? 0 : index - 1]);
    requireValid(certificate, atMs, `certificate ${index + 1} of ${certificates.length}`);
    requireRole(certificate, certificates.length - 1 - index);
  });
  const leaf = certificates[certificates.length - 1];
  if (leaf === undefined) throw new TypeError("a chain without certificates");
  return { certificates, ders: copies, leaf, rootDigest };
}

/** When every certificate of the chain is valid. */
export function chainValidity(certificates: readonly Certificate[]): Validity {
  return {
    notBeforeMs: Math.max(...certificates.map(({ notBeforeMs }) => notBeforeMs)),
    notAfterMs: Math.min(...certificates.map(({ notAfterMs }) => notAfterMs)),
  };
}

/** RFC 5280 §6.1.3 (a)(4). The names are the vendor's own: no case folding, no normalisation. */
function requireIssuer(certificate: Certificate, issuer: Certificate | undefined): void {
  if (issuer === undefined || !equalBytes(certificate.issuer, issuer.subject)) {
    throw new AttestationError("chain/name", "issuer is not the subject before it");
  }
}

/** RFC 5280 §6.1.3 (a)(2). */
function requireValid(certificate: Certificate, atMs: number, which: string): void {
  const { notBeforeMs, notAfterMs } = certificate;
  // Written so that a time that is not a number fails.
  if (!(notBeforeMs <= atMs && atMs <= notAfterMs)) {
    const window = `${formatTime(notBeforeMs)} to ${formatTime(notAfterMs)}`;
    throw new AttestationError(
      "chain/validity",
      `${which} is valid ${window}, judged at ${formatTime(atMs)}`,
    );
  }
}

/** RFC 5280 §6.1.4 (k) to (n), and the leaf's role. @param after - certificates that follow. */
function requireRole(certificate: Certificate, after: number): void {
  const { authority, pathLength, keyUsage } = certificate.constraints;
  const constraints = (what: string): AttestationError =>
    new AttestationError("chain/constraints", `${what}: ${after} before the end of the chain`);
  if (after === 0) {
    if (authority) throw constraints("leaf is an authority");
    if ((keyUsage & KEY_USAGE.digitalSignature) === 0) throw constraints("leaf may not sign");
    if ((keyUsage & KEY_USAGE.keyCertSign) !== 0) throw constraints("leaf may sign certificates");
    return;
  }
  if (!authority) throw constraints("issuer is no authority");
  if ((keyUsage & KEY_USAGE.keyCertSign) === 0) throw constraints("issuer may not sign");
  if (pathLength !== null && pathLength < after - 1) {
    throw constraints(`path length ${pathLength}`);
  }
}
