/** The policy files of the vectors of bundles, exchanges and proofs, few and shared. */
import { encodeHex, encodeUtf8 } from "@countersign/attestation";
import { type Attester, createAttester, type PolicyFile } from "../fakes/attester.ts";
import { DIGITS, enclave, IMAGE, NEWER_DIGITS, NOW_MS, random } from "./node.ts";

export type PolicyName =
  /** The vendor's root, the image, both versions of "digits": what most vectors are judged by. */
  | "node"
  /** The same, and only answers to a challenge. */
  | "node-challenge"
  /** The same, in force until 2099: for what is judged long after. */
  | "node-archive"
  /** Image, models and freshness unchecked, by the policy's own words. */
  | "node-unchecked"
  /** Both suites. */
  | "node-x25519"
  /** The vendor's root for `simulated`, another's for `aws-nitro`. */
  | "node-two-vendors";

/** Changes a policy before it is written. */
export type PolicyChange = (file: PolicyFile) => void;

export const MAX_AGE_MS = 7_200_000;
export const SKEW_MS = 60_000;
/** `expires` of every policy but "node-archive". */
export const EXPIRES_MS: number = NOW_MS + 365 * 86_400_000;
export const X25519_SUITE = "X25519/HKDF-SHA256/AES-256-GCM";

const CHANGES: Readonly<Record<PolicyName, PolicyChange>> = {
  node: () => undefined,
  "node-challenge": (file) => {
    file.freshness = { maxAgeSeconds: 7200, skewSeconds: 60, challenge: "required" };
  },
  "node-archive": (file) => {
    file.expires = "2099-01-01T00:00:00Z";
  },
  "node-unchecked": (file) => {
    simulated(file)["measurements"] = "unchecked";
    file.models = "any";
    file.freshness = "unchecked";
  },
  "node-x25519": (file) => {
    file.suites = ["MLKEM768-X25519/HKDF-SHA256/AES-256-GCM", X25519_SUITE];
  },
  "node-two-vendors": (file) => {
    file.platforms["aws-nitro"] = platformOf(otherVendor());
  },
};

let stranger: Attester | null = null;

/** Another vendor, with a root of its own. */
export function otherVendor(): Attester {
  stranger ??= createAttester({ random, nowMs: NOW_MS });
  return stranger;
}

/** The name a vector gives the file. */
export function policyPath(name: PolicyName): string {
  return `../../policies/${name}.json`;
}

/** The text of a shared policy, or of "node" with a change of the vector's own. */
export function policyText(policy: PolicyName | PolicyChange): string {
  const file: PolicyFile = {
    version: 1,
    expires: new Date(EXPIRES_MS).toISOString(),
    platforms: { simulated: platformOf(enclave()) },
    models: [DIGITS, NEWER_DIGITS].map(({ id, digest }) => ({ id, digest: encodeHex(digest) })),
    freshness: { maxAgeSeconds: 7200, skewSeconds: 60, challenge: "optional" },
    suites: ["MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"],
    revoked: { measurements: [], models: [], keysets: [] },
  };
  const change = typeof policy === "string" ? CHANGES[policy] : policy;
  change(file);
  return `${JSON.stringify(file, null, 2)}\n`;
}

export function policyBytes(policy: PolicyName | PolicyChange): Uint8Array {
  return encodeUtf8(policyText(policy));
}

/** A platform's entry: this vendor's root, our image. */
export function platformOf(attester: Attester): Record<string, unknown> {
  return {
    roots: [encodeHex(attester.rootSha256)],
    rootCertificates: [attester.rootPem],
    measurements: [measurement("test-build")],
    debug: false,
  };
}

/** Our image as a measurement, with registers to put in place. */
export function measurement(
  name: string,
  change: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  const registers: Record<string, unknown> = {};
  for (const [index, value] of IMAGE) registers[`pcr${index}`] = encodeHex(value);
  return { name, ...registers, ...change };
}

export function simulated(file: PolicyFile): Record<string, unknown> {
  const platform = file.platforms["simulated"];
  if (platform === undefined) throw new TypeError("a policy without simulated");
  return platform;
}
