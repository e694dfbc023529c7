/**
 * Where we and OpenSSL judge a certificate chain differently, and why that is right.
 *
 * Missing key identifiers (85, 86) are not here: chain-opinions.ts sets them aside.
 */
import type { Rule } from "./ledger.ts";

/** Only we accept: each of these has to be harmless. */
const WE_ACCEPT: readonly Rule[] = [
  {
    ours: "accepts",
    oracle: /^10 at \d: certificate has expired$/u,
    of: /, at its last second$/u,
    reason: "the last second is part of the validity; OpenSSL ends it one second earlier",
    clause: "RFC 5280 §4.1.2.5",
  },
  {
    ours: "accepts",
    oracle: /^7 at \d: certificate signature failure$/u,
    of: /^root: signature of another key$|^accepted\/root-with-wrong-signature$/u,
    reason: "a root is trusted for its pinned digest; its signature of itself says nothing",
    clause: "RFC 5280 §6.1",
  },
  {
    ours: "accepts",
    oracle: /^7 at \d: certificate signature failure$/u,
    of: /^names: self-issued intermediate of another key$|^accepted\/self-issued$/u,
    reason: "of two authorities of one name OpenSSL takes the trusted one; ours come in order",
    clause: "RFC 5280 §6.1, §4.2.1.1",
  },
  {
    ours: "accepts",
    oracle: /^20 at \d: unable to get local issuer certificate$/u,
    of: /authority key identifier of another tag|^identifiers: of another key|^accepted\/authority-crl-points-8-deep/u,
    reason:
      "key identifiers and distribution points serve to search, and OpenSSL gives up an issuer in " +
      "which one is of a wrong type; ours is given, and each link is held to name and signature",
    clause: "RFC 5280 §4.2.1.1, §4.2.1.13, §6.1",
  },
  {
    ours: "accepts",
    oracle: /^87 at \d: Empty Subject Alternative Name extension$/u,
    reason: "alternative names that are not critical are ignored, so that empty ones name nobody",
    clause: "RFC 5280 §4.2, §4.2.1.6",
  },
];

/** Only we refuse: our form of a certificate is narrower. */
const NARROWER: readonly Rule[] = [
  {
    ours: /^certificate\/der: (?:length is not minimal|length of|indefinite length|tag of more|tag 35)/u,
    oracle: "accepts",
    reason: "tags and lengths have their one DER form; OpenSSL reads BER",
    clause: "X.690 §10",
  },
  {
    ours: /^certificate\/der: (?:bytes after the last element|input ends early)$/u,
    oracle: "accepts",
    reason: "nothing is missing and nothing follows; OpenSSL reads the beginning of an extension",
    clause: "RFC 5280 §4.1, X.690 §10",
  },
  {
    ours: /^certificate\/der: (?:BOOLEAN|named bits are not minimal|default value)/u,
    oracle: "accepts",
    reason: "contents have their one DER form",
    clause: "X.690 §11",
  },
  {
    ours: /^certificate\/profile: GeneralizedTime before 2050$/u,
    oracle: "accepts",
    reason: "a year before 2050 is written as UTCTime",
    clause: "RFC 5280 §4.1.2.5",
  },
  {
    ours: /^certificate\/der: character that no PrintableString has$/u,
    oracle: "accepts",
    reason: "a PrintableString has letters, digits and eleven other characters",
    clause: "X.680 §41.4",
  },
  {
    ours: /^certificate\/profile: (?:serial (?:is zero|of \d+ bytes)|negative INTEGER)$/u,
    oracle: "accepts",
    reason: "a serial number is positive and has at most 20 bytes",
    clause: "RFC 5280 §4.1.2.2",
  },
  {
    ours: /^certificate\/profile: signature algorithm is not ecdsa-with-SHA384$/u,
    oracle: "accepts",
    of: /NULL|null-parameters/u,
    reason: "the algorithm's parameters are absent; OpenSSL reads its identifier only",
    clause: "RFC 5758 §3.2",
  },
  {
    ours: /^certificate\/profile: unique identifier$/u,
    oracle: "accepts",
    reason: "unique identifiers must not be written; OpenSSL reads over them",
    clause: "RFC 5280 §4.1.2.8",
  },
  {
    ours: /^certificate\/profile: (?:(?:empty )?part of a name|name of more than|type of a name's part)/u,
    oracle: "accepts",
    reason:
      "a name has few parts of one attribute each, not empty, in PrintableString or UTF8String",
    clause: "PROTOCOL 3; RFC 5280 §4.1.2.4",
  },
  {
    ours: /^certificate\/key: /u,
    oracle: "accepts",
    reason: "a key is an uncompressed point; OpenSSL takes other forms, and of the leaf any",
    clause: "PROTOCOL 3; RFC 5480 §2.2 leaves it open",
  },
];

/** Only we refuse: what we ask of extensions, of roles and of the bundle. */
const STRICTER: readonly Rule[] = [
  {
    ours: /^chain\/extension: extension 551d(?:1e|21|24|36), which we do not process$/u,
    oracle: "accepts",
    reason:
      "name and policy constraints narrow what a chain may do: one who does not keep to them must " +
      "not read over them, critical or not",
    clause: "RFC 5280 §4.2.1.5, §4.2.1.10, §4.2.1.11, §4.2.1.14",
  },
  {
    ours: /^chain\/extension: key usage that RFC 5280 does not know$/u,
    oracle: "accepts",
    reason: "nine usages are defined; OpenSSL reads the bits that it knows",
    clause: "RFC 5280 §4.2.1.3",
  },
  {
    ours: /^chain\/extension: (?:path length above 255|more than 16 extensions)$/u,
    oracle: "accepts",
    reason: "limits are ours: no chain is as long, and no certificate of AWS's has as many",
    clause: "PROTOCOL 13",
  },
  {
    ours: /^chain\/extension: (?:an authority's key usage is|basic constraints are) not critical$/u,
    oracle: "accepts",
    reason: "AWS marks both critical, but for the leaf's key usage",
    clause: "RFC 5280 §4.2.1.3, §4.2.1.9",
  },
  {
    ours: /^chain\/extension: critical extension /u,
    oracle: "accepts",
    reason: "we process no names, policies, purposes or lists, so that they may not be critical",
    clause: "RFC 5280 §4.2",
  },
  {
    ours: /^chain\/extension: extension [0-9a-f]+ twice$/u,
    oracle: "accepts",
    reason: "no extension comes twice; OpenSSL looks only for the second of one that it knows",
    clause: "RFC 5280 §4.2",
  },
  {
    ours: /^chain\/extension: no (?:basic constraints|key usage|extensions)$/u,
    oracle: "accepts",
    of: /leaf/u,
    reason: "AWS's leaves say that they are leaves and what they are for; OpenSSL takes silence",
    clause: "PROTOCOL 3",
  },
  {
    ours: /^chain\/constraints: leaf (?:is an authority|may not sign|may sign certificates):/u,
    oracle: "accepts",
    reason:
      "the leaf signs documents and nothing else; for OpenSSL's purpose `any` it may be anything",
    clause: "PROTOCOL 3",
  },
  {
    ours: /^evidence\/module-id: /u,
    oracle: "accepts",
    reason: "the leaf is issued to the module that the document names, which is no matter of X.509",
    clause: "AWS Nitro Enclaves attestation process §3.2.3",
  },
  {
    ours: /^chain\/root: /u,
    oracle: "accepts",
    reason: "the bundle begins with the pinned root itself; OpenSSL has it from elsewhere",
    clause: "PROTOCOL 3",
  },
  {
    ours: /^(?:chain\/(?:name|constraints|length)|certificate\/der): /u,
    oracle: "accepts",
    of: /, not a path$/u,
    reason:
      "the bundle is the path, in order and complete; OpenSSL searches it for one and leaves the rest",
    clause: "AWS Nitro Enclaves attestation process §3.2.3, RFC 5280 §6.1",
  },
  {
    ours: /^chain\/name: /u,
    oracle: "accepts",
    of: /^names: issuer (?:in|with) |^chain\/issuer-(?:other-case|with-space|other-string-type)$/u,
    reason:
      "names are the vendor's own, byte for byte: no case, no spaces, no types are made equal",
    clause: "PROTOCOL 3; RFC 5280 §7.1 would",
  },
];

export const CHAIN_RULES: readonly Rule[] = [...WE_ACCEPT, ...NARROWER, ...STRICTER];
