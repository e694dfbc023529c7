/** The targets by name. Nothing of them is loaded here: only a worker does, once it counts. */

interface Entry {
  /** The module, a `TargetModule`. */
  readonly module: string;
  /** Parts of the time. */
  readonly share: number;
}

const entry = (file: string, share: number): Entry => ({
  module: new URL(`targets/${file}`, import.meta.url).href,
  share,
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
} as const satisfies Record<string, Entry>;

export type TargetName = keyof typeof TARGETS;
