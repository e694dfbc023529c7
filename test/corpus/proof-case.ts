/** Cases about proofs, judged twenty years after their certificates expired. */
import {
  type AttestationErrorCode,
  type CheckId,
  encodeProof,
  type Opening,
  type Proof,
} from "@countersign/attestation";
import type { FakeEpoch, FakeExchange } from "../fakes/attester.ts";
import type { Case } from "./case.ts";
import { accepted, type Circumstances, type Input, refused } from "./node-case.ts";
import { NOW_MS } from "./node.ts";

const YEAR_MS = 365 * 86_400_000;

/** Long after every certificate expired. */
export const LATER: Circumstances = {
  mode: "archive",
  policy: "node-archive",
  nowMs: NOW_MS + 20 * YEAR_MS,
};

/** What an archive skips; and what a proof without opening skips besides. */
export const OLD: readonly CheckId[] = ["freshness"];
export const UNOPENED: readonly CheckId[] = ["freshness", "request", "response", "complete"];

/** An exchange, its epoch, and the proof of it. */
export interface Honest {
  readonly epoch: FakeEpoch;
  readonly exchange: FakeExchange;
  readonly bytes: Uint8Array;
}

/** All leaves that were sent and received, and Kc. */
export function openingOf(exchange: FakeExchange): Opening {
  const { kc, requestLeaves: request, responseLeaves: response } = exchange;
  return { kc, request, response };
}

/** The proof of an exchange with its opening, or with anything in place. */
export function proofOf(
  epoch: FakeEpoch,
  exchange: FakeExchange,
  change: Partial<Proof> = {},
): Uint8Array {
  const opening = openingOf(exchange);
  return encodeProof({ receipt: exchange.receipt, bundle: epoch.bundle, opening, ...change });
}

export function proofInput(bytes: Uint8Array): Input {
  return { subject: "proof", files: { "proof.cbor": bytes } };
}

/** Accepted, twenty years later. */
export function right(
  name: string,
  what: string,
  bytes: Uint8Array,
  skipped: readonly CheckId[] = OLD,
  rest: Circumstances = {},
): Case {
  return accepted(name, what, "PROTOCOL 8", proofInput(bytes), { ...LATER, skipped, ...rest });
}

/** Refused for what it says of the exchange, its evidence being good. */
export function wrong(
  check: CheckId,
  code: AttestationErrorCode,
  name: string,
  what: string,
  bytes: Uint8Array,
  skipped: readonly CheckId[] = OLD,
): Case {
  const circumstances = { ...LATER, skipped };
  return refused(check, code, name, what, "PROTOCOL 8", proofInput(bytes), circumstances);
}

/** Refused by a check of the evidence, before age is reached. */
export function badEvidence(
  check: CheckId,
  code: AttestationErrorCode,
  name: string,
  what: string,
  bytes: Uint8Array,
  rest: Circumstances = {},
): Case {
  const circumstances = { ...LATER, ...rest };
  return refused(check, code, name, what, "PROTOCOL 8", proofInput(bytes), circumstances);
}
