import { encodeHex, type FailureClass, type Policy, parsePolicy } from "@countersign/attestation";

import { CommandError } from "./exit.ts";
import { readUserFile } from "./files.ts";
import type { HashedModel } from "./models.ts";
import { DEFAULT_POLICY, userPath } from "./paths.ts";
import { describeMistake, readPolicy } from "./policy-mistakes.ts";

/** A policy file as JSON. Only what `policy init` writes; the format has more. */
export interface PolicyFile {
  readonly version: 1;
  readonly expires: string;
  readonly platforms: Readonly<Record<string, PlatformEntry>>;
  readonly models: readonly { readonly id: string; readonly digest: string }[];
  readonly freshness: {
    readonly maxAgeSeconds: number;
    readonly skewSeconds: number;
    readonly challenge: "optional" | "required";
  };
  readonly suites: readonly string[];
  readonly revoked: {
    readonly measurements: readonly string[];
    readonly models: readonly string[];
    readonly keysets: readonly string[];
  };
}

export interface PlatformEntry {
  readonly roots: readonly string[];
  readonly rootCertificates: readonly string[];
  readonly measurements: readonly Readonly<Record<string, string>>[];
  readonly debug: boolean;
}

/** How long a policy of ours holds before somebody has to look at it again. */
const LIFETIME_DAYS = 365;
const MS_PER_DAY = 86_400_000;
/** An epoch is accepted for two hours. */
const MAX_AGE_SECONDS = 7200;
const SKEW_SECONDS = 60;
const SUITE = "MLKEM768-X25519/HKDF-SHA256/AES-256-GCM";

/** A policy by which nothing can be judged. It is no fault of what was to be judged. */
export class PolicyError extends CommandError {
  readonly failure: Extract<FailureClass, "unreachable" | "malformed">;

  constructor(failure: PolicyError["failure"], message: string, fix: string) {
    super(message, fix);
    this.failure = failure;
  }
}

/** What to do about a mistake. */
export const MEND = "mend it and try again: this is the first mistake, there may be more behind it";

/** Reads the policy that a command is to judge by. @throws PolicyError, exit code 2. */
export async function loadPolicy(option: string | null): Promise<Policy> {
  const path = option ?? DEFAULT_POLICY;
  let bytes: Uint8Array;
  try {
    bytes = await readUserFile(userPath(path), "the policy");
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const hint =
      'without a policy there is no verdict: name one with --policy, or write one with "countersign policy init"';
    throw new PolicyError("unreachable", error.message, hint);
  }
  return (await parsePolicyFile(bytes, path)).policy;
}

/**
 * A policy and its text.
 *
 * @throws PolicyError, exit code 2, with the place of the mistake: nothing was judged by it.
 */
export async function parsePolicyFile(
  bytes: Uint8Array,
  path: string,
): Promise<{ readonly policy: Policy; readonly text: string }> {
  const reading = await readPolicy(bytes);
  if (reading.policy !== null) return reading;
  const what = `the policy has a mistake: ${describeMistake(path, reading.mistake)}`;
  throw new PolicyError("malformed", what, MEND);
}

/** A policy that trusts one platform as given, and the models as hashed. */
export function composePolicy(
  platform: string,
  entry: PlatformEntry,
  models: readonly Pick<HashedModel, "id" | "digest">[],
  nowMs: number,
): PolicyFile {
  const expires = new Date(nowMs + LIFETIME_DAYS * MS_PER_DAY);
  return {
    version: 1,
    expires: `${expires.toISOString().slice(0, 10)}T00:00:00Z`,
    platforms: { [platform]: entry },
    models: distinct(models.map(({ id, digest }) => ({ id, digest: encodeHex(digest) }))),
    freshness: {
      maxAgeSeconds: MAX_AGE_SECONDS,
      skewSeconds: SKEW_SECONDS,
      challenge: "optional",
    },
    suites: [SUITE],
    revoked: { measurements: [], models: [], keysets: [] },
  };
}

/** The text of a policy file. @throws TypeError where we composed one that we would not read. */
export function encodePolicy(file: PolicyFile): string {
  const text = `${JSON.stringify(file, null, 2)}\n`;
  parsePolicy(text);
  return text;
}

/** Two versions of a model may be the same files; a policy lists each digest once. */
function distinct(
  models: readonly { readonly id: string; readonly digest: string }[],
): readonly { readonly id: string; readonly digest: string }[] {
  const keyed = new Map(models.map((model) => [`${model.id}\0${model.digest}`, model]));
  return [...keyed.values()];
}
