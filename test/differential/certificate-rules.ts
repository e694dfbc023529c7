/** Where we and node:crypto read a certificate differently, and why that is right. */
import type { Rule } from "./ledger.ts";

export const CERTIFICATE_RULES: readonly Rule[] = [
  {
    ours: "accepts",
    oracle: /^reads authority false for true$/u,
    reason:
      "of extensions that are not critical we ask for well-formed DER at most; to OpenSSL a " +
      "certificate with one of a wrong type is invalid, and so no authority",
    clause: "RFC 5280 §4.2",
  },
  {
    ours: /^certificate\/der: (?:length is not minimal|length of|indefinite length|tag of more)/u,
    oracle: "accepts",
    reason: "lengths are definite and in their shortest form; OpenSSL reads BER",
    clause: "X.690 §10.1",
  },
  {
    ours: /^certificate\/der: (?:tag \d+(?:, want|$)|bytes after|input ends|\d+ bytes wanted|nested)/u,
    oracle: "accepts",
    reason:
      "every part is there and nothing more; OpenSSL has optional parts that we have not, and " +
      "opens names and extensions when asked",
    clause: "RFC 5280 §4.1",
  },
  {
    ours: /^certificate\/der: (?:.*INTEGER|BOOLEAN|.*BIT STRING|named bits|default value|OBJECT|.*PrintableString|part of a name)/u,
    oracle: "accepts",
    reason: "contents have their one DER form; OpenSSL takes others where it makes sense of them",
    clause: "X.690 §8, §11",
  },
  {
    ours: /^certificate\/der: (?:time format|no such time|not a time|GeneralizedTime)/u,
    oracle: "accepts",
    reason: "times have the one form of RFC 5280; OpenSSL takes others, and what is none as NaN",
    clause: "RFC 5280 §4.1.2.5",
  },
  {
    ours: /^certificate\/(?:profile|key): /u,
    oracle: "accepts",
    reason: "our profile is AWS's: one algorithm, one curve, version 3, plain names, small serials",
    clause: "PROTOCOL 3",
  },
  {
    ours: /^chain\/extension: /u,
    oracle: "accepts",
    reason: "what a chain needs of extensions we ask when parsing; OpenSSL when verifying",
    clause: "RFC 5280 §4.2",
  },
];

export const ISSUER_RULES: readonly Rule[] = [
  {
    ours: "accepts",
    oracle: /^not issued$/u,
    of: /authority key identifier of another tag|^identifiers: of another key|^accepted\/authority-crl-points-8-deep/u,
    reason:
      "key identifiers and distribution points serve to search; ours is given, and its key decides",
    clause: "RFC 5280 §4.2.1.1, §4.2.1.13",
  },
  {
    ours: /^other name$/u,
    oracle: "accepts",
    of: /^names: issuer (?:in|with) |^chain\/issuer-(?:other-case|with-space|other-string-type),/u,
    reason: "names are compared byte for byte: no case, no spaces, no types are made equal",
    clause: "PROTOCOL 3; RFC 5280 §7.1 would",
  },
];
