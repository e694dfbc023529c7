/**
 * What must hold of a chain that the verifier took, by OpenSSL (through Node) and a reading of our
 * own: signatures, names, times, constraints, and that everything is in its one DER form.
 */
import { createHash, type KeyObject, X509Certificate } from "node:crypto";
import { Breach, requireHeld } from "../target.ts";
import { type Element, inside, isMinimal, write } from "../tree/element.ts";
import { readDer } from "../tree/reading.ts";

/** RFC 5280 §4.1: elements of a TBSCertificate, version included. */
const AT = { issuer: 3, validity: 4, subject: 5, extensions: 7 } as const;
const OID = { basicConstraints: "551d13", keyUsage: "551d0f", commonName: "550403" } as const;
const BOOLEAN = 0x01;
/** PROTOCOL.md, "Limits": with root and leaf. */
const MAX_CERTIFICATES = 8;
/** First byte of the named bits (RFC 5280 §4.2.1.3). */
const USAGE = { digitalSignature: 0x80, keyCertSign: 0x04 } as const;

/** One certificate, as OpenSSL reads it and as we do. */
export interface ReadCertificate {
  readonly openssl: X509Certificate;
  readonly tbs: Element;
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly authority: boolean;
  readonly pathLength: number | null;
  /** First byte of the named bits. */
  readonly usage: number;
}

/** @throws {@link Breach} where what was accepted is no certificate, or not in its one form. */
export function readCertificate(der: Uint8Array): ReadCertificate {
  const openssl = parsed(der);
  const whole = readDer(der);
  const tbs = whole?.children[0];
  requireHeld(whole !== null && isMinimal(whole), "a certificate is not in its shortest form");
  if (tbs === undefined) throw new Breach("a certificate is empty");
  const extensions = readExtensions(tbs.children[AT.extensions]);
  const basic = readDer(extensions.get(OID.basicConstraints)?.value ?? new Uint8Array());
  const usage = readDer(extensions.get(OID.keyUsage)?.value ?? new Uint8Array());
  const [flag, length] = basic?.children ?? [];
  for (const [id, { critical }] of extensions) {
    const known = id === OID.basicConstraints || id === OID.keyUsage;
    requireHeld(known || !critical, `extension ${id} is critical and was accepted`);
  }
  return {
    openssl,
    tbs,
    issuer: writeAt(tbs, AT.issuer),
    subject: writeAt(tbs, AT.subject),
    notBeforeMs: openssl.validFromDate.getTime(),
    notAfterMs: openssl.validToDate.getTime(),
    authority: flag?.type === BOOLEAN && inside(flag)[0] === 0xff,
    pathLength: length === undefined ? null : (inside(length).at(-1) ?? null),
    usage: inside(usage ?? undefined)[1] ?? 0,
  };
}

/** RFC 5280 §6 but the signatures, of a chain with its root first. @throws {@link Breach}. */
export function requireLinks(
  ders: readonly Uint8Array[],
  atMs: number,
): readonly ReadCertificate[] {
  const chain = ders.map(readCertificate);
  requireHeld(chain.length >= 2 && chain.length <= MAX_CERTIFICATES, "wrong length of a chain");
  chain.forEach((certificate, i) => {
    const issuer = chain[Math.max(0, i - 1)] ?? certificate;
    const after = chain.length - 1 - i;
    const { notBeforeMs, notAfterMs, authority, pathLength, usage } = certificate;
    const which = `certificate ${i} of ${chain.length}`;
    requireHeld(equal(certificate.issuer, issuer.subject), `${which}: another issuer`);
    requireHeld(notBeforeMs <= atMs && atMs <= notAfterMs, `${which}: not valid at ${atMs}`);
    requireHeld(authority === after > 0, `${which}: wrong authority`);
    const wanted = after > 0 ? USAGE.keyCertSign : USAGE.digitalSignature;
    requireHeld((usage & wanted) !== 0, `${which}: may not sign`);
    requireHeld(after > 0 || (usage & USAGE.keyCertSign) === 0, `${which}: may sign others`);
    requireHeld(pathLength === null || pathLength >= after - 1, `${which}: path too long`);
  });
  return chain;
}

/** Each but the root is signed by the one before it. @throws {@link Breach}. */
export function requireSigned(chain: readonly ReadCertificate[]): void {
  for (const [i, certificate] of chain.entries()) {
    const issuer = chain[i - 1];
    if (issuer === undefined) continue;
    const signed = certificate.openssl.verify(keyOf(issuer));
    requireHeld(signed, `certificate ${i} of ${chain.length}: not signed`);
  }
}

export function keyOf({ openssl }: ReadCertificate): KeyObject {
  try {
    return openssl.publicKey;
  } catch (error) {
    throw new Breach(`OpenSSL refuses a key that was accepted: ${String(error)}`);
  }
}

/** The subject's common names. */
export function commonNames({ tbs }: ReadCertificate): readonly string[] {
  const parts = tbs.children[AT.subject]?.children ?? [];
  return parts.flatMap(({ children }) =>
    children.flatMap(({ children: [id, value] }) =>
      hexOf(inside(id)) === OID.commonName ? [Buffer.from(inside(value)).toString("utf8")] : [],
    ),
  );
}

export function digest(hash: "sha256" | "sha384", ...parts: readonly Uint8Array[]): Uint8Array {
  const hashing = createHash(hash);
  for (const part of parts) hashing.update(part);
  return new Uint8Array(hashing.digest());
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function parsed(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch (error) {
    throw new Breach(`OpenSSL refuses a certificate that was accepted: ${String(error)}`);
  }
}

interface Extension {
  readonly critical: boolean;
  readonly value: Uint8Array;
}

function readExtensions(outer: Element | undefined): ReadonlyMap<string, Extension> {
  const extensions = new Map<string, Extension>();
  for (const { children } of outer?.children[0]?.children ?? []) {
    const id = hexOf(inside(children[0]));
    requireHeld(!extensions.has(id), `extension ${id} is there twice and was accepted`);
    const critical = children.length === 3;
    extensions.set(id, { critical, value: inside(children.at(-1)) });
  }
  return extensions;
}

function writeAt(tbs: Element, index: number): Uint8Array {
  const element = tbs.children[index];
  return element === undefined ? new Uint8Array() : write(element);
}
