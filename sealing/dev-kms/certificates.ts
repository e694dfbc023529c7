/** An authority of our own, and the certificate that it gives to the server at each start. */
import { generateKeyPair, randomBytes, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { promisify } from "node:util";

import forge from "node-forge";

/** An RSA key with a self-signed certificate, both PEM. */
export interface Authority {
  readonly key: string;
  readonly certificate: string;
}

export interface ServerCertificate {
  /** PEM. */
  readonly key: string;
  /** PEM: the server's certificate and the authority's. */
  readonly chain: string;
}

const MODULUS_BITS = 2048;
const DAY_MS = 86_400_000;
const AUTHORITY_DAYS = 3650;
const SERVER_DAYS = 398;
/** Clocks differ. */
const BACKDATE_DAYS = 1;
const SERIAL_BYTES = 16;
const NAME = "countersign dev-kms, for development only";
/** RFC 5280 §4.2.1.6: kinds of GeneralName. */
const DNS_NAME = 2;
const IP_ADDRESS = 7;

type ForgeCertificate = forge.pki.Certificate;

export async function createAuthority(nowMs: number): Promise<Authority> {
  const key = await createKey();
  const certificate = unsigned(key, NAME, NAME, nowMs, AUTHORITY_DAYS);
  certificate.setExtensions([
    { name: "basicConstraints", cA: true, pathLenConstraint: 0, critical: true },
    { name: "keyUsage", keyCertSign: true, critical: true },
    { name: "subjectKeyIdentifier" },
  ]);
  return { key, certificate: sign(certificate, key) };
}

/** A key and a certificate for `names`, host names and IP addresses. */
export async function issueServerCertificate(
  authority: Authority,
  names: readonly string[],
  nowMs: number,
): Promise<ServerCertificate> {
  const key = await createKey();
  const [first = "localhost"] = names;
  const certificate = unsigned(key, first, NAME, nowMs, SERVER_DAYS);
  const issuer = forge.pki.certificateFromPem(authority.certificate);
  certificate.setExtensions([
    { name: "basicConstraints", cA: false, critical: true },
    { name: "keyUsage", digitalSignature: true, keyEncipherment: true, critical: true },
    { name: "extKeyUsage", serverAuth: true },
    { name: "subjectAltName", altNames: names.map(alternativeName) },
    { name: "subjectKeyIdentifier" },
    {
      name: "authorityKeyIdentifier",
      keyIdentifier: issuer.generateSubjectKeyIdentifier().getBytes(),
    },
  ]);
  return { key, chain: sign(certificate, authority.key) + authority.certificate };
}

/** SHA-256 of its DER, lower-case hexadecimal: what key-services.json pins. */
export function certificateDigest(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
}

function alternativeName(name: string): { type: number; value?: string; ip?: string } {
  return isIP(name) === 0 ? { type: DNS_NAME, value: name } : { type: IP_ADDRESS, ip: name };
}

async function createKey(): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)("rsa", { modulusLength: MODULUS_BITS });
  // PKCS #1 (RFC 8017 appendix A.1.2) is what forge reads.
  return privateKey.export({ type: "pkcs1", format: "pem" }).toString();
}

function unsigned(
  key: string,
  subject: string,
  issuer: string,
  nowMs: number,
  days: number,
): ForgeCertificate {
  const certificate = forge.pki.createCertificate();
  const { n, e } = forge.pki.privateKeyFromPem(key);
  certificate.publicKey = forge.pki.setRsaPublicKey(n, e);
  certificate.serialNumber = serialNumber();
  certificate.validity.notBefore = new Date(nowMs - BACKDATE_DAYS * DAY_MS);
  certificate.validity.notAfter = new Date(nowMs + days * DAY_MS);
  certificate.setSubject([{ name: "commonName", value: subject }]);
  certificate.setIssuer([{ name: "commonName", value: issuer }]);
  return certificate;
}

/** Positive and never zero: the top bits are 01 (RFC 5280 §4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString("hex");
}

/** PEM as Node writes it, with plain line ends. */
function sign(certificate: ForgeCertificate, key: string): string {
  certificate.sign(forge.pki.privateKeyFromPem(key), forge.md.sha256.create());
  return new X509Certificate(forge.pki.certificateToPem(certificate)).toString();
}
