/** What a certificate says: as we read it, as node:crypto does, and as OpenSSL prints it. */
import { X509Certificate } from "node:crypto";
import { encodeHex, importPoint } from "@countersign/attestation";
import { KEY_USAGE, parseCertificate } from "../../attestation/certificate.ts";

/** Facts that an oracle gives too, in a form that can be compared. */
export type Facts = Readonly<Record<string, string | number | boolean | null>>;

/** @throws AttestationError of a certificate that we refuse, or of a point off its curve. */
export async function ourFacts(der: Uint8Array): Promise<Facts> {
  const { commonName, notBeforeMs, notAfterMs, publicKey, constraints } = parseCertificate(der);
  const { authority, keyUsage } = constraints;
  await importPoint("P-384", publicKey);
  return {
    commonName,
    notBeforeMs,
    notAfterMs,
    point: encodeHex(publicKey),
    // As X509_check_ca has it: an authority, and not kept from it by its key usage.
    authority: authority && (keyUsage & KEY_USAGE.keyCertSign) !== 0,
  };
}

/** @throws what node:crypto throws of a certificate or a key that it cannot read. */
export function nodeFacts(der: Uint8Array): Facts {
  const certificate = new X509Certificate(der);
  // Not toLegacyObject(): of a key that is off its curve, it ends the process (Node 24.21).
  const names = subjectParts(certificate).filter((part) => part.startsWith("CN="));
  const key = certificate.publicKey.export({ format: "der", type: "spki" });
  return {
    // Of several we take none.
    commonName: names.length === 1 ? unescaped((names[0] ?? "").slice("CN=".length)) : null,
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
    point: encodeHex(new Uint8Array(key.subarray(-97))),
    authority: certificate.ca,
  };
}

/** A part a line; of an empty name node:crypto says undefined, whatever its types say. */
function subjectParts(certificate: X509Certificate): readonly string[] {
  const subject: string | undefined = certificate.subject;
  return (subject ?? "").split("\n");
}

/** RFC 2253 §2.4: a character behind a backslash, or two digits. */
function unescaped(text: string): string {
  return text.replaceAll(/\\(?:([0-9A-F]{2})|(.))/gu, (_, digits?: string, character?: string) =>
    digits === undefined ? (character ?? "") : String.fromCharCode(parseInt(digits, 16)),
  );
}

/** Of what node:crypto does not tell: basic constraints and key usage. */
export function ourRoles(der: Uint8Array): Facts {
  const { authority, pathLength, keyUsage } = parseCertificate(der).constraints;
  return { authority, pathLength, keyUsage };
}

/** RFC 5280 §4.2.1.3, as `openssl` prints its bits. */
const USAGES = [
  "Digital Signature",
  "Non Repudiation",
  "Key Encipherment",
  "Data Encipherment",
  "Key Agreement",
  "Certificate Sign",
  "CRL Sign",
  "Encipher Only",
  "Decipher Only",
] as const;

/** @param text - of one certificate, by `openssl storeutl -text`. */
export function printedRoles(text: string): Facts {
  const constraints =
    /X509v3 Basic Constraints: .*\n\s+CA:(TRUE|FALSE)(?:, pathlen:(\d+))?\n/u.exec(text);
  const [, usages = ""] = /X509v3 Key Usage: .*\n\s+(.*)\n/u.exec(text) ?? [];
  const bits = usages.split(", ").map((usage) => USAGES.findIndex((known) => known === usage));
  const [, authority, pathLength] = constraints ?? [];
  return {
    authority: authority === "TRUE",
    pathLength: pathLength === undefined ? null : Number(pathLength),
    keyUsage: bits.reduce((all, bit) => (bit < 0 ? all : all | (1 << bit)), 0),
  };
}

/** The first fact that differs, or null. */
export function differingFact(ours: Facts, theirs: Facts): string | null {
  for (const [name, value] of Object.entries(ours)) {
    if (!Object.is(value, theirs[name])) {
      return `reads ${name} ${String(theirs[name])} for ${String(value)}`;
    }
  }
  return null;
}
