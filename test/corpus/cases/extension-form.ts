/** What is inside extensions: basic constraints, DER throughout (RFC 5280 §4.2.1, X.690 §11). */
import { concatBytes } from "@countersign/attestation";
import { extension, hex, integer, OID, tlv } from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import {
  BASIC,
  CRL_POINTS,
  casesAt,
  flagged,
  LEAF_BASIC,
  LEAF_USAGE,
  loose,
  UNKNOWN,
  USAGE_BOTH,
} from "../extension-case.ts";

export async function extensionFormCases(): Promise<readonly Case[]> {
  const lists = [constraints, encodings];
  return (await Promise.all(lists.map((list) => list()))).flat();
}

const REFUSED = "chain/extension";

const TRUE = tlv(0x01, hex("ff"));
const FALSE = tlv(0x01, hex("00"));

/** RFC 5280 §4.2.1.9. Whether they fit the place in the chain is in chain.ts. */
function constraints(): Promise<readonly Case[]> {
  const clause = "RFC 5280 §4.2.1.9";
  const basic = (...content: readonly Uint8Array[]): Uint8Array =>
    extension(OID.basicConstraints, true, tlv(0x30, ...content));
  const zero = integer(Uint8Array.of(0));
  return Promise.all([
    ...casesAt("leaf", [
      [
        REFUSED,
        "path-length",
        "pathLen of a certificate that is no authority",
        clause,
        [basic(zero), LEAF_USAGE],
      ],
      [
        "certificate/der",
        "ca-false-written",
        "cA FALSE, written although it is the default",
        "X.690 §11.5",
        [basic(FALSE), LEAF_USAGE],
      ],
      [
        "certificate/der",
        "basic-constraints-null",
        "a NULL in basicConstraints",
        clause,
        [basic(hex("0500")), LEAF_USAGE],
      ],
    ]),
    ...casesAt("authority", [
      [
        "certificate/der",
        "ca-01",
        "cA TRUE as 01",
        "X.690 §11.1",
        [basic(tlv(0x01, hex("01")), zero), USAGE_BOTH],
      ],
      [
        "certificate/der",
        "ca-two-bytes",
        "cA TRUE in two bytes",
        "X.690 §8.2.1",
        [basic(tlv(0x01, hex("ffff")), zero), USAGE_BOTH],
      ],
      [
        REFUSED,
        "path-length-before-ca",
        "pathLen before cA",
        clause,
        [basic(zero, TRUE), USAGE_BOTH],
      ],
      [
        "certificate/der",
        "path-length-padded",
        "pathLen 0 in two bytes",
        "X.690 §8.3.2",
        [basic(TRUE, tlv(0x02, hex("0000"))), USAGE_BOTH],
      ],
      [
        "certificate/profile",
        "path-length-negative",
        "pathLen -1",
        clause,
        [basic(TRUE, tlv(0x02, hex("ff"))), USAGE_BOTH],
      ],
      [
        REFUSED,
        "path-length-256",
        "pathLen 256, whose first byte says 1",
        "PROTOCOL 3",
        [basic(TRUE, integer(hex("0100"))), USAGE_BOTH],
      ],
      [
        null,
        "path-length-255",
        "pathLen 255",
        clause,
        [basic(TRUE, integer(hex("ff"))), USAGE_BOTH],
      ],
      [
        "certificate/der",
        "basic-constraints-more",
        "a third element in basicConstraints",
        clause,
        [basic(TRUE, zero, zero), USAGE_BOTH],
      ],
      [
        "certificate/der",
        "basic-constraints-twice-inside",
        "two SEQUENCEs in one basicConstraints",
        clause,
        [
          extension(OID.basicConstraints, true, concatBytes(tlv(0x30, TRUE, zero), tlv(0x30))),
          USAGE_BOTH,
        ],
      ],
    ]),
  ]);
}

function encodings(): Promise<readonly Case[]> {
  const der = "certificate/der";
  const leaf = (...more: readonly Uint8Array[]): readonly Uint8Array[] => [
    LEAF_BASIC,
    LEAF_USAGE,
    ...more,
  ];
  const authority = (...more: readonly Uint8Array[]): readonly Uint8Array[] => [
    BASIC,
    USAGE_BOTH,
    ...more,
  ];
  return Promise.all([
    ...casesAt("leaf", [
      [
        der,
        "critical-false-written",
        "critical FALSE, written although it is the default",
        "X.690 §11.5",
        leaf(flagged(UNKNOWN, FALSE, hex("0500"))),
      ],
      [
        der,
        "critical-01",
        "critical TRUE as 01",
        "X.690 §11.1",
        [flagged(OID.basicConstraints, tlv(0x01, hex("01")), tlv(0x30)), LEAF_USAGE],
      ],
      [
        der,
        "extension-without-value",
        "an extension without a value",
        "RFC 5280 §4.1",
        leaf(tlv(0x30, tlv(0x06, UNKNOWN))),
      ],
      [
        der,
        "extension-with-two-values",
        "an extension with two values",
        "RFC 5280 §4.1",
        leaf(tlv(0x30, tlv(0x06, UNKNOWN), tlv(0x04), tlv(0x04))),
      ],
      [
        der,
        "extension-value-bit-string",
        "an extension's value as a BIT STRING",
        "RFC 5280 §4.1",
        leaf(tlv(0x30, tlv(0x06, UNKNOWN), tlv(0x03, hex("00")))),
      ],
      [
        der,
        "extension-oid-padded",
        "an extension's identifier with a padded number",
        "X.690 §8.19.2",
        leaf(loose(hex("2a8003"), hex("0500"))),
      ],
      [
        der,
        "extension-oid-empty",
        "an extension's identifier of no bytes",
        "X.690 §8.19",
        leaf(loose(new Uint8Array(), hex("0500"))),
      ],
      [der, "empty-extension", "an extension of nothing", "RFC 5280 §4.1", leaf(tlv(0x30))],
    ]),
    ...casesAt("leaf", [
      [
        null,
        "extension-oid-80-within",
        "an extension's identifier with a number of four bytes, two of them 80",
        "X.690 §8.19.2",
        leaf(loose(hex("81808001"), hex("0500"))),
      ],
    ]),
    ...casesAt("authority", [
      [
        der,
        "key-id-cut",
        "subjectKeyIdentifier that claims a byte too many",
        "RFC 5280 §4.2.1.2",
        authority(loose(OID.subjectKeyIdentifier, hex("0402aa"))),
      ],
      [
        der,
        "key-id-byte-after",
        "a zero byte after the subjectKeyIdentifier",
        "RFC 5280 §4.2.1.2",
        authority(loose(OID.subjectKeyIdentifier, hex("0401aa00"))),
      ],
      [
        der,
        "authority-key-id-cut",
        "authorityKeyIdentifier that claims a byte too many",
        "RFC 5280 §4.2.1.1",
        authority(loose(OID.authorityKeyIdentifier, hex("30038002aa"))),
      ],
      [
        der,
        "crl-points-cut",
        "cRLDistributionPoints whose URI claims a byte too many",
        "RFC 5280 §4.2.1.13",
        authority(loose(OID.crlDistributionPoints, hex("30093007a005a003860261"))),
      ],
      [
        der,
        "crl-points-long-length",
        "cRLDistributionPoints with a length that is not minimal",
        "X.690 §10.1",
        authority(loose(OID.crlDistributionPoints, concatBytes(hex("3081"), CRL_POINTS.slice(1)))),
      ],
      [
        der,
        "crl-points-indefinite",
        "cRLDistributionPoints of indefinite length",
        "X.690 §10.1",
        authority(
          loose(
            OID.crlDistributionPoints,
            concatBytes(hex("3080"), CRL_POINTS.slice(2), hex("0000")),
          ),
        ),
      ],
      [
        der,
        "authority-key-id-long-tag",
        "authorityKeyIdentifier with tag [1] in two bytes",
        "X.690 §8.1.2.2",
        authority(authorityKeyId(hex("9f0100"))),
      ],
      [
        der,
        "authority-key-id-end-of-contents",
        "end-of-contents in the authorityKeyIdentifier",
        "X.690 §8.1.5",
        authority(authorityKeyId(concatBytes(tlv(0x80, hex("aa")), hex("0000")))),
      ],
      [
        der,
        "authority-key-id-string-in-parts",
        "an OCTET STRING in parts in the authorityKeyIdentifier",
        "X.690 §10.2",
        authority(authorityKeyId(tlv(0x24, tlv(0x04, hex("aa"))))),
      ],
      [
        der,
        "authority-key-id-primitive-sequence",
        "a SEQUENCE without the bit that says constructed in the authorityKeyIdentifier",
        "X.690 §8.9.1",
        authority(authorityKeyId(tlv(0x10, tlv(0x04, hex("aa"))))),
      ],
      [
        der,
        "authority-key-id-boolean-01",
        "BOOLEAN TRUE as 01 in the authorityKeyIdentifier",
        "X.690 §11.1",
        authority(authorityKeyId(tlv(0x01, hex("01")))),
      ],
      [
        der,
        "authority-key-id-integer-padded",
        "a padded INTEGER in the authorityKeyIdentifier",
        "X.690 §8.3.2",
        authority(authorityKeyId(tlv(0x02, hex("0001")))),
      ],
      [
        der,
        "crl-points-9-deep",
        "cRLDistributionPoints with ten SEQUENCEs, one in the other",
        "PROTOCOL 13",
        authority(loose(OID.crlDistributionPoints, nested(10))),
      ],
      [
        null,
        "crl-points-8-deep",
        "cRLDistributionPoints with nine SEQUENCEs, one in the other",
        "PROTOCOL 13",
        authority(loose(OID.crlDistributionPoints, nested(9))),
      ],
      [
        der,
        "crl-points-byte-after",
        "a zero byte after the cRLDistributionPoints",
        "RFC 5280 §4.2",
        authority(loose(OID.crlDistributionPoints, concatBytes(CRL_POINTS, hex("00")))),
      ],
    ]),
  ]);
}

/** RFC 5280 §4.2.1.1: an authorityKeyIdentifier with this content. */
function authorityKeyId(content: Uint8Array): Uint8Array {
  return loose(OID.authorityKeyIdentifier, tlv(0x30, content));
}

/** That many SEQUENCEs around one element. */
function nested(count: number): Uint8Array {
  return count === 0 ? tlv(0x80, hex("aa")) : tlv(0x30, nested(count - 1));
}
