/** Version, serial number and algorithms of a certificate (RFC 5280 §4.1.2). */
import { concatBytes } from "@countersign/attestation";
import {
  basicConstraints,
  type CertificateParts,
  extensions,
  hex,
  integer,
  keyUsage,
  tlv,
  USAGE,
} from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { certificateTable } from "../certificate-case.ts";

export async function tbsCases(): Promise<readonly Case[]> {
  const lists = [serials, versions, algorithms];
  return (await Promise.all(lists.map((list) => list()))).flat();
}

const DER = "certificate/der";
const PROFILE = "certificate/profile";

function serials(): Promise<readonly Case[]> {
  const clause = "RFC 5280 §4.1.2.2";
  return certificateTable([
    [PROFILE, "serial-0", "serial number 0", clause, { serial: integer(Uint8Array.of(0)) }, "both"],
    [
      PROFILE,
      "serial-negative",
      "serial number -128",
      clause,
      { serial: tlv(0x02, Uint8Array.of(0x80)) },
      "both",
    ],
    [
      PROFILE,
      "serial-21-bytes",
      "serial number of 21 bytes",
      clause,
      { serial: tlv(0x02, new Uint8Array(21).fill(0x7f)) },
    ],
    [
      null,
      "serial-20-bytes-and-sign",
      "serial number of 20 bytes and a zero byte before them, as AWS writes it",
      clause,
      { serial: tlv(0x02, Uint8Array.of(0), new Uint8Array(20).fill(0xff)) },
    ],
    [
      null,
      "serial-20-bytes",
      "serial number of 20 bytes",
      clause,
      { serial: tlv(0x02, new Uint8Array(20).fill(0x7f)) },
    ],
    [
      DER,
      "serial-padded",
      "serial number 1 in two bytes",
      "X.690 §8.3.2",
      { serial: tlv(0x02, Uint8Array.of(0, 1)) },
      "both",
    ],
    [
      DER,
      "serial-empty",
      "serial number of no bytes",
      "X.690 §8.3.1",
      { serial: tlv(0x02, new Uint8Array()) },
    ],
  ]);
}

function versions(): Promise<readonly Case[]> {
  const clause = "RFC 5280 §4.1.2.1";
  const version = (value: number): Uint8Array => tlv(0xa0, integer(Uint8Array.of(value)));
  const usual = extensions(basicConstraints(false, null), keyUsage(USAGE.sign));
  const unique = (tag: number): Partial<CertificateParts> => ({
    extensions: concatBytes(tlv(tag, hex("00aa")), usual),
  });
  return certificateTable([
    [PROFILE, "version-1", "version 1, by its absence", clause, { version: new Uint8Array() }],
    [
      PROFILE,
      "version-1-written",
      "version 1, written although it is the default",
      clause,
      { version: version(0) },
    ],
    [PROFILE, "version-2", "version 2", clause, { version: version(1) }, "both"],
    [PROFILE, "version-4", "version 4", clause, { version: version(3) }],
    [
      PROFILE,
      "version-258",
      "version 258, whose last byte says 3",
      clause,
      { version: tlv(0xa0, tlv(0x02, hex("0102"))) },
    ],
    [PROFILE, "issuer-unique-id", "an issuerUniqueID", "RFC 5280 §4.1.2.8", unique(0x81)],
    [PROFILE, "subject-unique-id", "a subjectUniqueID", "RFC 5280 §4.1.2.8", unique(0x82)],
  ]);
}

function algorithms(): Promise<readonly Case[]> {
  const clause = "RFC 5280 §4.1.1.2";
  const sha256 = hex("300a06082a8648ce3d040302");
  const withNull = hex("300c06082a8648ce3d0403030500");
  const rsa = hex("300d06092a864886f70d01010c0500");
  return certificateTable([
    [
      PROFILE,
      "algorithm-sha-256-outside",
      "ecdsa-with-SHA256 outside the signature",
      clause,
      { outerAlgorithm: sha256 },
      "both",
    ],
    [
      PROFILE,
      "algorithm-sha-256-inside",
      "ecdsa-with-SHA256 inside the signature",
      clause,
      { algorithm: sha256 },
    ],
    [
      PROFILE,
      "algorithm-sha-256",
      "signed with ecdsa-with-SHA256",
      "PROTOCOL 3",
      { algorithm: sha256, outerAlgorithm: sha256, hash: "SHA-256" },
      "both",
    ],
    [
      PROFILE,
      "algorithm-null-parameters",
      "ecdsa-with-SHA384 with parameters of NULL",
      "RFC 5758 §3.2",
      { algorithm: withNull, outerAlgorithm: withNull },
      "both",
    ],
    [
      PROFILE,
      "algorithm-null-outside",
      "parameters of NULL outside the signature only",
      "RFC 5758 §3.2",
      { outerAlgorithm: withNull },
    ],
    [
      PROFILE,
      "algorithm-rsa",
      "sha384WithRSAEncryption",
      "PROTOCOL 3",
      { algorithm: rsa, outerAlgorithm: rsa },
    ],
    [
      PROFILE,
      "algorithm-ed25519",
      "Ed25519 outside the signature",
      "PROTOCOL 3",
      { outerAlgorithm: hex("300506032b6570") },
    ],
  ]);
}
