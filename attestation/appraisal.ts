/**
 * Appraisal of evidence (RFC 9334 §8): whether the Relying Party's policy accepts an enclave.
 *
 * One function owns the order of the checks. It stops at the first that fails.
 */
import type { EpochBinding } from "./binding.ts";
import type { Brand } from "./brand.ts";
import { MAX_BUNDLE_BYTES } from "./bundle.ts";
import { encodeHex } from "./bytes.ts";
import type { RuntimeConfig } from "./config.ts";
import { AttestationError } from "./errors.ts";
import { EVIDENCE_WORDS } from "./evidence-words.ts";
import * as checks from "./evidence-checks.ts";
import { webHashes } from "./hashes.ts";
import type { ModelRef } from "./models.ts";
import type { EvidenceCache } from "./cache.ts";
import { MAX_EVIDENCE_BYTES, type VerifiedEvidence } from "./nitro.ts";
import type { Policy } from "./policy.ts";
import { boundConfig, boundKeyset, boundModels } from "./preimages.ts";
import type { ReceiptKey } from "./receipt.ts";
import { formatTime } from "./time.ts";
import { EVIDENCE_CHECKS } from "./checks.ts";
import { Checklist, type Mode, type Verdict, type VerdictFacts } from "./verdict.ts";
import { verifyDocument } from "./verification.ts";

/** Less could be guessed, or be empty. PROTOCOL.md, "Limits". */
const MIN_NONCE_BYTES = 16;

/** When, in which mode and for which challenge evidence is judged. */
export interface AppraisalContext<M extends Mode = Mode> {
  /**
   * `live`: certificates, lifetime and age at `nowMs`. `archive`: certificates and lifetime at the
   * document's own time, age not at all; the verdict says so. The policy's expiry is judged at
   * `nowMs` in both.
   */
  readonly mode: M;
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** The challenge we sent, at least 16 bytes; null where we sent none. */
  readonly nonce: Uint8Array | null;
  /** Spares signatures that were verified before; the verdict is the same with and without. */
  readonly cache?: EvidenceCache;
}

interface EpochFacts<M extends Mode> {
  readonly mode: M;
  readonly platform: string;
  /** The policy's name for the code; "unchecked" where the policy says so. */
  readonly measurement: string;
  /** The bundle's bytes, for a proof. */
  readonly bundle: Uint8Array;
  /** SHA-256 of the document's COSE payload. */
  readonly documentDigest: Uint8Array;
  /** When the hardware made the document, Unix milliseconds: its age counts from here. */
  readonly documentTimeMs: number;
  /** When the first certificate of its chain ends, Unix milliseconds. */
  readonly chainEndMs: number;
  readonly keysetDigest: Uint8Array;
  /** RFC 9458 §3 Key Configuration to encrypt requests to. */
  readonly keyConfig: Uint8Array;
  /** Uncompressed P-256 point, 65 bytes. */
  readonly receiptKey: Uint8Array;
  readonly models: readonly ModelRef[];
  readonly config: RuntimeConfig;
  readonly binding: EpochBinding;
  readonly verdict: Verdict;
}

/**
 * An epoch whose bundle was verified; only {@link appraiseBundle} makes one.
 *
 * What encrypts takes a `VerifiedEpoch<"live">`: an archived one is for reading old receipts.
 */
export type VerifiedEpoch<M extends Mode = Mode> = Brand<EpochFacts<M>, "VerifiedEpoch">;

/** What goes with an epoch and is not for callers to replace. */
export interface Standing {
  /** The policy that it was judged by. */
  readonly policy: Policy;
  readonly receiptKey: ReceiptKey;
}

/** Of each epoch, for as long as somebody holds it; only appraisal adds to it. */
const standings = new WeakMap<VerifiedEpoch, Standing>();

/** Policy and key of `epoch`. @throws TypeError for an epoch that no appraisal made. */
export function standingOf(epoch: VerifiedEpoch): Standing {
  const standing = standings.get(epoch);
  if (standing === undefined) throw new TypeError("an epoch that appraiseBundle did not make");
  return standing;
}

/** What the steps have found so far. */
interface Known {
  platform: string | null;
  measurement: string | null;
}

/**
 * Judges a bundle. Never throws for what the bundle or the policy is; that is in the verdict.
 *
 * @param bytes - the bundle as the node sent it, at most 262 144 bytes; copied before the first check.
 * @returns the epoch if, and only if, the verdict is "verified".
 * @throws TypeError for a context that is none: a nonce of less than 16 bytes, a time that is no time.
 */
export async function appraiseBundle<M extends Mode>(
  bytes: Uint8Array,
  policy: Policy,
  context: AppraisalContext<M>,
): Promise<{ readonly verdict: Verdict; readonly epoch: VerifiedEpoch<M> | null }> {
  const received = copyUpTo(bytes, MAX_BUNDLE_BYTES);
  const asked = snapshot(context);
  const checklist = new Checklist(EVIDENCE_CHECKS, EVIDENCE_WORDS);
  const known: Known = { platform: null, measurement: null };
  let judged: Judged<M> | null = null;
  try {
    judged = await judgeBundle(checklist, known, received, policy, asked);
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
  }
  const verdict = checklist.verdict(factsOf(known, asked));
  if (judged === null || verdict.result !== "verified") return { verdict, epoch: null };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- this is the maker of VerifiedEpoch
  const made = Object.freeze({ ...judged.facts, verdict }) as VerifiedEpoch<M>;
  standings.set(made, { policy, receiptKey: judged.receiptKey });
  return { verdict, epoch: made };
}

/**
 * Judges a bare document: the evidence alone, without the preimages of a bundle.
 *
 * Checks that need a preimage are skipped and say so; "verified" then means that the hardware made
 * this document and the policy accepts its code, and nothing about keys, models or suites. No epoch
 * comes of it. Its platform is the one whose roots pin it. Never throws for what the document or the
 * policy is; that is in the verdict.
 *
 * @param bytes - COSE_Sign1 as the security module gave it, at most 16 384 bytes.
 * @throws TypeError as {@link appraiseBundle}.
 */
export async function appraiseDocument(
  bytes: Uint8Array,
  policy: Policy,
  context: AppraisalContext,
): Promise<{ readonly verdict: Verdict }> {
  const received = copyUpTo(bytes, MAX_EVIDENCE_BYTES);
  const asked = snapshot(context);
  const checklist = new Checklist(EVIDENCE_CHECKS, EVIDENCE_WORDS);
  const known: Known = { platform: null, measurement: null };
  try {
    await judgeDocument(checklist, known, received, policy, asked);
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
  }
  return { verdict: checklist.verdict(factsOf(known, asked)) };
}

/** What judging a bundle yields beside its checks. */
interface Judged<M extends Mode> {
  readonly facts: Omit<EpochFacts<M>, "verdict">;
  readonly receiptKey: ReceiptKey;
}

async function judgeBundle<M extends Mode>(
  checklist: Checklist,
  known: Known,
  bytes: Uint8Array,
  policy: Policy,
  context: AppraisalContext<M>,
): Promise<Judged<M>> {
  // 1. The policy, then what was received, then whether its kind of hardware is trusted at all.
  await checklist.judge("policy", () => checks.policyInForce(policy, context.nowMs));
  const read = await checklist.judge("bundle", () => checks.readBundle(bytes));
  const named = await checklist.judge("platform", () => checks.namedPlatform(policy, read));
  known.platform = named.trust.platform;
  // 2. The hardware signed the document, and runs code the policy accepts, for an epoch of ours.
  const judged = await judgeEvidence(checklist, known, named, policy, context);
  const { evidence } = judged;
  const { bundle } = read;
  const binding = judged.binding;
  if (binding === null) throw new TypeError("a bundle without EpochBinding was accepted");
  // 3. The preimages are those it names.
  const bound = await checklist.judge("keyset", () => boundKeyset(bundle, binding, policy));
  const { keyset, receiptKey } = bound;
  const models = await checklist.judge("modelset", () => boundModels(bundle, binding));
  const config = await checklist.judge("config", () => boundConfig(bundle, binding, policy));
  await checklist.judge("register", () => checks.measuredModels(evidence, binding));
  // 4. What they name is acceptable, now.
  await checklist.judge("models", () => checks.allowedModels(models, policy));
  await checklist.judge("suite", () => checks.allowedSuite(keyset.keyConfig, policy));
  await checklist.judge("freshness", () => checks.freshDocument(evidence, policy, context));
  const facts = {
    mode: context.mode,
    platform: named.trust.platform,
    measurement: known.measurement ?? "unchecked",
    bundle: bytes,
    documentDigest: await webHashes.sha256(evidence.payload),
    documentTimeMs: evidence.timestampMs,
    chainEndMs: evidence.chainValidity.notAfterMs,
    keysetDigest: binding.keysetDigest,
    ...keyset,
    models,
    config,
    binding,
  };
  return { facts, receiptKey };
}

async function judgeDocument(
  checklist: Checklist,
  known: Known,
  bytes: Uint8Array,
  policy: Policy,
  context: AppraisalContext,
): Promise<void> {
  // 1. As for a bundle.
  await checklist.judge("policy", () => checks.policyInForce(policy, context.nowMs));
  const document = await checklist.judge("bundle", () => checks.readDocument(bytes));
  const trust = await checklist.judge("platform", () => checks.pinnedPlatform(policy, document));
  known.platform = trust.platform;
  const subject = { bundle: null, evidence: document };
  // 2. As for a bundle, but that user_data may be anything.
  const named = { trust, subject };
  const { evidence, binding } = await judgeEvidence(checklist, known, named, policy, context);
  // 3. Digests alone: a revoked keyset is known by its digest, the register by the models digest.
  await checklist.judge("keyset", () => {
    checks.requireKeysetInForce(binding, policy);
    return checks.bare("a Keyset with the digest that the binding names");
  });
  for (const id of ["modelset", "config"] as const) {
    await checklist.judge(id, () => checks.bare("the preimage of the digest the binding names"));
  }
  await checklist.judge("register", () => checks.measuredModels(evidence, binding));
  // 4. Only freshness can be judged.
  await checklist.judge("models", () => checks.bare("a model of the policy"));
  await checklist.judge("suite", () => checks.bare("a suite of the policy"));
  await checklist.judge("freshness", () => checks.freshDocument(evidence, policy, context));
}

async function judgeEvidence(
  checklist: Checklist,
  known: Known,
  named: { readonly trust: checks.Trust; readonly subject: checks.Subject },
  policy: Policy,
  context: AppraisalContext,
): Promise<{ readonly evidence: VerifiedEvidence; readonly binding: EpochBinding | null }> {
  const { trust, subject } = named;
  const atMs = context.mode === "live" ? context.nowMs : subject.evidence.timestampMs;
  const at = { mode: context.mode, atMs };
  // RFC 9052 §4.4 and RFC 5280 §6, at `atMs`, to a root that the policy pins.
  const verify = (): Promise<VerifiedEvidence> =>
    verifyDocument(subject.evidence, trust.policy, atMs, context.cache ?? null);
  const evidence = await judgeSignature(checklist, verify, trust, at);
  await checklist.judge("debug", () => checks.outOfDebug(evidence, trust.policy));
  known.measurement = await checklist.judge("measurement", () =>
    checks.allowedMeasurement(evidence, trust.policy, policy),
  );
  const binding = await checklist.judge("binding", () =>
    checks.boundEpoch({ bundle: subject.bundle, evidence }),
  );
  await checklist.judge("lifetime", () => checks.withinLifetime(binding, policy, at));
  return { evidence, binding };
}

/** One verification yields two checks: a chain that fails leaves nothing to say of the signature. */
async function judgeSignature(
  checklist: Checklist,
  verify: () => Promise<VerifiedEvidence>,
  { platform, policy: { roots } }: checks.Trust,
  at: { readonly mode: Mode; readonly atMs: number },
): Promise<VerifiedEvidence> {
  try {
    const verified = await verify();
    const wanted = "an ES384 signature by the document's certificate";
    checklist.pass("signature", { found: `signed for ${verified.moduleId}`, wanted, value: null });
    checks.requirePlatform(verified, platform);
    const time = at.mode === "live" ? "now" : "at the document's time";
    checklist.pass("chain", {
      found: `root ${encodeHex(verified.rootDigest)}, valid ${time}, ${formatTime(at.atMs)}`,
      wanted: roots.map(encodeHex).join(", "),
      value: null,
    });
    return verified;
  } catch (error) {
    if (error instanceof AttestationError) {
      checklist.fail(error.code === "cose/signature" ? "signature" : "chain", error);
    }
    throw error;
  }
}

/** Input that is too long stays so, by one byte: it is refused, and never copied whole. */
function copyUpTo(bytes: Uint8Array, most: number): Uint8Array {
  return new Uint8Array(bytes.subarray(0, most + 1));
}

/**
 * The context as it is now, each member read once: what is judged must not change while signatures
 * are pending.
 *
 * @throws TypeError for a mode or a time that is none, and for a nonce that anybody could guess.
 */
function snapshot<M extends Mode>({
  mode,
  nowMs,
  nonce,
  cache,
}: AppraisalContext<M>): AppraisalContext<M> {
  if (mode !== "live" && mode !== "archive") throw new TypeError("mode is none");
  requireTime(nowMs);
  const asked = nonce === null ? null : new Uint8Array(nonce);
  if (asked !== null && asked.length < MIN_NONCE_BYTES) {
    throw new TypeError(`nonce of ${asked.length} bytes, want ≥ ${MIN_NONCE_BYTES}`);
  }
  return { mode, nowMs, nonce: asked, ...(cache !== undefined && { cache }) };
}

/** @throws TypeError unless `nowMs` is Unix milliseconds. */
export function requireTime(nowMs: number): void {
  if (!Number.isFinite(nowMs) || nowMs < 0) throw new TypeError(`nowMs is ${nowMs}`);
}

function factsOf(known: Known, context: AppraisalContext): VerdictFacts {
  return { ...known, mode: context.mode, judgedAtMs: context.nowMs };
}
