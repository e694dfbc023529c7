/** Names in a certificate (RFC 5280 §4.1.2.4): one attribute a part, of two types of text. */
import { encodeUtf8 } from "@countersign/attestation";
import { attribute, type CertificateParts, hex, MODULE_ID, OID, tlv } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { certificateTable } from "../certificate-case.ts";

const DER = "certificate/der";
const PROFILE = "certificate/profile";

export async function nameCases(): Promise<readonly Case[]> {
  const commonName = attribute(OID.commonName, `${MODULE_ID}.fake-1.aws`);
  const unit = hex("55040b");
  const subject = (...parts: readonly Uint8Array[]): Partial<CertificateParts> => ({
    subject: tlv(0x30, ...parts),
  });
  const typed = (tag: number, value: string | Uint8Array): Partial<CertificateParts> =>
    subject(attribute(OID.organization, value, tag), commonName);
  const inner = (oid: Uint8Array, value: Uint8Array): Uint8Array =>
    tlv(0x30, tlv(0x06, oid), value);
  const text = tlv(0x0c, hex("41"));
  const strings = "RFC 5280 §4.1.2.4";
  return certificateTable([
    [PROFILE, "teletex-string", "a name's part as a TeletexString", strings, typed(0x14, "Fake")],
    [PROFILE, "bmp-string", "a name's part as a BMPString", strings, typed(0x1e, hex("00460061"))],
    [
      PROFILE,
      "universal-string",
      "a name's part as a UniversalString",
      strings,
      typed(0x1c, hex("00000046")),
    ],
    [PROFILE, "ia5-string", "a name's part as an IA5String", strings, typed(0x16, "Fake")],
    [
      PROFILE,
      "octet-string-name",
      "a name's part as an OCTET STRING",
      strings,
      typed(0x04, "Fake"),
    ],
    [
      PROFILE,
      "two-attributes-in-a-part",
      "organization and common name in one part of the name",
      "PROTOCOL 3",
      subject(tlv(0x31, inner(OID.commonName, text), inner(OID.organization, text)), commonName),
    ],
    [
      PROFILE,
      "common-name-in-a-part-of-two",
      "the right common name in one part with another",
      "PROTOCOL 3",
      subject(
        tlv(
          0x31,
          inner(OID.commonName, text),
          inner(OID.commonName, tlv(0x0c, encodeUtf8(`${MODULE_ID}.fake-1.aws`))),
        ),
      ),
    ],
    [
      DER,
      "empty-part",
      "a part of the name without attributes",
      strings,
      subject(tlv(0x31), commonName),
    ],
    [
      DER,
      "attribute-without-value",
      "an attribute without a value",
      strings,
      subject(tlv(0x31, tlv(0x30, tlv(0x06, OID.organization))), commonName),
    ],
    [
      DER,
      "attribute-with-two-values",
      "an attribute with two values",
      strings,
      subject(tlv(0x31, tlv(0x30, tlv(0x06, OID.organization), text, text)), commonName),
    ],
    [DER, "name-not-utf-8", "a UTF8String that is none", strings, typed(0x0c, hex("ff"))],
    [
      DER,
      "name-overlong-utf-8",
      "a UTF8String in an overlong form",
      strings,
      typed(0x0c, hex("c0af")),
    ],
    [
      DER,
      "printable-string-at-sign",
      "a PrintableString with an @",
      "X.680 §41.4",
      typed(0x13, "a@b"),
    ],
    [
      DER,
      "printable-string-underscore",
      "a PrintableString with an underscore",
      "X.680 §41.4",
      typed(0x13, "a_b"),
    ],
    [
      DER,
      "printable-string-not-ascii",
      "a PrintableString with an umlaut",
      "X.680 §41.4",
      typed(0x13, "ä"),
    ],
    [
      DER,
      "oid-padded",
      "an object identifier with a padded number",
      "X.690 §8.19.2",
      subject(attribute(hex("55048003"), "Fake"), commonName),
    ],
    [
      DER,
      "oid-cut",
      "an object identifier that ends within a number",
      "X.690 §8.19.2",
      subject(attribute(hex("550483"), "Fake"), commonName),
    ],
    [
      DER,
      "oid-empty",
      "an object identifier of no bytes",
      "X.690 §8.19",
      subject(attribute(new Uint8Array(), "Fake"), commonName),
    ],
    [
      PROFILE,
      "name-of-17-parts",
      "a name of 17 parts",
      "PROTOCOL 13",
      subject(...Array.from({ length: 16 }, () => attribute(unit, "A")), commonName),
    ],
    [
      null,
      "name-of-16-parts",
      "a name of 16 parts",
      "PROTOCOL 13",
      subject(...Array.from({ length: 15 }, () => attribute(unit, "A")), commonName),
    ],
    [PROFILE, "name-empty-value", "a name's part of no characters", strings, typed(0x0c, "")],
  ]);
}
