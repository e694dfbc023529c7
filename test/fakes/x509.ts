/**
 * Certificates for tests: a small DER writer in the profile of AWS's Nitro certificates, P-384 with
 * ECDSA-SHA384 all the way. Keys come from bytes the caller gives, so a root can be made again.
 */
import { createECDH, createHash, createPrivateKey, type KeyObject, sign } from "node:crypto";

export interface SigningKey {
  readonly privateKey: KeyObject;
  /** Uncompressed point. */
  readonly point: Uint8Array;
}

const DAY_MS = 86_400_000;

const CURVES = {
  "P-256": { name: "prime256v1", bytes: 32 },
  "P-384": { name: "secp384r1", bytes: 48 },
} as const;

/** The key whose private scalar is `scalar` (32 or 48 bytes, taken as it is). */
export function signingKey(curve: "P-256" | "P-384", scalar: Uint8Array): SigningKey {
  const { name, bytes } = CURVES[curve];
  const ecdh = createECDH(name);
  ecdh.setPrivateKey(scalar);
  const point = new Uint8Array(ecdh.getPublicKey());
  const text = (part: Uint8Array): string => Buffer.from(part).toString("base64url");
  const jwk = {
    kty: "EC",
    crv: curve,
    d: text(scalar),
    x: text(point.subarray(1, 1 + bytes)),
    y: text(point.subarray(1 + bytes)),
  };
  return { privateKey: createPrivateKey({ key: jwk, format: "jwk" }), point };
}

/** `r ‖ s`; randomised, with s in either half. */
export function ecdsa(hash: "sha256" | "sha384", key: KeyObject, message: Uint8Array): Uint8Array {
  return new Uint8Array(sign(hash, message, { key, dsaEncoding: "ieee-p1363" }));
}

export interface CertificateFields {
  readonly subject: string;
  readonly issuer: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly point: Uint8Array;
  /** 1 to 20 bytes. */
  readonly serial: Uint8Array;
  /** A path length, or null for no limit; "leaf" for a certificate that is no authority. */
  readonly authority: number | null | "leaf";
}

const OID = {
  ecdsaWithSha384: [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03],
  ecPublicKey: [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01],
  secp384r1: [0x2b, 0x81, 0x04, 0x00, 0x22],
  country: [0x55, 0x04, 0x06],
  organization: [0x55, 0x04, 0x0a],
  commonName: [0x55, 0x04, 0x03],
  basicConstraints: [0x55, 0x1d, 0x13],
  keyUsage: [0x55, 0x1d, 0x0f],
} as const;

/** One certificate, DER, signed by `issuerKey`. */
export function certificate(fields: CertificateFields, issuerKey: KeyObject): Uint8Array {
  const algorithm = sequence(oid(OID.ecdsaWithSha384));
  const tbs = sequence(
    der(0xa0, integer(Uint8Array.of(2))),
    integer(fields.serial),
    algorithm,
    distinguishedName(fields.issuer),
    sequence(utcTime(fields.notBeforeMs), utcTime(fields.notAfterMs)),
    distinguishedName(fields.subject),
    sequence(sequence(oid(OID.ecPublicKey), oid(OID.secp384r1)), bitString(fields.point, 0)),
    der(0xa3, sequence(basicConstraints(fields.authority), keyUsage(fields.authority))),
  );
  const signature = ecdsa("sha384", issuerKey, tbs);
  const halves = sequence(integer(signature.subarray(0, 48)), integer(signature.subarray(48)));
  return sequence(tbs, algorithm, bitString(halves, 0));
}

export interface Root {
  readonly der: Uint8Array;
  readonly pem: string;
  /** Of the DER: what a policy pins. */
  readonly sha256: Uint8Array;
}

/** A root of its own key, which is not kept. */
export function selfSigned(random: (length: number) => Uint8Array, nowMs: number): Root {
  const key = signingKey("P-384", Uint8Array.of(1, ...random(47)));
  const name = "countersign.test-root";
  const der = certificate(
    {
      subject: name,
      issuer: name,
      notBeforeMs: nowMs - DAY_MS,
      notAfterMs: nowMs + DAY_MS,
      point: key.point,
      serial: Uint8Array.of(1, ...random(15)),
      authority: null,
    },
    key.privateKey,
  );
  const sha256 = new Uint8Array(createHash("sha256").update(der).digest());
  return { der, pem: certificatePem(der), sha256 };
}

/** RFC 7468 §3. */
export function certificatePem(bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/gu) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

function basicConstraints(authority: number | null | "leaf"): Uint8Array {
  const parts: Uint8Array[] = [];
  if (authority !== "leaf") parts.push(der(0x01, Uint8Array.of(0xff)));
  if (typeof authority === "number") parts.push(integer(Uint8Array.of(authority)));
  return extension(OID.basicConstraints, sequence(...parts));
}

/** Leaf: digitalSignature and nonRepudiation; authority: digitalSignature, keyCertSign, cRLSign. */
function keyUsage(authority: number | null | "leaf"): Uint8Array {
  const [bits, unused] = authority === "leaf" ? [0xc0, 6] : [0x86, 1];
  return extension(OID.keyUsage, bitString(Uint8Array.of(bits), unused));
}

function extension(id: readonly number[], value: Uint8Array): Uint8Array {
  return sequence(oid(id), der(0x01, Uint8Array.of(0xff)), der(0x04, value));
}

function distinguishedName(commonName: string): Uint8Array {
  const attribute = (id: readonly number[], tag: number, text: string): Uint8Array =>
    der(0x31, sequence(oid(id), der(tag, new Uint8Array(Buffer.from(text, "utf8")))));
  return sequence(
    attribute(OID.country, 0x13, "US"),
    attribute(OID.organization, 0x0c, "Countersign test lab"),
    attribute(OID.commonName, 0x0c, commonName),
  );
}

/** RFC 5280 §4.1.2.5.1: years 1950 to 2049. */
function utcTime(unixMs: number): Uint8Array {
  const digits = new Date(unixMs).toISOString().replaceAll(/[-:T]/gu, "").slice(2, 14);
  return der(0x17, new Uint8Array(Buffer.from(`${digits}Z`, "latin1")));
}

/** Unsigned, minimal. */
function integer(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const minimal = bytes.subarray(start);
  const sign = (minimal[0] ?? 0) >= 0x80 ? [Uint8Array.of(0)] : [];
  return der(0x02, ...sign, minimal);
}

function oid(content: readonly number[]): Uint8Array {
  return der(0x06, Uint8Array.from(content));
}

function bitString(content: Uint8Array, unusedBits: number): Uint8Array {
  return der(0x03, Uint8Array.of(unusedBits), content);
}

function sequence(...parts: readonly Uint8Array[]): Uint8Array {
  return der(0x30, ...parts);
}

function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return new Uint8Array(Buffer.concat([Buffer.from(head), content]));
}
