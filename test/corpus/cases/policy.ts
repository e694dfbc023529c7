/** Policy files: what is one, and where the mistake is in what is none. PROTOCOL 9. */
import { AWS_NITRO_ROOT, encodeHex, encodeUtf8 } from "@countersign/attestation";
import type { PolicyFile } from "../../fakes/attester.ts";
import { certificatePem, selfSigned } from "../../fakes/x509.ts";
import type { Case } from "../case.ts";
import {
  measurement,
  type PolicyChange,
  policyText,
  simulated,
  X25519_SUITE,
} from "../node-policies.ts";
import { DIGITS, enclave, NOW_MS, random } from "../node.ts";
import {
  DIGEST,
  inLab,
  MAX_LIST,
  MAX_ROOTS,
  MAX_TEXT,
  REGISTER,
  set,
  SUITE,
  without,
  ZERO,
} from "../policy-mistake.ts";
import type { Outcome } from "../vector.ts";
import {
  certificateMistakes,
  measurementMistakes,
  platformMistakes,
  rootMistakes,
} from "./policy-platforms.ts";
import {
  contradictions,
  expiryMistakes,
  freshnessMistakes,
  modelMistakes,
  revocationMistakes,
  suiteMistakes,
  wholeMistakes,
} from "./policy-rules.ts";
import { textMistakes } from "./policy-text.ts";

export /** What is unusual and no mistake. */
type Oddity = readonly [name: string, what: string, change: PolicyChange];

export function policyCases(): Promise<readonly Case[]> {
  const mistakes = [
    ...wholeMistakes(),
    ...expiryMistakes(),
    ...platformMistakes(),
    ...rootMistakes(),
    ...certificateMistakes(),
    ...measurementMistakes(),
    ...modelMistakes(),
    ...freshnessMistakes(),
    ...suiteMistakes(),
    ...revocationMistakes(),
    ...contradictions(),
  ];
  return Promise.resolve([
    ...oddities().map(([name, what, change]) => accepted(name, what, policyText(change))),
    ...textMistakes().map(([pointer, name, what, text]) =>
      refused(pointer, name, what, text, "RFC 8259"),
    ),
    ...goodTexts(),
    ...mistakes.map(([pointer, name, what, change]) =>
      refused(pointer, name, what, policyText(change), "PROTOCOL 9"),
    ),
  ]);
}

function accepted(name: string, what: string, text: string, clause = "PROTOCOL 9"): Case {
  return policyCase(`accepted/policy-${name}`, what, clause, text, null, null);
}

function refused(pointer: string, name: string, what: string, text: string, clause: string): Case {
  return policyCase(`policy/${name}`, what, clause, text, "policy/syntax", pointer);
}

function policyCase(
  name: string,
  what: string,
  clause: string,
  text: string,
  code: string | null,
  pointer: string | null,
): Case {
  const outcome: Outcome = {
    result: code === null ? "verified" : "rejected",
    code,
    check: null,
    failure: null,
    skipped: [],
    pointer,
  };
  const judged = { policy: null, mode: "live", nowMs: NOW_MS, nonce: null } as const;
  return {
    name,
    expected: { what, clause, subject: "policy", ...judged, outcome },
    files: new Map([["policy.json", encodeUtf8(text)]]),
  };
}

/** Policies that a reader who guesses might refuse. */
function oddities(): readonly Oddity[] {
  const many = Array.from({ length: MAX_ROOTS }, () => selfSigned(random, NOW_MS));
  const digests = Array.from({ length: MAX_LIST }, () => encodeHex(random(32)));
  const aws = encodeHex(AWS_NITRO_ROOT.sha256);
  const upper = encodeHex(enclave().rootSha256).toUpperCase();
  return [
    ["file", "nothing: the policy that most vectors are judged by", () => undefined],
    ["expires-with-fraction", "a fraction of a second", set("expires", "2027-06-30T00:00:00.5Z")],
    [
      "expires-to-the-millisecond",
      "three digits of a fraction",
      set("expires", "2027-06-30T00:00:00.125Z"),
    ],
    ["expires-on-a-leap-day", "29 February of a leap year", set("expires", "2028-02-29T23:59:59Z")],
    [
      "expires-in-1970",
      "a time long past: whether it has expired is judged elsewhere",
      set("expires", "1970-01-01T00:00:00Z"),
    ],
    [
      "expires-in-9999",
      "the last second that can be written",
      set("expires", "9999-12-31T23:59:59Z"),
    ],
    ["keys-in-another-order", "all members backwards", backwards],
    ["roots-upper-case", "a digest in capitals", inLab("roots", [upper])],
    [
      "roots-built-in",
      "AWS's root, whose certificate comes with the verifier",
      (file) => {
        file.platforms = {
          "aws-nitro": { roots: [aws], measurements: [measurement("a")], debug: false },
        };
      },
    ],
    [
      "roots-built-in-and-given",
      "AWS's root with its certificate",
      (file) => {
        file.platforms["aws-nitro"] = {
          roots: [aws],
          rootCertificates: [certificatePem(AWS_NITRO_ROOT.der)],
          measurements: "unchecked",
          debug: false,
        };
      },
    ],
    [
      "roots-16",
      "as many roots as may be",
      (file) => {
        simulated(file)["roots"] = many.map(({ sha256 }) => encodeHex(sha256));
        simulated(file)["rootCertificates"] = many.map(({ pem }) => pem).toReversed();
      },
    ],
    [
      "certificate-with-crlf",
      "a certificate with line ends of two characters",
      inLab("rootCertificates", [enclave().rootPem.replaceAll("\n", "\r\n")]),
    ],
    [
      "certificate-without-last-line-end",
      "a certificate whose last line has no end",
      inLab("rootCertificates", [enclave().rootPem.trimEnd()]),
    ],
    [
      "measurement-with-all-registers",
      "a measurement of 32 registers",
      inLab("measurements", [
        measurement(
          "a",
          Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`pcr${i}`, REGISTER])),
        ),
      ]),
    ],
    [
      "measurement-name-of-128",
      "a name of 128 characters",
      inLab("measurements", [measurement("x".repeat(128))]),
    ],
    [
      "measurement-name-of-all-characters",
      "a name of the first and the last character",
      inLab("measurements", [measurement("!~")]),
    ],
    [
      "measurement-of-debug",
      "registers of zero, where debug is true",
      (file) => {
        simulated(file)["debug"] = true;
        simulated(file)["measurements"] = [
          measurement("debug", { pcr0: ZERO, pcr1: ZERO, pcr2: ZERO }),
        ];
      },
    ],
    [
      "measurements-unchecked",
      "the word that switches measurements off",
      inLab("measurements", "unchecked"),
    ],
    ["models-any", "the word that allows any model", set("models", "any")],
    [
      "models-one-id-two-digests",
      "two versions of a model",
      set("models", [
        { id: "a", digest: DIGEST },
        { id: "a", digest: "cd".repeat(32) },
      ]),
    ],
    [
      "models-one-digest-two-ids",
      "one model under two ids",
      set("models", [
        { id: "a", digest: DIGEST },
        { id: "b", digest: DIGEST },
      ]),
    ],
    ["freshness-unchecked", "the word that switches freshness off", set("freshness", "unchecked")],
    [
      "freshness-least",
      "the least age and no skew",
      set("freshness", { maxAgeSeconds: 1, skewSeconds: 0, challenge: "optional" }),
    ],
    [
      "freshness-greatest",
      "the greatest age and skew",
      set("freshness", { maxAgeSeconds: 604_800, skewSeconds: 3600, challenge: "required" }),
    ],
    ["suites-both", "both suites", set("suites", [X25519_SUITE, SUITE])],
    [
      "revoked-1024",
      "as many revoked keysets as may be",
      set("revoked", { measurements: [], models: [], keysets: digests }),
    ],
    [
      "revoked-where-any-is-allowed",
      "revocations beside the words that allow anything",
      (file) => {
        simulated(file)["measurements"] = "unchecked";
        file.models = "any";
        file.revoked = {
          measurements: [REGISTER],
          models: [encodeHex(DIGITS.digest)],
          keysets: [],
        };
      },
    ],
    [
      "revoked-value-in-another-register",
      "a revoked value in PCR8, which revocation does not look at",
      (file) => {
        simulated(file)["measurements"] = [measurement("a", { pcr8: REGISTER })];
        file.revoked["measurements"] = [REGISTER];
      },
    ],
  ];
}

/** Deletes each member and sets it again, the last first. */
function backwards(file: PolicyFile): void {
  for (const [key, value] of Object.entries(file).toReversed()) {
    without(key)(file);
    set(key, value)(file);
  }
}

/** The same policy in another spelling. */
function goodTexts(): readonly Case[] {
  const text = policyText("node");
  const compact = JSON.stringify(JSON.parse(text));
  const escaped = compact.replace('"debug"', '"\\u0064\\u0065bug"');
  return [
    accepted("compact", "no white space", compact, "RFC 8259 §2"),
    accepted("escaped-key", "a key in escapes", escaped, "RFC 8259 §7"),
    accepted(
      "white-space-around",
      "white space of all four kinds",
      `\r\n\t ${text}\t\r\n `,
      "RFC 8259 §2",
    ),
    accepted(
      "of-1048576-characters",
      "as many characters as may be",
      text.padEnd(MAX_TEXT),
      "PROTOCOL 13",
    ),
  ];
}
