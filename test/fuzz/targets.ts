/** The targets by name. Nothing of them is loaded here: only a worker does, once it counts. */

interface Entry {
  /** The module, a `TargetModule`. */
  readonly module: string;
  /** Parts of the time. */
  readonly share: number;
  /** Coverage guides by modules whose URL begins so: what is judged alone, not the fuzzer's own code. */
  readonly covered: string;
}

const VERIFIER = "attestation/";

const entry = (file: string, share: number, covered: string = VERIFIER): Entry => ({
  module: new URL(`targets/${file}`, import.meta.url).href,
  share,
  covered: new URL(`../../${covered}`, import.meta.url).href,
});

/** Signatures make an execution slow, so what verifies them gets more of the time. */
export const TARGETS = {
  document: entry("document.ts", 4),
  bundle: entry("bundle.ts", 3),
  proof: entry("proof.ts", 3),
  receipt: entry("receipt.ts", 1),
  certificate: entry("certificate.ts", 2),
  cbor: entry("cbor.ts", 1),
  policy: entry("policy.ts", 1),
  cms: entry("cms.ts", 1, "enclave/keys/cms.ts"),
} as const satisfies Record<string, Entry>;

export type TargetName = keyof typeof TARGETS;
