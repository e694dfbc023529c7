/** Cases about bare documents: what is refused, or accepted, by which check. */
import {
  type AttestationErrorCode,
  type CheckId,
  encodeHex,
  type FailureClass,
} from "@countersign/attestation";
import { FAKE_NOW_MS } from "../fakes/nitro.ts";
import type { Case } from "./case.ts";
import { policyFile, type PolicyName, policyPath } from "./lab-policies.ts";
import type { Expected, Outcome } from "./vector.ts";

/** PROTOCOL.md 9: checks that a bare document cannot have, where `user_data` is no EpochBinding. */
export const UNBOUND: readonly CheckId[] = [
  "binding",
  "lifetime",
  "keyset",
  "modelset",
  "config",
  "register",
  "models",
  "suite",
];
/** Without a nonce of ours, nothing is said of the age of what comes from an archive. */
export const ARCHIVED: readonly CheckId[] = [...UNBOUND, "freshness"];
/** Where it is one. */
export const BOUND: readonly CheckId[] = ["keyset", "modelset", "config", "models", "suite"];

/** Which check finds what, and what it is worth: written down apart from the library's own tables. */
const REFUSALS: Readonly<
  Partial<Record<AttestationErrorCode, readonly [check: CheckId, failure: FailureClass]>>
> = {
  "cbor/truncated": ["bundle", "truncated"],
  "cbor/trailing": ["bundle", "malformed"],
  "cbor/too-large": ["bundle", "malformed"],
  "cbor/too-deep": ["bundle", "malformed"],
  "cbor/non-minimal": ["bundle", "malformed"],
  "cbor/indefinite": ["bundle", "malformed"],
  "cbor/unsupported": ["bundle", "malformed"],
  "cbor/utf8": ["bundle", "malformed"],
  "cbor/duplicate-key": ["bundle", "malformed"],
  "cbor/key-order": ["bundle", "malformed"],
  "cbor/key-type": ["bundle", "malformed"],
  "cose/structure": ["bundle", "malformed"],
  "cose/protected": ["bundle", "malformed"],
  "cose/unprotected": ["bundle", "malformed"],
  "cose/signature-format": ["bundle", "malformed"],
  "cose/signature": ["signature", "tampered"],
  "evidence/structure": ["bundle", "malformed"],
  "evidence/field": ["bundle", "malformed"],
  "evidence/pcrs": ["bundle", "malformed"],
  "evidence/platform": ["bundle", "untrusted"],
  "evidence/module-id": ["chain", "tampered"],
  "certificate/der": ["chain", "malformed"],
  "certificate/profile": ["chain", "malformed"],
  "certificate/key": ["chain", "malformed"],
  "chain/root": ["platform", "untrusted"],
  "chain/length": ["chain", "untrusted"],
  "chain/name": ["chain", "tampered"],
  "chain/validity": ["chain", "expired"],
  "chain/constraints": ["chain", "untrusted"],
  "chain/extension": ["chain", "untrusted"],
  "chain/signature": ["chain", "tampered"],
  "policy/expired": ["policy", "expired"],
  "policy/debug": ["debug", "untrusted"],
  "policy/measurement": ["measurement", "untrusted"],
  "policy/revoked": ["measurement", "untrusted"],
  "policy/challenge": ["freshness", "stale"],
  "binding/lifetime": ["lifetime", "stale"],
  "binding/register": ["register", "tampered"],
  "freshness/nonce": ["freshness", "stale"],
  "freshness/age": ["freshness", "stale"],
  "freshness/future": ["freshness", "stale"],
};

/** How a document is judged: live, at {@link FAKE_NOW_MS}, by the policy "lab", unless said here. */
export interface Circumstances {
  readonly policy?: PolicyName;
  readonly mode?: "live" | "archive";
  readonly nowMs?: number;
  readonly nonce?: Uint8Array;
  /** What was reached and skipped; by default what a bare document cannot have. */
  readonly skipped?: readonly CheckId[];
  /** Where another check finds it than usual. */
  readonly check?: CheckId;
}

type Document = Uint8Array | Promise<Uint8Array>;

/** @param name - after the stage. @param what - the one thing that is unusual. */
export function accepted(
  name: string,
  what: string,
  clause: string,
  document: Document,
  circumstances: Circumstances = {},
): Promise<Case> {
  const outcome: Outcome = {
    result: "verified",
    code: null,
    check: null,
    failure: null,
    skipped: circumstances.skipped ?? UNBOUND,
    pointer: null,
  };
  return documentCase(`accepted/${name}`, { what, clause }, document, outcome, circumstances);
}

/** @param name - after the stage. @param what - the one thing that is wrong. */
export function refused(
  code: AttestationErrorCode,
  name: string,
  what: string,
  clause: string,
  document: Document,
  circumstances: Circumstances = {},
): Promise<Case> {
  const [check, failure] = REFUSALS[code] ?? [];
  if (check === undefined || failure === undefined) {
    throw new TypeError(`no document is refused with ${code}`);
  }
  const outcome: Outcome = {
    result: "rejected",
    code,
    check: circumstances.check ?? check,
    failure,
    skipped: circumstances.skipped ?? (check === "freshness" ? UNBOUND : []),
    pointer: null,
  };
  const [stage = ""] = code.split("/");
  return documentCase(`${stage}/${name}`, { what, clause }, document, outcome, circumstances);
}

async function documentCase(
  name: string,
  words: Pick<Expected, "what" | "clause">,
  document: Document,
  outcome: Outcome,
  circumstances: Circumstances,
): Promise<Case> {
  const { policy = "lab", mode = "live", nowMs = FAKE_NOW_MS, nonce } = circumstances;
  const path = policyPath(policy);
  return {
    name,
    expected: {
      ...words,
      subject: "document",
      policy: path,
      mode,
      nowMs,
      nonce: nonce === undefined ? null : encodeHex(nonce),
      outcome,
    },
    files: new Map([
      ["document.cbor", await document],
      [path, await policyFile(policy)],
    ]),
  };
}
