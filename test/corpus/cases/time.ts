/** The two times of a certificate (RFC 5280 §4.1.2.5): their form, not yet what they mean. */
import { encodeUtf8 } from "@countersign/attestation";
import { type CertificateParts, tlv, utcTime } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { certificateTable } from "../certificate-case.ts";

const DER = "certificate/der";
const PROFILE = "certificate/profile";

export async function timeCases(): Promise<readonly Case[]> {
  const clause = "RFC 5280 §4.1.2.5";
  const between = (from: Uint8Array, to: Uint8Array): Partial<CertificateParts> => ({
    validity: tlv(0x30, from, to),
  });
  const general = (text: string): Uint8Array => tlv(0x18, encodeUtf8(text));
  const from = (text: string): Partial<CertificateParts> =>
    between(utcTime(text), utcTime("280101000000Z"));
  const to = (text: string): Partial<CertificateParts> =>
    between(utcTime("260101000000Z"), utcTime(text));
  return certificateTable([
    [
      DER,
      "utc-without-seconds",
      "UTCTime without seconds",
      "X.690 §11.8.2",
      to("2801010000Z"),
      "both",
    ],
    [DER, "utc-with-fraction", "UTCTime with a fraction", "X.690 §11.8", to("280101000000.5Z")],
    [
      DER,
      "utc-with-offset",
      "UTCTime with an offset",
      "X.690 §11.8.1",
      to("280101000000+0000"),
      "both",
    ],
    [DER, "utc-local", "UTCTime without a Z", "X.690 §11.8.1", to("280101000000")],
    [DER, "utc-lower-case-z", "UTCTime with a z", "X.690 §11.8.1", to("280101000000z")],
    [DER, "utc-with-space", "UTCTime with a space for a digit", clause, to("28010100000 Z")],
    [DER, "february-30", "30 February", clause, from("260230000000Z"), "both"],
    [DER, "february-29", "29 February of a year without one", clause, from("260229000000Z")],
    [DER, "month-13", "month 13", clause, to("281301000000Z")],
    [DER, "month-0", "month 0", clause, from("260001000000Z")],
    [DER, "hour-24", "hour 24", clause, to("271231240000Z")],
    [DER, "second-60", "second 60", clause, to("271231235960Z")],
    [
      DER,
      "time-as-text",
      "a time as a PrintableString",
      clause,
      between(utcTime("260101000000Z"), tlv(0x13, encodeUtf8("20500101000000Z"))),
    ],
    [
      PROFILE,
      "generalized-before-2050",
      "GeneralizedTime before 2050",
      clause,
      between(utcTime("260101000000Z"), general("20280101000000Z")),
      "both",
    ],
    [
      DER,
      "generalized-with-zero-fraction",
      "GeneralizedTime with a fraction of zero",
      "X.690 §11.7.3",
      between(utcTime("260101000000Z"), general("20500101000000.0Z")),
    ],
    [
      DER,
      "generalized-with-offset",
      "GeneralizedTime with an offset",
      "X.690 §11.7.1",
      between(utcTime("260101000000Z"), general("20500101000000+0000")),
    ],
    [
      null,
      "generalized-2050",
      "GeneralizedTime of 2050",
      clause,
      between(utcTime("260101000000Z"), general("20500101000000Z")),
    ],
    [
      null,
      "generalized-9999",
      "GeneralizedTime of the end of 9999, which says no end",
      "RFC 5280 §4.1.2.5",
      between(utcTime("260101000000Z"), general("99991231235959Z")),
    ],
    [null, "utc-2049", "UTCTime of 2049", clause, to("491231235959Z")],
    [null, "utc-1950", "UTCTime of 1950", clause, from("500101000000Z")],
    [
      null,
      "leap-day",
      "29 February of a year that has one",
      clause,
      between(utcTime("240229000000Z"), utcTime("280229000000Z")),
    ],
    [
      "chain/validity",
      "utc-50-is-1950",
      "notAfter of UTCTime year 50, which is 1950",
      clause,
      to("500101000000Z"),
    ],
    [
      "chain/validity",
      "validity-backwards",
      "notAfter before notBefore",
      clause,
      between(utcTime("280101000000Z"), utcTime("260101000000Z")),
    ],
  ]);
}
