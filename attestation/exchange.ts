/**
 * Appraisal of one exchange: whether a receipt of a verified epoch fits what was sent and received.
 */
import type { AskedModel } from "./asked.ts";
import { type Standing, standingOf, type VerifiedEpoch } from "./appraisal.ts";
import type { Awaitable } from "./bytes.ts";
import { AttestationError } from "./errors.ts";
import { EXCHANGE_WORDS } from "./exchange-words.ts";
import * as checks from "./exchange-checks.ts";
import {
  parseReceipt,
  type Phase,
  type Receipt,
  type ReceiptKey,
  verifyReceipt,
} from "./receipt.ts";
import type { Head } from "./transcript.ts";
import { EXCHANGE_CHECKS } from "./checks.ts";
import { Checklist, type Finding, Refusal, type Verdict } from "./verdict.ts";

/** What a Relying Party holds of an exchange of its own. */
export interface ExchangeEvidence {
  /** The receipt to be judged; null where the answer ended without one. */
  readonly receipt: Uint8Array | null;
  /** Which one it must be: the last, or one on the way, over what was received before it. */
  readonly phase: Exclude<Phase, "aborted">;
  /** SHA-256 of the checkpoint receipt that came before it; null where none did. */
  readonly previous: Uint8Array | null;
  /** The id that the receipt must carry, 16 bytes; null offline, where `enc` is not known. */
  readonly exchange: Uint8Array | null;
  /** The head over the first leaves of what was sent; asked for at most `requestLeaves`. */
  requestHead(leaves: number): Awaitable<Head>;
  /** All leaves that were sent. */
  readonly requestLeaves: number;
  /** The head over all of what was received; asked for where the receipt counts as many leaves. */
  responseHead(): Awaitable<Head>;
  /** All leaves that were received. */
  readonly responseLeaves: number;
  /** HTTP status of the answer inside the encryption, where it is known. */
  readonly status: number | null;
  /** Whether the final chunk of the answer was opened. */
  readonly complete: boolean;
  /** The model that the request named; null where it named none. */
  readonly asked: AskedModel | null;
  /** Unix milliseconds. */
  readonly nowMs: number;
}

/**
 * What there is to judge a receipt by: an exchange of our own, the opening in a proof, or nothing.
 *
 * An opening holds the leaves that the receipt counts and no others: more would be shown unproven.
 */
export type ReceiptEvidence =
  | { readonly kind: "own"; readonly exchange: ExchangeEvidence }
  | {
      readonly kind: "opened";
      readonly exchange: ExchangeEvidence;
      /** Sums over the leaves shown: compared with the signed ones before any leaf is hashed. */
      readonly requestBytes: number;
      readonly responseBytes: number;
    }
  | { readonly kind: "unopened"; readonly receipt: Uint8Array; readonly nowMs: number };

/** Of a refusal, or a checkpoint, that came before all of the request was read. */
const BEGINNING = "The enclave saw the beginning of the request you sent.";

/**
 * Judges one exchange by the policy that its epoch was judged by: the epoch's checks, then receipt,
 * epoch, index, model, request, response, complete.
 *
 * A receipt names the document its epoch was opened with. A document made for a challenge has
 * another digest: who challenges a node judges receipts with the epoch's published bundle, whose
 * keyset digest is the same. A checkpoint that holds leaves the verdict "incomplete", with no failure:
 * all that is missing is the end. Never throws for what the receipt is; that is in the verdict.
 *
 * @throws TypeError for an epoch that no appraisal made.
 */
export function appraiseExchange(
  epoch: VerifiedEpoch,
  evidence: ExchangeEvidence,
): Promise<Verdict> {
  // Copies: what is judged must not change while signatures are pending.
  const { receipt, exchange, previous } = evidence;
  const held = {
    ...evidence,
    receipt: receipt === null ? null : new Uint8Array(receipt),
    exchange: exchange === null ? null : new Uint8Array(exchange),
    previous: previous === null ? null : new Uint8Array(previous),
    requestHead: (leaves: number) => evidence.requestHead(leaves),
    responseHead: () => evidence.responseHead(),
  };
  return judgeExchange(epoch, { kind: "own", exchange: held });
}

/** As {@link appraiseExchange}; of a receipt alone, request and answer are skipped by design. */
export async function judgeExchange(
  epoch: VerifiedEpoch,
  evidence: ReceiptEvidence,
): Promise<Verdict> {
  const standing = standingOf(epoch);
  const checklist = new Checklist(EXCHANGE_CHECKS, EXCHANGE_WORDS, epoch.verdict.checks);
  try {
    await judgeChecks(checklist, epoch, standing, evidence);
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
  }
  const { platform, mode, measurement } = epoch.verdict;
  const { nowMs } = evidence.kind === "unopened" ? evidence : evidence.exchange;
  return checklist.verdict({ platform, mode, measurement, judgedAtMs: nowMs });
}

async function judgeChecks(
  checklist: Checklist,
  epoch: VerifiedEpoch,
  { policy, receiptKey }: Standing,
  evidence: ReceiptEvidence,
): Promise<void> {
  const opened = evidence.kind === "unopened" ? null : evidence.exchange;
  const { receipt, nowMs } = evidence.kind === "unopened" ? evidence : evidence.exchange;
  // 1. The epoch's key signed it, and it is about that epoch.
  const { claims } = await checklist.judge("receipt", () => signedReceipt(receiptKey, receipt));
  await checklist.judge("epoch", () => checks.ofEpoch(claims, epoch));
  // 2. It is the receipt of this exchange that it has to be, and the right model's.
  const at = { place: evidence.kind === "own" ? evidence.exchange : null, nowMs };
  await checklist.judge("index", () => checks.ofExchange(claims, epoch, policy, at));
  const asked = opened?.asked ?? null;
  await checklist.judge("model", () => checks.rightModel(claims, epoch, policy, asked));
  // 3. Both directions are as they were here, and whole.
  if (opened === null) {
    await checklist.judge("request", () => checks.unopened("the request"));
    await checklist.judge("response", () => checks.unopened("the answer"));
    await checklist.judge("complete", () => {
      checks.requireFinal(claims);
      return checks.unopened("a complete answer");
    });
    return;
  }
  await checklist.judge("request", async () => {
    const { leaves } = claims.request;
    checks.requireLeaves(claims, opened.requestLeaves, evidence.kind === "opened");
    if (evidence.kind === "opened") {
      checks.requireBytes("transcript/request", claims.request, evidence.requestBytes);
    }
    const finding = checks.sameHead(
      "transcript/request",
      claims.request,
      await opened.requestHead(leaves),
    );
    return leaves === opened.requestLeaves ? finding : { ...finding, why: BEGINNING };
  });
  await checklist.judge("response", async () => {
    checks.requireStatus(claims, opened.status);
    checks.requireAllLeaves(claims, opened.responseLeaves);
    if (evidence.kind === "opened") {
      checks.requireBytes("transcript/response", claims.response, evidence.responseBytes);
    }
    const ours = await opened.responseHead();
    return checks.sameHead("transcript/response", claims.response, ours);
  });
  if (evidence.kind === "own" && opened.phase === "checkpoint") return;
  await checklist.judge("complete", () => {
    checks.requireFinal(claims);
    return checks.whole(opened.complete);
  });
}

async function signedReceipt(key: ReceiptKey, bytes: Uint8Array | null): Promise<Finding<Receipt>> {
  const wanted = "a receipt signed by the epoch's key, with low s";
  if (bytes === null) throw new Refusal("receipt/missing", "no receipt", wanted);
  const receipt = parseReceipt(bytes);
  await verifyReceipt(receipt, key);
  return { found: `${bytes.length} bytes, signed`, wanted, value: receipt };
}
