/** The encoding of a key usage (X.690 §11.2): named bits. */
import { concatBytes } from "@countersign/attestation";
import {
  basicConstraints,
  type CertificateParts,
  extension,
  extensions,
  hex,
  integer,
  keyUsage,
  OID,
  tlv,
} from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { certificateTable } from "../certificate-case.ts";

const DER = "certificate/der";

/** Named bits, and whole octets. */
export async function usageCases(): Promise<readonly Case[]> {
  const usage = (value: string): Partial<CertificateParts> => ({
    extensions: extensions(basicConstraints(false, null), keyUsage(value)),
  });
  const wrapped = (value: Uint8Array): Partial<CertificateParts> => ({
    extensions: extensions(basicConstraints(false, null), extension(OID.keyUsage, true, value)),
  });
  return certificateTable([
    [
      DER,
      "key-usage-zero-bits",
      "key usage with zero bits at its end",
      "X.690 §11.2.2",
      usage("0080"),
    ],
    [
      DER,
      "key-usage-zero-byte",
      "key usage with a zero byte at its end",
      "X.690 §11.2.2",
      usage("008000"),
    ],
    [
      DER,
      "key-usage-8-unused",
      "key usage with eight unused bits",
      "X.690 §8.6.2.2",
      usage("0880"),
    ],
    [
      DER,
      "key-usage-set-unused",
      "key usage with a bit set that it calls unused",
      "X.690 §11.2.1",
      usage("0781"),
    ],
    [
      DER,
      "key-usage-empty",
      "key usage of no bits, not even unused ones",
      "X.690 §8.6.2.3",
      usage(""),
    ],
    [
      DER,
      "key-usage-byte-after",
      "a zero byte after the key usage",
      "RFC 5280 §4.2",
      wrapped(concatBytes(tlv(0x03, hex("0780")), hex("00"))),
    ],
    [
      DER,
      "key-usage-integer",
      "key usage as an INTEGER",
      "RFC 5280 §4.2.1.3",
      wrapped(integer(Uint8Array.of(0x80))),
    ],
    [
      "chain/extension",
      "key-usage-17-bits",
      "key usage of digitalSignature and a seventeenth bit",
      "RFC 5280 §4.2.1.3",
      usage("07800080"),
    ],
    [
      "chain/extension",
      "key-usage-bit-9",
      "key usage with a tenth bit, which no key usage has",
      "RFC 5280 §4.2.1.3",
      usage("068040"),
    ],
    [
      null,
      "key-usage-content-commitment",
      "key usage of digitalSignature and nonRepudiation, as AWS writes it",
      "RFC 5280 §4.2.1.3",
      usage("06c0"),
    ],
    [
      null,
      "key-usage-decipher-only",
      "key usage of nine bits",
      "RFC 5280 §4.2.1.3",
      usage("078080"),
    ],
  ]);
}
