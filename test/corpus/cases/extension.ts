/** Which extensions a certificate has, and which are critical (RFC 5280 §4.2). */
import { encodeUtf8 } from "@countersign/attestation";
import {
  basicConstraints,
  extension,
  extensions,
  hex,
  integer,
  keyUsage,
  OID,
  tlv,
  USAGE,
} from "../../fakes/nitro.ts";
import type { Case } from "../case.ts";
import { changedDocument } from "../certificate-case.ts";
import { refused } from "../document-case.ts";
import {
  AUTHORITY_KEY_ID,
  BASIC,
  CRL_POINTS,
  casesAt,
  fillers,
  KEY_ID,
  LEAF_BASIC,
  LEAF_USAGE,
  loose,
  UNKNOWN,
  USAGE_BOTH,
} from "../extension-case.ts";

export async function extensionCases(): Promise<readonly Case[]> {
  const lists = [presence, criticality, narrowing, ignored];
  return (await Promise.all(lists.map((list) => list()))).flat();
}

const REFUSED = "chain/extension";

function presence(): Promise<readonly Case[]> {
  const clause = "RFC 5280 §4.2";
  const unknown = extension(UNKNOWN, false, hex("0500"));
  return Promise.all([
    ...casesAt("leaf", [
      [REFUSED, "without-basic-constraints", "no basicConstraints", "PROTOCOL 3", [LEAF_USAGE]],
      [REFUSED, "without-key-usage", "no keyUsage", "PROTOCOL 3", [LEAF_BASIC]],
      [
        REFUSED,
        "basic-constraints-twice",
        "basicConstraints twice",
        clause,
        [LEAF_BASIC, LEAF_USAGE, LEAF_BASIC],
      ],
      [REFUSED, "key-usage-twice", "keyUsage twice", clause, [LEAF_BASIC, LEAF_USAGE, LEAF_USAGE]],
      [
        REFUSED,
        "unknown-twice",
        "an unknown extension twice",
        clause,
        [LEAF_BASIC, LEAF_USAGE, unknown, unknown],
      ],
      [
        REFUSED,
        "17-extensions",
        "17 extensions",
        "PROTOCOL 13",
        [LEAF_BASIC, LEAF_USAGE, ...fillers(15)],
      ],
      [
        null,
        "16-extensions",
        "16 extensions",
        "PROTOCOL 13",
        [LEAF_BASIC, LEAF_USAGE, ...fillers(14)],
      ],
      [
        null,
        "key-usage-first",
        "keyUsage before basicConstraints",
        clause,
        [LEAF_USAGE, LEAF_BASIC],
      ],
    ]),
    ...casesAt("authority", [
      [
        REFUSED,
        "without-basic-constraints",
        "no basicConstraints",
        "RFC 5280 §6.1.4 (k)",
        [USAGE_BOTH],
      ],
      [REFUSED, "without-key-usage", "no keyUsage", "RFC 5280 §4.2.1.3", [BASIC]],
      [
        REFUSED,
        "two-basic-constraints",
        "basicConstraints twice, of no authority and of one",
        clause,
        [basicConstraints(false, null), USAGE_BOTH, BASIC],
      ],
      [
        REFUSED,
        "two-key-usages",
        "keyUsage twice, without and with keyCertSign",
        clause,
        [BASIC, LEAF_USAGE, USAGE_BOTH],
      ],
    ]),
    refused(
      "chain/extension",
      "leaf-without-extensions",
      "leaf: no extensions at all",
      "PROTOCOL 3",
      changedDocument("leaf", { extensions: new Uint8Array() }),
    ),
    refused(
      "chain/extension",
      "leaf-empty-list-of-extensions",
      "leaf: a list of no extensions",
      "RFC 5280 §4.1",
      changedDocument("leaf", { extensions: extensions() }),
    ),
  ]);
}

function criticality(): Promise<readonly Case[]> {
  const basic = (...content: readonly Uint8Array[]): Uint8Array =>
    loose(OID.basicConstraints, tlv(0x30, ...content));
  const names = tlv(0x30, tlv(0xa0, tlv(0x30, tlv(0x82, encodeUtf8("aws")))));
  const critical = (oid: Uint8Array, value: Uint8Array): Uint8Array => extension(oid, true, value);
  const purposes = tlv(0x30, tlv(0x06, hex("2b06010505070301")));
  return Promise.all([
    ...casesAt("leaf", [
      [
        REFUSED,
        "basic-constraints-not-critical",
        "basicConstraints that are not critical",
        "PROTOCOL 3",
        [basic(), LEAF_USAGE],
      ],
      [
        null,
        "key-usage-not-critical",
        "keyUsage that is not critical, as AWS writes it",
        "PROTOCOL 3",
        [LEAF_BASIC, keyUsage(USAGE.sign, false)],
      ],
      [
        REFUSED,
        "unknown-critical",
        "an unknown critical extension",
        "RFC 5280 §4.2",
        [LEAF_BASIC, LEAF_USAGE, critical(UNKNOWN, hex("0500"))],
      ],
      [
        REFUSED,
        "unknown-critical-first",
        "an unknown critical extension before all others",
        "RFC 5280 §4.2",
        [critical(UNKNOWN, hex("0500")), LEAF_BASIC, LEAF_USAGE],
      ],
      [
        REFUSED,
        "critical-extended-key-usage",
        "critical extendedKeyUsage",
        "RFC 5280 §4.2.1.12",
        [LEAF_BASIC, LEAF_USAGE, critical(OID.extendedKeyUsage, purposes)],
      ],
      [
        REFUSED,
        "critical-crl-points",
        "critical cRLDistributionPoints",
        "RFC 5280 §4.2.1.13",
        [LEAF_BASIC, LEAF_USAGE, critical(OID.crlDistributionPoints, CRL_POINTS)],
      ],
      [
        REFUSED,
        "critical-key-id",
        "critical subjectKeyIdentifier",
        "RFC 5280 §4.2.1.2",
        [LEAF_BASIC, LEAF_USAGE, critical(OID.subjectKeyIdentifier, KEY_ID)],
      ],
    ]),
    ...casesAt("authority", [
      [
        REFUSED,
        "basic-constraints-not-critical",
        "basicConstraints that are not critical",
        "RFC 5280 §4.2.1.9",
        [basic(tlv(0x01, hex("ff")), integer(Uint8Array.of(0))), USAGE_BOTH],
      ],
      [
        REFUSED,
        "key-usage-not-critical",
        "keyUsage that is not critical",
        "RFC 5280 §4.2.1.3",
        [BASIC, keyUsage(USAGE.both, false)],
      ],
      [
        REFUSED,
        "critical-name-constraints",
        "critical nameConstraints",
        "RFC 5280 §4.2.1.10",
        [BASIC, USAGE_BOTH, critical(OID.nameConstraints, names)],
      ],
      [
        REFUSED,
        "critical-policies",
        "critical certificatePolicies",
        "RFC 5280 §4.2.1.4",
        [
          BASIC,
          USAGE_BOTH,
          critical(hex("551d20"), tlv(0x30, tlv(0x30, tlv(0x06, hex("551d2000"))))),
        ],
      ],
      [
        REFUSED,
        "critical-policy-constraints",
        "critical policyConstraints",
        "RFC 5280 §4.2.1.11",
        [BASIC, USAGE_BOTH, critical(hex("551d24"), tlv(0x30, tlv(0x80, hex("00"))))],
      ],
    ]),
  ]);
}

/** What would narrow the chain is refused also where it says that it may be ignored. */
function narrowing(): Promise<readonly Case[]> {
  const zero = hex("00");
  const names = tlv(0x30, tlv(0xa0, tlv(0x30, tlv(0x82, encodeUtf8("aws")))));
  const policy = tlv(0x06, hex("2a03"));
  const rows = [
    ["name-constraints", "nameConstraints", "RFC 5280 §4.2.1.10", "551d1e", names],
    [
      "policy-mappings",
      "policyMappings",
      "RFC 5280 §4.2.1.5",
      "551d21",
      tlv(0x30, tlv(0x30, policy, policy)),
    ],
    [
      "policy-constraints",
      "policyConstraints",
      "RFC 5280 §4.2.1.11",
      "551d24",
      tlv(0x30, tlv(0x80, zero)),
    ],
    ["inhibit-any-policy", "inhibitAnyPolicy", "RFC 5280 §4.2.1.14", "551d36", tlv(0x02, zero)],
  ] as const;
  return Promise.all(
    casesAt(
      "authority",
      rows.map(([name, what, clause, oid, value]) => {
        const words = `${what} that are not critical`;
        return [REFUSED, name, words, clause, [BASIC, USAGE_BOTH, loose(hex(oid), value)]];
      }),
    ),
  );
}

/** What may be there and is not acted on. Nothing is fetched: the host of these URLs does not exist. */
function ignored(): Promise<readonly Case[]> {
  const purposes = tlv(0x30, tlv(0x06, hex("2b06010505070301")));
  const access = tlv(
    0x30,
    tlv(0x30, tlv(0x06, hex("2b06010505073001")), tlv(0x86, encodeUtf8("http://ocsp.example"))),
  );
  return Promise.all([
    ...casesAt("leaf", [
      [
        null,
        "extended-key-usage",
        "extendedKeyUsage that is not critical",
        "RFC 5280 §4.2",
        [LEAF_BASIC, LEAF_USAGE, loose(OID.extendedKeyUsage, purposes)],
      ],
      [
        null,
        "unknown-extension",
        "an unknown extension that is not critical",
        "RFC 5280 §4.2",
        [LEAF_BASIC, LEAF_USAGE, loose(UNKNOWN, hex("0500"))],
      ],
      [
        null,
        "ocsp-address",
        "the address of an OCSP server, which nobody asks",
        "PROTOCOL 3",
        [LEAF_BASIC, LEAF_USAGE, loose(hex("2b06010505070101"), access)],
      ],
    ]),
    ...casesAt("authority", [
      [
        null,
        "crl-points",
        "cRLDistributionPoints, which nobody fetches",
        "PROTOCOL 3",
        [BASIC, USAGE_BOTH, loose(OID.crlDistributionPoints, CRL_POINTS)],
      ],
      [
        null,
        "key-ids",
        "subjectKeyIdentifier and authorityKeyIdentifier, as AWS writes them",
        "RFC 5280 §4.2.1.1",
        [
          BASIC,
          loose(OID.authorityKeyIdentifier, AUTHORITY_KEY_ID),
          loose(OID.subjectKeyIdentifier, KEY_ID),
          USAGE_BOTH,
        ],
      ],
    ]),
  ]);
}
