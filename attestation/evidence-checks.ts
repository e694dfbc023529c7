/**
 * The checks of evidence, each a function of what is known so far. They branch on the policy only
 * for the one fact they judge; their order is {@link appraiseBundle}'s.
 */
import { requireKnownRoots } from "./anchors.ts";
import {
  type EpochBinding,
  MODELS_REGISTER,
  modelsRegister,
  parseEpochBinding,
} from "./binding.ts";
import { type Bundle, parseBundle } from "./bundle.ts";
import { encodeHex, equalBytes, includesBytes } from "./bytes.ts";
import { AttestationError } from "./errors.ts";
import { webHashes } from "./hashes.ts";
import { type Suite, suiteOf } from "./keyset.ts";
import { debugMode, IMAGE_REGISTERS } from "./measurement.ts";
import type { ModelRef } from "./models.ts";
import { type Evidence, parseEvidence, type VerifiedEvidence } from "./nitro.ts";
import {
  modelStanding,
  type Platform,
  type PlatformPolicy,
  PLATFORMS,
  type Policy,
} from "./policy.ts";
import { formatTime } from "./time.ts";
import { type Finding, type Mode, Refusal } from "./verdict.ts";

/** Allowed difference of clocks where the policy leaves freshness unchecked, seconds. */
const SKEW_WHERE_UNCHECKED = 60;

const BARE = "a bare document carries no preimages";

/** What is judged: a document, alone or in its bundle. */
export interface Subject {
  readonly bundle: Bundle | null;
  readonly evidence: Evidence;
}

export interface Trust {
  readonly platform: Platform;
  readonly policy: PlatformPolicy;
}

export function skewSeconds(policy: Policy): number {
  return policy.freshness === "unchecked" ? SKEW_WHERE_UNCHECKED : policy.freshness.skewSeconds;
}

export async function policyInForce(policy: Policy, nowMs: number): Promise<Finding<null>> {
  await requireKnownRoots(policy);
  const expires = formatTime(policy.expiresMs);
  const found = `expires ${expires}`;
  const wanted = `later than ${formatTime(nowMs)}`;
  // Here and below: written so that a time that is not a number fails.
  if (!(nowMs < policy.expiresMs)) throw new Refusal("policy/expired", found, wanted);
  return { found, wanted, value: null };
}

/** @throws {@link AttestationError} `bundle/structure`, `evidence/…`, `cose/…`, `cbor/…`. */
export function readBundle(
  bytes: Uint8Array,
): Finding<{ bundle: Bundle; evidence: Evidence | null }> {
  const bundle = parseBundle(bytes);
  // A document of another platform has another format; the next check refuses the platform.
  const known = PLATFORMS.some((platform) => platform === bundle.platform);
  if (known && bundle.endorsements.size > 0) {
    throw new AttestationError("bundle/structure", `${bundle.platform} takes no endorsements`);
  }
  const evidence = known ? parseEvidence(bundle.evidence) : null;
  return {
    found: `${bytes.length} bytes`,
    wanted: "a bundle and its document in the agreed form",
    value: { bundle, evidence },
  };
}

export function readDocument(bytes: Uint8Array): Finding<Evidence> {
  const evidence = parseEvidence(bytes);
  return {
    found: `${bytes.length} bytes, a bare document`,
    wanted: "a document in the agreed form",
    value: evidence,
  };
}

/** @throws {@link AttestationError} `policy/platform`. */
export function namedPlatform(
  policy: Policy,
  read: { readonly bundle: Bundle; readonly evidence: Evidence | null },
): Finding<{ trust: Trust; subject: Subject }> {
  const { bundle, evidence } = read;
  const wanted = [...policy.platforms.keys()].join(", ");
  const platform = PLATFORMS.find((known) => known === bundle.platform);
  const trusted = platform === undefined ? undefined : policy.platforms.get(platform);
  if (platform === undefined || trusted === undefined || evidence === null) {
    throw new Refusal("policy/platform", bundle.platform, wanted);
  }
  const trust = { platform, policy: trusted };
  return { found: platform, wanted, value: { trust, subject: { bundle, evidence } } };
}

/** The platform of a bare document: the one that pins its root. @throws {@link AttestationError} `chain/root`. */
export async function pinnedPlatform(policy: Policy, evidence: Evidence): Promise<Finding<Trust>> {
  const wanted = [...policy.platforms.keys()].join(", ");
  const [anchor] = evidence.cabundle;
  if (anchor === undefined) throw new Refusal("chain/length", "no root", "a chain of 2 to 8");
  const root = await webHashes.sha256(anchor);
  for (const [platform, trusted] of policy.platforms) {
    if (includesBytes(trusted.roots, root)) {
      const found = `${platform}, by its root`;
      return { found, wanted, value: { platform, policy: trusted } };
    }
  }
  const roots = [...policy.platforms].map(
    ([platform, trusted]) => `${platform} ${trusted.roots.map(encodeHex).join(", ")}`,
  );
  throw new Refusal("chain/root", `root ${encodeHex(root)}`, roots.join("; "));
}

/**
 * A root that a policy lists under the wrong platform must not make a simulation pass for hardware.
 *
 * @throws {@link AttestationError} `evidence/platform`.
 */
export function requirePlatform(evidence: VerifiedEvidence, platform: Platform): void {
  if (evidence.platform === platform) return;
  const found = `a leaf certificate of the platform ${evidence.platform}`;
  throw new Refusal("evidence/platform", found, platform);
}

/** @throws {@link AttestationError} `policy/debug`. */
export function outOfDebug(evidence: Evidence, trusted: PlatformPolicy): Finding<null> {
  const debug = debugMode(evidence);
  const found = debug ? "debug mode" : "production mode";
  const wanted = trusted.debug ? "production or debug mode" : "production mode";
  if (!debug) return { found, wanted, value: null };
  if (!trusted.debug) throw new Refusal("policy/debug", found, wanted);
  const why =
    "The enclave runs in debug mode, as your policy allows: its operator can read it all.";
  return { found, wanted, why, value: null };
}

/** The policy's name of the code that runs. @throws {@link AttestationError} `policy/measurement`, `policy/revoked`. */
export function allowedMeasurement(
  evidence: Evidence,
  trusted: PlatformPolicy,
  policy: Policy,
): Finding<string | null> {
  const code = IMAGE_REGISTERS.map((index) => evidence.pcrs.get(index) ?? new Uint8Array(0));
  const found = code.map((value, index) => `pcr${index} ${encodeHex(value)}`).join(", ");
  if (code.some((value) => includesBytes(policy.revoked.measurements, value))) {
    throw new Refusal("policy/revoked", found, "no revoked measurement");
  }
  if (trusted.measurements === "unchecked") {
    const wanted = 'nothing: "measurements" is "unchecked"';
    return { found: `unchecked: ${found}`, wanted, value: null, skipped: "by the policy" };
  }
  const wanted = trusted.measurements.map(({ name }) => name).join(", ");
  for (const { name, registers } of trusted.measurements) {
    if (differing(registers, evidence).length === 0) return { found: name, wanted, value: name };
  }
  const others = trusted.measurements.map(
    ({ name, registers }) => `${name} with another ${differing(registers, evidence).join(", ")}`,
  );
  throw new Refusal("policy/measurement", found, others.join("; "));
}

/** The registers, by name, in which the document is not what a measurement says. */
function differing(
  registers: ReadonlyMap<number, Uint8Array>,
  evidence: Evidence,
): readonly string[] {
  return [...registers]
    .filter(([index, value]) => {
      const register = evidence.pcrs.get(index);
      return register === undefined || !equalBytes(register, value);
    })
    .map(([index]) => `pcr${index}`);
}

/**
 * The epoch that the document vouches for; of a bare document, null where it vouches for none.
 *
 * @throws {@link AttestationError} `binding/tag`, `binding/structure`, `binding/document`, `cbor/…`.
 */
export function boundEpoch(subject: Subject): Finding<EpochBinding | null> {
  const { bundle, evidence } = subject;
  const wanted = "user_data that is the bundle's EpochBinding";
  const userData = evidence.userData ?? new Uint8Array(0);
  if (bundle === null) return bareEpoch(userData);
  if (userData.length === 0) throw new Refusal("binding/tag", "no user_data", wanted);
  const same = equalBytes(userData, bundle.binding);
  let binding: EpochBinding;
  try {
    binding = parseEpochBinding(userData);
  } catch (error) {
    // Another application's user_data need not be CBOR: its document was not cut short, it is foreign.
    const foreign = error instanceof AttestationError && error.code.startsWith("cbor/") && !same;
    if (foreign) throw new Refusal("binding/tag", "user_data that is no CBOR of ours", wanted);
    throw error;
  }
  if (!same) throw new Refusal("binding/document", "another EpochBinding in the bundle", wanted);
  return { found: `epoch ${binding.sequence}`, wanted, value: binding };
}

function bareEpoch(userData: Uint8Array): Finding<EpochBinding | null> {
  try {
    const binding = parseEpochBinding(userData);
    return { found: `epoch ${binding.sequence}`, wanted: "an EpochBinding", value: binding };
  } catch (error) {
    // Any enclave's document may be judged bare; it need not be one of ours.
    if (!(error instanceof AttestationError)) throw error;
    return {
      found: "user_data is no EpochBinding",
      wanted: "an EpochBinding, where there is one",
      value: null,
      skipped: "by design",
    };
  }
}

/** @throws {@link AttestationError} `binding/lifetime`. */
export function withinLifetime(
  binding: EpochBinding | null,
  policy: Policy,
  at: { readonly mode: Mode; readonly atMs: number },
): Finding<null> {
  const time = at.mode === "live" ? "now" : "the document's time";
  if (binding === null) return unbound("a time within the epoch");
  const { notBefore, notAfter } = binding;
  const found = `${time} is ${formatTime(at.atMs)}`;
  const wanted = `${formatTime(notBefore * 1000)} to ${formatTime(notAfter * 1000)}`;
  const earliest = (notBefore - skewSeconds(policy)) * 1000;
  if (!(earliest <= at.atMs && at.atMs <= notAfter * 1000)) {
    throw new Refusal("binding/lifetime", found, wanted);
  }
  return { found, wanted, value: null };
}

/** @throws {@link AttestationError} `policy/revoked`. */
export function requireKeysetInForce(binding: EpochBinding | null, policy: Policy): void {
  if (binding === null || !includesBytes(policy.revoked.keysets, binding.keysetDigest)) return;
  const found = `keyset ${encodeHex(binding.keysetDigest)}`;
  throw new Refusal("policy/revoked", found, "no revoked keyset");
}

/** @throws {@link AttestationError} `binding/register`. */
export async function measuredModels(
  evidence: Evidence,
  binding: EpochBinding | null,
): Promise<Finding<null>> {
  if (binding === null) return unbound("register 16 extended once with the models digest");
  const wanted = encodeHex(await modelsRegister(binding.modelsDigest));
  const register = evidence.pcrs.get(MODELS_REGISTER);
  const found = register === undefined ? "no register 16" : encodeHex(register);
  if (found !== wanted) throw new Refusal("binding/register", found, wanted);
  return { found, wanted, value: null };
}

/**
 * Whether the node can be used at all: it serves at least one model the policy lists.
 *
 * A node may serve others besides; the `model` check of each exchange refuses their answers. A
 * revoked model fails here even where it is not asked for, because it runs in the same process.
 *
 * @throws {@link AttestationError} `policy/model`, `policy/revoked`.
 */
export function allowedModels(models: readonly ModelRef[], policy: Policy): Finding<null> {
  const standing = (wanted: string): readonly ModelRef[] =>
    models.filter((model) => modelStanding(policy, model) === wanted);
  const revoked = standing("revoked");
  if (revoked.length > 0) {
    throw new Refusal("policy/revoked", describe(revoked), "no revoked model");
  }
  if (policy.models === "any") {
    const wanted = 'nothing: "models" is "any"';
    const found = `unchecked: ${describe(models)}`;
    return { found, wanted, value: null, skipped: "by the policy" };
  }
  const wanted = `at least one of ${describe(policy.models)}`;
  const allowed = standing("allowed");
  if (allowed.length === 0) throw new Refusal("policy/model", describe(models), wanted);
  return { found: describe(allowed), wanted, value: null };
}

/** @throws {@link AttestationError} `policy/suite`, `keyset/structure`. */
export function allowedSuite(keyConfig: Uint8Array, policy: Policy): Finding<Suite> {
  const suite = suiteOf(keyConfig);
  const wanted = policy.suites.join(", ");
  if (!policy.suites.includes(suite)) throw new Refusal("policy/suite", suite, wanted);
  return { found: suite, wanted, value: suite };
}

/** @throws {@link AttestationError} `freshness/…`, `policy/challenge`. */
export function freshDocument(
  evidence: Evidence,
  policy: Policy,
  context: { readonly mode: Mode; readonly nowMs: number; readonly nonce: Uint8Array | null },
): Finding<null> {
  const answered = context.nonce !== null;
  if (context.nonce !== null) requireNonce(evidence, context.nonce);
  const nonce = answered ? "our nonce, " : "";
  if (policy.freshness === "unchecked") {
    const wanted = 'nothing: "freshness" is "unchecked"';
    if (answered) return { found: "our nonce", wanted: "our nonce", value: null };
    const found = `unchecked: document of ${formatTime(evidence.timestampMs)}`;
    return { found, wanted, value: null, skipped: "by the policy" };
  }
  const { maxAgeSeconds, skewSeconds: skew, challenge } = policy.freshness;
  const ageMs = context.nowMs - evidence.timestampMs;
  const found = `${nonce}document of ${formatTime(evidence.timestampMs)}`;
  if (!(ageMs >= -skew * 1000)) {
    throw new Refusal(
      "freshness/future",
      found,
      `at most ${skew} s after ${formatTime(context.nowMs)}`,
    );
  }
  if (context.mode === "archive") {
    const judged = `${found}, judged at its own time`;
    const wanted = "nothing more: an archived document is old by design";
    return { found: judged, wanted, value: null, ...(!answered && { skipped: "by design" }) };
  }
  if (challenge === "required" && !answered) {
    throw new Refusal("policy/challenge", "no challenge was sent", "an answer to our nonce");
  }
  const wanted = `at most ${maxAgeSeconds} s old at ${formatTime(context.nowMs)}`;
  if (!(ageMs <= (maxAgeSeconds + skew) * 1000)) throw new Refusal("freshness/age", found, wanted);
  return { found, wanted, value: null };
}

function requireNonce(evidence: Evidence, nonce: Uint8Array): void {
  const found = evidence.nonce === null ? "no nonce" : `nonce ${encodeHex(evidence.nonce)}`;
  if (evidence.nonce === null || !equalBytes(evidence.nonce, nonce)) {
    throw new Refusal("freshness/nonce", found, `nonce ${encodeHex(nonce)}`);
  }
}

/** A check that needs the preimages, or the binding, which a bare document may lack. */
export function bare(wanted: string): Finding<null> {
  return { found: BARE, wanted, value: null, skipped: "by design" };
}

function unbound(wanted: string): Finding<null> {
  return { found: "the document names no epoch", wanted, value: null, skipped: "by design" };
}

function describe(models: readonly { readonly id: string; readonly digest: Uint8Array }[]): string {
  if (models.length === 0) return "no model";
  return models.map(({ id, digest }) => `${id} ${encodeHex(digest)}`).join(", ");
}
