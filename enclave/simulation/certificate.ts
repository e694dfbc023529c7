/**
 * Issues X.509 version 3 certificates (RFC 5280 §4) in the profile of AWS Nitro's: P-384 and
 * ecdsa-with-SHA384, basic constraints and key usage always there, times as UTCTime.
 */
import { createHash, type KeyObject, sign } from "node:crypto";
import * as der from "./der.ts";

/** RFC 5758 §3.2, without parameters. */
const ECDSA_WITH_SHA384 = der.sequence(der.objectIdentifier("1.2.840.10045.4.3.3"));
/** RFC 4519 §2. */
const ORGANIZATION = "2.5.4.10";
const ORGANIZATIONAL_UNIT = "2.5.4.11";
const COMMON_NAME = "2.5.4.3";
/** RFC 5280 §4.2.1. */
const SUBJECT_KEY_IDENTIFIER = "2.5.29.14";
const KEY_USAGE = "2.5.29.15";
const BASIC_CONSTRAINTS = "2.5.29.19";
const AUTHORITY_KEY_IDENTIFIER = "2.5.29.35";
/** RFC 5280 §4.2.1.3, in the first octet: digitalSignature, keyCertSign, cRLSign; nonRepudiation. */
const AUTHORITY_USAGE = 0x86;
const LEAF_USAGE = 0xc0;
/** Of a P-384 SubjectPublicKeyInfo, what follows its head is the uncompressed point. */
const POINT_BYTES = 97;

/** What a certificate is for. `pathLength` null: as many authorities below it as there may be. */
export type Role =
  { readonly authority: true; readonly pathLength: number | null } | { readonly authority: false };

export interface CertificateRequest {
  readonly role: Role;
  /** Big-endian, 1 to 20 bytes, not zero. */
  readonly serial: Uint8Array;
  readonly issuerName: string;
  readonly issuerKey: KeyObject;
  readonly issuerPublicKey: KeyObject;
  readonly subjectName: string;
  readonly subjectPublicKey: KeyObject;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** The certificate's DER. */
export function issueCertificate(request: CertificateRequest): Uint8Array {
  const signed = der.sequence(
    der.tagged(0, der.unsigned(Uint8Array.of(2))),
    der.unsigned(request.serial),
    ECDSA_WITH_SHA384,
    name(request.issuerName),
    der.sequence(der.utcTime(request.notBeforeMs), der.utcTime(request.notAfterMs)),
    name(request.subjectName),
    spki(request.subjectPublicKey),
    der.tagged(3, der.sequence(...extensions(request))),
  );
  const signature = sign("sha384", signed, request.issuerKey);
  return der.sequence(signed, ECDSA_WITH_SHA384, der.bits(signature));
}

function name(commonName: string): Uint8Array {
  const attributes: readonly (readonly [string, string])[] = [
    [ORGANIZATION, "Countersign"],
    [ORGANIZATIONAL_UNIT, "Simulation"],
    [COMMON_NAME, commonName],
  ];
  return der.sequence(
    ...attributes.map(([type, value]) =>
      der.set(der.sequence(der.objectIdentifier(type), der.utf8(value))),
    ),
  );
}

function extensions(request: CertificateRequest): readonly Uint8Array[] {
  const { role, issuerPublicKey, subjectPublicKey } = request;
  if (!role.authority) {
    return [
      extension(BASIC_CONSTRAINTS, true, der.sequence()),
      extension(KEY_USAGE, false, der.namedBits(LEAF_USAGE)),
    ];
  }
  const pathLength = role.pathLength === null ? [] : [der.unsigned(Uint8Array.of(role.pathLength))];
  const identifiers = [
    extension(SUBJECT_KEY_IDENTIFIER, false, der.octets(keyIdentifier(subjectPublicKey))),
  ];
  if (request.issuerName !== request.subjectName) {
    const issuer = der.sequence(der.implicit(0, keyIdentifier(issuerPublicKey)));
    identifiers.push(extension(AUTHORITY_KEY_IDENTIFIER, false, issuer));
  }
  return [
    extension(BASIC_CONSTRAINTS, true, der.sequence(der.truth(), ...pathLength)),
    ...identifiers,
    extension(KEY_USAGE, true, der.namedBits(AUTHORITY_USAGE)),
  ];
}

function extension(id: string, critical: boolean, value: Uint8Array): Uint8Array {
  const flag = critical ? [der.truth()] : [];
  return der.sequence(der.objectIdentifier(id), ...flag, der.octets(value));
}

function spki(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ format: "der", type: "spki" }));
}

/** RFC 5280 §4.2.1.2 (1): SHA-1 of the public key's bits. It names a key and protects nothing. */
function keyIdentifier(key: KeyObject): Uint8Array {
  return createHash("sha1").update(spki(key).subarray(-POINT_BYTES)).digest();
}
