/** Where we and another CBOR decoder read an item differently, and why that is right. */
import type { Rule } from "./ledger.ts";

/** What our profile leaves out (PROTOCOL.md 2), whatever a general decoder makes of it. */
const OUT_OF_PROFILE: readonly Rule[] = [
  {
    ours: /^cbor\/too-(?:deep|large): /u,
    oracle: "accepts",
    reason: "limits of size, depth and number are ours",
    clause: "PROTOCOL 13",
  },
  {
    ours: /^cbor\/key-type: /u,
    oracle: "accepts",
    reason: "a map's keys are integers or text; both oracles take any item",
    clause: "PROTOCOL 2; RFC 8949 §3.1 leaves it open",
  },
  {
    ours: /^cbor\/key-order: /u,
    oracle: "accepts",
    reason: "in a deterministic map the keys are sorted; both oracles take any order",
    clause: "RFC 8949 §4.2.1",
  },
  {
    ours: /^cbor\/utf8: /u,
    oracle: "accepts",
    reason:
      "text is well-formed UTF-8; both oracles put U+FFFD, or a lone surrogate, for what is not",
    clause: "RFC 8949 §3.1, §5.3.1",
  },
];

export const CBORG_RULES: readonly Rule[] = [
  ...OUT_OF_PROFILE,
  {
    ours: "accepts",
    oracle: /^reads "[^\uFEFF]*" for "\uFEFF|: found repeat map key/u,
    of: /, with U\+FEFF/u,
    reason: "U+FEFF at the beginning of a text is a character of it; cborg's reader drops it",
    clause: "RFC 8949 §3.1, RFC 3629 §6",
  },
  {
    ours: /^cbor\/indefinite: /u,
    oracle: "accepts",
    reason: "only the outermost map may have indefinite length; cborg allows it to all or to none",
    clause: "PROTOCOL 2",
  },
  {
    ours: /^cbor\/unsupported: major type 7, value 2[567]$/u,
    oracle: "accepts",
    reason: "no structure here has floating-point numbers; cborg takes those that are finite",
    clause: "PROTOCOL 2",
  },
  {
    ours: /^cbor\/unsupported: major type 7, value 31$/u,
    oracle: "accepts",
    reason: "a break ends an item of indefinite length only; cborg takes one for a map's value",
    clause: "RFC 8949 §3.2.1, Appendix F",
  },
  {
    ours: /^cbor\/unsupported: tag above 2\^53$/u,
    oracle: "accepts",
    reason: "a tag that no JavaScript number holds is none that we know",
    clause: "PROTOCOL 2",
  },
];

export const CBOR_X_RULES: readonly Rule[] = [
  ...OUT_OF_PROFILE,
  {
    ours: "accepts",
    oracle: /^reads a meaning into tag \d+ at /u,
    reason:
      "cbor-x makes dates, sets and more of tags; we keep the tag, and the layer above decides",
    clause: "RFC 8949 §3.4",
  },
  {
    ours: "accepts",
    oracle: /^(?!Unexpected end|Data read|reads )/u,
    of: /, tagged/u,
    reason:
      "cbor-x trips over a tag whose content is not what it expects, or whose number is above 2^32",
    clause: "RFC 8949 §3.4",
  },
  {
    ours: /^cbor\/non-minimal: /u,
    oracle: "accepts",
    reason: "heads are in their shortest form; cbor-x takes any",
    clause: "RFC 8949 §4.2.1",
  },
  {
    ours: /^cbor\/indefinite: /u,
    oracle: "accepts",
    reason: "lengths are definite but for a vendor's outermost map; cbor-x takes both",
    clause: "RFC 8949 §4.2.1",
  },
  {
    ours: /^cbor\/duplicate-key: /u,
    oracle: "accepts",
    reason: "a key comes once; cbor-x keeps the last of several",
    clause: "RFC 8949 §5.6",
  },
  {
    ours: /^cbor\/unsupported: major type 7, value (?:2[3-7]|31)$/u,
    oracle: "accepts",
    reason:
      "no structure here has undefined, floats, a break or `false` in two bytes; cbor-x takes them",
    clause: "PROTOCOL 2; RFC 8949 §3.3",
  },
];
