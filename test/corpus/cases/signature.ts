/** The encoding of a certificate's signature (RFC 5480 Appendix A). */
import { isLowS } from "@countersign/attestation";
import { bitStringSignature, type CertificateParts, hex, integer, tlv } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { certificateTable } from "../certificate-case.ts";
import { longTlv } from "../der.ts";
import { otherS } from "../p384.ts";

const DER = "certificate/der";
const PROFILE = "certificate/profile";

export async function signatureCases(): Promise<readonly Case[]> {
  const clause = "RFC 5480 Appendix A";
  const bitString = (...contents: readonly Uint8Array[]): Uint8Array =>
    tlv(0x03, hex("00"), ...contents);
  const halves = (raw: Uint8Array): readonly [Uint8Array, Uint8Array] => [
    raw.slice(0, 48),
    raw.slice(48),
  ];
  const made = (
    make: (r: Uint8Array, s: Uint8Array) => readonly Uint8Array[],
  ): Partial<CertificateParts> => ({
    signature: (raw) => bitString(tlv(0x30, ...make(...halves(raw)))),
  });
  return certificateTable([
    [
      DER,
      "signature-unused-bits",
      "signature with an unused bit",
      clause,
      { signature: (raw) => tlv(0x03, hex("01"), bitStringSignature(raw).slice(3)) },
      "both",
    ],
    [
      DER,
      "signature-padded-r",
      "r with two zero bytes before it",
      "X.690 §8.3.2",
      made((r, s) => [tlv(0x02, hex("0000"), r), integer(s)]),
      "both",
    ],
    [
      PROFILE,
      "signature-negative-s",
      "s without the zero byte that makes it positive",
      "X.690 §8.3.3",
      {
        signature: (raw) => {
          // One of the two has its highest bit set, but for one in 2^190.
          const [r, s] = halves(isLowS("P-384", raw) ? otherS(raw) : raw);
          return bitString(tlv(0x30, integer(r), tlv(0x02, s)));
        },
      },
    ],
    [
      DER,
      "signature-third-value",
      "a third value after r and s",
      clause,
      made((r, s) => [integer(r), integer(s), integer(hex("01"))]),
      "both",
    ],
    [DER, "signature-r-alone", "r and no s", clause, made((r) => [integer(r)])],
    [
      DER,
      "signature-fixed-width",
      "r and s of 48 bytes each, not in DER",
      clause,
      { signature: (raw) => bitString(raw) },
      "both",
    ],
    [
      DER,
      "signature-byte-after",
      "a zero byte after the SEQUENCE of r and s",
      clause,
      { signature: (raw) => bitString(bitStringSignature(raw).slice(3), hex("00")) },
      "both",
    ],
    [
      DER,
      "signature-long-length",
      "SEQUENCE of r and s with a length of two bytes",
      "X.690 §10.1",
      { signature: (raw) => bitString(longTlv(0x30, 1, bitStringSignature(raw).slice(5))) },
      "both",
    ],
    [DER, "signature-empty", "signature of no bits", clause, { signature: () => bitString() }],
    [
      PROFILE,
      "signature-r-49-bytes",
      "r of 49 bytes",
      clause,
      made((r, s) => [tlv(0x02, hex("01"), r), integer(s)]),
    ],
    [
      null,
      "signature-other-s",
      "n - s in place of s",
      "FIPS 186-5 §6.4.2",
      { signature: (raw) => bitStringSignature(otherS(raw)) },
      "both",
    ],
  ]);
}
