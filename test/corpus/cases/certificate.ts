/** Certificates that are not DER as a whole (X.690 §8, §10): lengths, tags, what follows what. */
import { concatBytes } from "@countersign/attestation";
import {
  attribute,
  bitStringSignature,
  extensions,
  hex,
  integer,
  MODULE_ID,
  OID,
  tlv,
  utcTime,
} from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { certificateTable } from "../certificate-case.ts";
import { LEAF_BASIC, LEAF_USAGE } from "../extension-case.ts";
import { indefiniteTlv, longTlv } from "../der.ts";

export async function certificateCases(): Promise<readonly Case[]> {
  const lists = [lengths, elements];
  return (await Promise.all(lists.map((list) => list()))).flat();
}

const DER = "certificate/der";
const PROFILE = "certificate/profile";

const TIMES = concatBytes(utcTime("260101000000Z"), utcTime("280101000000Z"));

function lengths(): Promise<readonly Case[]> {
  const long = "X.690 §10.1";
  return certificateTable([
    [
      DER,
      "indefinite-whole",
      "whole of indefinite length",
      long,
      { whole: (contents) => indefiniteTlv(0x30, contents) },
      "both",
    ],
    [
      DER,
      "indefinite-tbs",
      "what is signed of indefinite length",
      long,
      { tbs: (contents) => indefiniteTlv(0x30, contents) },
      "both",
    ],
    [
      DER,
      "long-length-whole",
      "length of the whole in three bytes",
      long,
      { whole: (contents) => longTlv(0x30, 3, contents) },
      "both",
    ],
    [
      DER,
      "long-length-tbs",
      "length of what is signed in four bytes",
      long,
      { tbs: (contents) => longTlv(0x30, 4, contents) },
    ],
    [
      DER,
      "long-length-validity",
      "length of the validity, below 128, in one byte more",
      long,
      { validity: longTlv(0x30, 1, TIMES) },
      "both",
    ],
    [
      DER,
      "long-length-serial",
      "length of the serial number in two bytes more",
      long,
      { serial: longTlv(0x02, 2, Uint8Array.of(7)) },
    ],
    [
      DER,
      "reserved-length",
      "length that begins with ff",
      "X.690 §8.1.3.5",
      { validity: concatBytes(hex("30ff"), TIMES) },
    ],
    [
      DER,
      "length-128-as-80",
      "length of 128 in one byte, which means an indefinite length",
      long,
      { extensions: withValue(concatBytes(hex("0480"), new Uint8Array(128))) },
    ],
    [
      null,
      "lengths-127-128",
      "values of 127 bytes, length in one byte, and of 128, in two",
      long,
      { extensions: withValue(valueOf(127), valueOf(128)) },
    ],
    [
      null,
      "lengths-255-256",
      "values of 255 bytes, length in two bytes, and of 256, in three",
      long,
      { extensions: withValue(valueOf(255), valueOf(256)) },
    ],
    [
      DER,
      "length-beyond-the-end",
      "length of the whole one more than there is",
      "X.690 §8.1.3",
      { whole: (contents) => concatBytes(tlv(0x30, contents, hex("00")).slice(0, -1)) },
      "both",
    ],
    [
      DER,
      "byte-after",
      "a zero byte after it",
      "X.690 §8.1.3",
      { whole: (contents) => concatBytes(tlv(0x30, contents), hex("00")) },
      "both",
    ],
    [
      DER,
      "end-of-contents-after",
      "end-of-contents after it",
      "X.690 §8.1.5",
      { whole: (contents) => concatBytes(tlv(0x30, contents), hex("0000")) },
    ],
    [
      DER,
      "null-after-signature",
      "a NULL after the signature",
      "RFC 5280 §4.1",
      { whole: (contents) => tlv(0x30, contents, hex("0500")) },
      "both",
    ],
    [
      DER,
      "null-after-extensions",
      "a NULL after the extensions, signed",
      "RFC 5280 §4.1",
      { rest: hex("0500") },
      "both",
    ],
    [
      DER,
      "three-times",
      "a third time in the validity",
      "RFC 5280 §4.1",
      { validity: tlv(0x30, TIMES, utcTime("280101000000Z")) },
    ],
  ]);
}

const valueOf = (bytes: number): Uint8Array => tlv(0x04, new Uint8Array(bytes));

/** A leaf's extensions, and unknown ones with these values, each a whole OCTET STRING. */
function withValue(...values: readonly Uint8Array[]): Uint8Array {
  const unknown = values.map((value, i) => tlv(0x30, tlv(0x06, Uint8Array.of(42, i)), value));
  return extensions(LEAF_BASIC, LEAF_USAGE, ...unknown);
}

function elements(): Promise<readonly Case[]> {
  return certificateTable([
    [
      DER,
      "long-tag",
      "tag [0] of the version in two bytes",
      "X.690 §8.1.2.4",
      { version: concatBytes(hex("bf0003"), integer(Uint8Array.of(2))) },
      "both",
    ],
    [
      PROFILE,
      "serial-before-version",
      "serial number before the version: none is where it should be",
      "RFC 5280 §4.1",
      { version: integer(Uint8Array.of(1)), serial: tlv(0xa0, integer(Uint8Array.of(2))) },
    ],
    [
      DER,
      "subject-before-validity",
      "subject before the validity",
      "RFC 5280 §4.1",
      {
        validity: tlv(0x30, attribute(OID.commonName, `${MODULE_ID}.fake-1.aws`)),
        subject: tlv(0x30, TIMES),
      },
    ],
    [
      DER,
      "set-for-the-whole",
      "a SET in place of the outer SEQUENCE",
      "RFC 5280 §4.1",
      { whole: (contents) => tlv(0x31, contents) },
    ],
    [
      DER,
      "primitive-sequence",
      "validity without the bit that says constructed",
      "X.690 §8.9.1",
      { validity: tlv(0x10, TIMES) },
    ],
    [
      DER,
      "constructed-bit-string",
      "signature as a BIT STRING in parts",
      "X.690 §10.2",
      { signature: (raw) => tlv(0x23, bitStringSignature(raw)) },
      "both",
    ],
    [
      DER,
      "enumerated-serial",
      "serial number as an ENUMERATED",
      "RFC 5280 §4.1",
      { serial: tlv(0x0a, Uint8Array.of(7)) },
    ],
    [
      DER,
      "not-asn1",
      "text in place of it",
      "RFC 5280 §4.1",
      { whole: () => hex("2d2d2d2d2d424547494e") },
      "both",
    ],
  ]);
}
