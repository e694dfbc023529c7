/**
 * Proof: one file that shows, years later and without a network, what an enclave answered.
 *
 * ```cddl
 * Proof = { 1: "countersign/proof/v1", 2: receipt bstr, 3: bundle bstr,
 *           ? 4: { 1: Kc bstr .size 32, 2: [* request leaf bstr], 3: [* response leaf bstr] } }
 * ```
 * Without key 4 the receipt alone is the claim: who, when, which model, commitments. With it the
 * heads are recomputed, so that the content is shown too.
 */
import { appraiseBundle, requireTime } from "./appraisal.ts";
import { MAX_BUNDLE_BYTES } from "./bundle.ts";
import {
  type CborKey,
  type CborProfile,
  type CborValue,
  DETERMINISTIC,
  encodeCbor,
} from "./cbor.ts";
import { AttestationError } from "./errors.ts";
import { EVIDENCE_WORDS } from "./evidence-words.ts";
import { EXCHANGE_WORDS } from "./exchange-words.ts";
import { judgeExchange, type ReceiptEvidence } from "./exchange.ts";
import type { Hashes } from "./hashes.ts";
import { askedModel } from "./asked.ts";
import type { Policy } from "./policy.ts";
import { shownPath, shownStatus } from "./preamble.ts";
import { MAX_RECEIPT_BYTES, parseReceipt, type ReceiptClaims } from "./receipt.ts";
import { DIGEST_BYTES, Fields, parseFields, type Shape } from "./structure.ts";
import { type Direction, type Head, Transcript } from "./transcript.ts";
import { EVIDENCE_CHECKS, EXCHANGE_CHECKS } from "./checks.ts";
import { Checklist, type Verdict } from "./verdict.ts";

const TAG = "countersign/proof/v1";

/** PROTOCOL.md, "Limits". */
const MAX_PROOF_BYTES = 1 << 28;
/** Leaves of one direction in a proof's opening. PROTOCOL.md, "Limits". */
export const MAX_PROOF_LEAVES = 65_536;
const MAX_LEAF_BYTES = 1 << 22;

const PROFILE: CborProfile = {
  ...DETERMINISTIC,
  maxBytes: MAX_PROOF_BYTES,
  maxItems: 2 * MAX_PROOF_LEAVES + 16,
};
const PROOF: Shape = {
  code: "proof/structure",
  name: "proof",
  tag: TAG,
  required: [1, 2, 3],
  optional: [4],
};
const OPENING: Shape = { code: "proof/structure", name: "opening", required: [1, 2, 3] };

/** What opens the commitments: whoever holds it can read the exchange. */
export interface Opening {
  /** The transcript key, 32 bytes. */
  readonly kc: Uint8Array;
  /** The leaves that the receipt's request head counts, in order. */
  readonly request: readonly Uint8Array[];
  readonly response: readonly Uint8Array[];
}

/** A proof's parts, parsed by shape alone: nothing in it is believed yet. */
export interface Proof {
  readonly receipt: Uint8Array;
  readonly bundle: Uint8Array;
  readonly opening: Opening | null;
}

/** The bytes of a proof file. */
export function encodeProof(proof: Proof): Uint8Array {
  const map = new Map<CborKey, CborValue>([
    [1, TAG],
    [2, proof.receipt],
    [3, proof.bundle],
  ]);
  if (proof.opening !== null) {
    const { kc, request, response } = proof.opening;
    map.set(
      4,
      new Map<CborKey, CborValue>([
        [1, kc],
        [2, request],
        [3, response],
      ]),
    );
  }
  return encodeCbor(map);
}

/** Reads a proof; nothing in it is believed. @throws {@link AttestationError} `proof/structure`, `cbor/…`. */
export function parseProof(bytes: Uint8Array): Proof {
  const fields = parseFields(bytes, PROOF, PROFILE);
  return {
    receipt: fields.bytes(2, 1, MAX_RECEIPT_BYTES),
    bundle: fields.bytes(3, 1, MAX_BUNDLE_BYTES),
    opening: fields.has(4) ? parseOpening(fields.value(4)) : null,
  };
}

function parseOpening(value: CborValue): Opening {
  const fields = new Fields(value, OPENING);
  return {
    kc: fields.bytes(1, DIGEST_BYTES),
    request: parseLeaves(fields, 2),
    response: parseLeaves(fields, 3),
  };
}

function parseLeaves(fields: Fields, key: number): readonly Uint8Array[] {
  return fields.array(key, 0, MAX_PROOF_LEAVES).map((leaf) => {
    if (!(leaf instanceof Uint8Array) || leaf.length > MAX_LEAF_BYTES) {
      throw fields.refusal(`a leaf is no byte string of at most ${MAX_LEAF_BYTES} bytes`);
    }
    return leaf;
  });
}

/** What came of judging a proof. */
export interface ProofAppraisal {
  readonly verdict: Verdict;
  /** Null where the bytes are no proof. */
  readonly proof: Proof | null;
  /** What the receipt says; null unless the verdict is "verified". */
  readonly claims: ReceiptClaims | null;
  /**
   * What the receipt of an exchange says that it shows unfinished, a checkpoint's for example: null
   * unless the verdict is "rejected" for that alone.
   */
  readonly unfinished: ReceiptClaims | null;
}

/**
 * Judges a proof offline: certificates at the document's time, the policy's expiry at `nowMs`.
 *
 * Without an opening the checks of request, response and completeness are skipped by design, and
 * the verdict says so: it can be "verified" for what the receipt claims. The proof of a checkpoint is
 * "rejected", as truncated, by the check of completeness alone: all before it holds for what came
 * until then. Never throws for what the
 * proof or the policy is; that is in the verdict. A time that is none is a TypeError.
 *
 * @param bytes - the proof file, at most 256 MiB. @param context - `nowMs`: Unix milliseconds.
 */
export async function appraiseProof(
  bytes: Uint8Array,
  policy: Policy,
  context: { readonly nowMs: number },
  hashes: Hashes,
): Promise<ProofAppraisal> {
  const { nowMs } = context;
  requireTime(nowMs);
  let proof: Proof;
  try {
    proof = parseProof(bytes);
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
    return { verdict: unreadable(error, nowMs), proof: null, claims: null, unfinished: null };
  }
  const archive = { mode: "archive", nowMs, nonce: null } as const;
  const { verdict: evidence, epoch } = await appraiseBundle(proof.bundle, policy, archive);
  if (epoch === null) {
    return { verdict: withoutExchange(evidence), proof, claims: null, unfinished: null };
  }
  const verdict = await judgeExchange(epoch, openedEvidence(proof, hashes, nowMs));
  const unfinished = isUnfinished(verdict);
  const verified = verdict.result === "verified";
  const claims = verified || unfinished ? parseReceipt(proof.receipt).claims : null;
  return {
    verdict,
    proof,
    claims: verified ? claims : null,
    unfinished: unfinished ? claims : null,
  };
}

/** Whether all that fails is that the receipt ends no exchange. */
function isUnfinished({ checks }: Verdict): boolean {
  const failed = checks.find(({ status }) => status === "fail");
  return failed?.id === "complete" && failed.code === "receipt/phase";
}

/** Nothing is hashed before it is asked for: a receipt that fails costs no more than its signature. */
function openedEvidence(proof: Proof, hashes: Hashes, nowMs: number): ReceiptEvidence {
  const { receipt, opening } = proof;
  if (opening === null) return { kind: "unopened", receipt, nowMs };
  const { kc, request, response } = opening;
  const headOf = async (direction: Direction, leaves: readonly Uint8Array[]): Promise<Head> => {
    const transcript = new Transcript(hashes, kc, direction);
    for (const leaf of leaves) await transcript.append(leaf);
    return transcript.head();
  };
  const path = shownPath(request[0]);
  const exchange = {
    receipt,
    // Of a proof, any receipt will do; only a final one is verified.
    phase: "final" as const,
    previous: null,
    exchange: null,
    requestHead: (leaves: number) => headOf("request", request.slice(0, leaves)),
    requestLeaves: request.length,
    responseHead: () => headOf("response", response),
    responseLeaves: response.length,
    // 0 is a status that no receipt carries.
    status: shownStatus(response[0]) ?? 0,
    complete: true,
    asked: path === null ? null : askedModel(path, request.slice(1)),
    nowMs,
  };
  return {
    kind: "opened",
    exchange,
    requestBytes: bytesIn(request),
    responseBytes: bytesIn(response),
  };
}

function bytesIn(leaves: readonly Uint8Array[]): number {
  return leaves.reduce((sum, leaf) => sum + leaf.length, 0);
}

/** Bytes that are no proof fail the check "bundle": nothing after it can be reached. */
function unreadable(error: AttestationError, nowMs: number): Verdict {
  const checks = { ...EVIDENCE_WORDS.checks, ...EXCHANGE_WORDS.checks };
  const words = { checks, codes: EXCHANGE_WORDS.codes };
  const checklist = new Checklist([...EVIDENCE_CHECKS, ...EXCHANGE_CHECKS], words);
  checklist.fail("bundle", error);
  const facts = { platform: null, mode: "archive", judgedAtMs: nowMs, measurement: null } as const;
  return checklist.verdict(facts);
}

function withoutExchange(evidence: Verdict): Verdict {
  const { platform, mode, judgedAtMs, measurement, result, failure } = evidence;
  const facts = { platform, mode, judgedAtMs, measurement };
  return {
    ...new Checklist(EXCHANGE_CHECKS, EXCHANGE_WORDS, evidence.checks).verdict(facts),
    result,
    failure,
  };
}
