/** The policy files of the document vectors, few and shared. */
import { AWS_NITRO_ROOT, encodeHex, encodeUtf8, webHashes } from "@countersign/attestation";
import { certificatePem } from "../fakes/x509.ts";
import { FAKE_NOW_MS } from "../fakes/nitro.ts";
import { register, usualChain } from "./lab.ts";
import { labRoot, PINNED_ROOTS } from "./lab-roots.ts";

export type PolicyName =
  /**
   * The lab's root, as if AWS owned it; its measurements, two hours of age: what most vectors are
   * judged by. No policy of anybody's may say so, and nobody has the keys.
   */
  | "lab"
  /** The same, and only answers to a challenge. */
  | "challenge"
  /** Debug enclaves too. */
  | "debug"
  /** No measurement, no freshness: off by the policy's own words. */
  | "unchecked"
  /** Roots of the lab's name and key with something wrong about them. */
  | "roots"
  /** The lab's root for simulations, and not for hardware. */
  | "simulated"
  /** AWS's root alone. */
  | "aws";

/** `maxAgeSeconds` and `skewSeconds` of every policy that checks freshness. */
export const MAX_AGE_MS = 7_200_000;
export const SKEW_MS = 60_000;
/** `expires` of every policy. */
export const EXPIRES_MS: number = FAKE_NOW_MS + 3 * 365 * 86_400_000;
/** The fill of a register that "lab" revokes, and that no measurement has. */
export const REVOKED_FILL = 0x0b;
/** A keyset digest that "lab" revokes. */
export const REVOKED_KEYSET: Uint8Array = new Uint8Array(32).fill(0x0c);

const hexRegister = (fill: number): string => encodeHex(register(fill));
const code = (name: string, ...fills: readonly [number, number, number]): object => ({
  name,
  pcr0: hexRegister(fills[0]),
  pcr1: hexRegister(fills[1]),
  pcr2: hexRegister(fills[2]),
});
/** The second names PCR4 too; the third is of another image, so that lists are walked to the end. */
const MEASUREMENTS: readonly object[] = [
  code("other-build", 7, 8, 9),
  { ...code("signed-build", 4, 5, 6), pcr4: hexRegister(0x44) },
  code("test-build", 1, 2, 3),
];
const FRESHNESS = {
  maxAgeSeconds: MAX_AGE_MS / 1000,
  skewSeconds: SKEW_MS / 1000,
  challenge: "optional",
};

/** The name a vector gives the file. */
export function policyPath(name: PolicyName): string {
  return `../../policies/${name}.json`;
}

const written = new Map<PolicyName, Promise<Uint8Array>>();

/** The file's bytes, the same throughout a run. */
export function policyFile(name: PolicyName): Promise<Uint8Array> {
  const known = written.get(name) ?? write(name);
  written.set(name, known);
  return known;
}

async function write(name: PolicyName): Promise<Uint8Array> {
  const policy = {
    version: 1,
    expires: new Date(EXPIRES_MS).toISOString(),
    platforms: await platforms(name),
    models: "any",
    freshness:
      name === "unchecked"
        ? "unchecked"
        : { ...FRESHNESS, challenge: name === "challenge" ? "required" : "optional" },
    suites: ["MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"],
    revoked: {
      measurements: [hexRegister(REVOKED_FILL)],
      models: [],
      keysets: [encodeHex(REVOKED_KEYSET)],
    },
  };
  return encodeUtf8(`${JSON.stringify(policy, null, 2)}\n`);
}

async function platforms(name: PolicyName): Promise<object> {
  if (name === "aws") {
    const roots = [encodeHex(AWS_NITRO_ROOT.sha256)];
    return { "aws-nitro": { roots, measurements: "unchecked", debug: false } };
  }
  const [own] = await usualChain();
  const ders = name === "roots" ? await Promise.all(PINNED_ROOTS.map(labRoot)) : [own];
  const digests = await Promise.all(ders.map((der) => webHashes.sha256(der)));
  const debug = name === "debug";
  const debugBuilds = [code("debug-build", 0, 0, 0), code("half-debug-build", 1, 0, 3)];
  return {
    [name === "simulated" ? "simulated" : "aws-nitro"]: {
      roots: digests.map(encodeHex),
      rootCertificates: ders.map(certificatePem),
      measurements:
        name === "unchecked" ? "unchecked" : [...MEASUREMENTS, ...(debug ? debugBuilds : [])],
      debug,
    },
  };
}
