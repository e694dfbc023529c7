/** Cases about bundles, exchanges and proofs: what is refused, or accepted, by which check. */
import {
  type AttestationErrorCode,
  type CheckId,
  encodeHex,
  type FailureClass,
} from "@countersign/attestation";
import type { Case } from "./case.ts";
import { NOW_MS } from "./node.ts";
import { policyBytes, type PolicyChange, type PolicyName, policyPath } from "./node-policies.ts";
import type { Expected, Outcome, Subject } from "./vector.ts";

/** What each code is worth: written down apart from the library's own table. */
const FAILURES: Readonly<Partial<Record<AttestationErrorCode, FailureClass>>> = {
  "cbor/truncated": "truncated",
  "cbor/trailing": "malformed",
  "cbor/too-large": "malformed",
  "cbor/too-deep": "malformed",
  "cbor/non-minimal": "malformed",
  "cbor/indefinite": "malformed",
  "cbor/unsupported": "malformed",
  "cbor/utf8": "malformed",
  "cbor/duplicate-key": "malformed",
  "cbor/key-order": "malformed",
  "cbor/key-type": "malformed",
  "cose/structure": "malformed",
  "cose/protected": "malformed",
  "cose/unprotected": "malformed",
  "cose/signature-format": "malformed",
  "cose/signature": "tampered",
  "evidence/platform": "untrusted",
  "chain/root": "untrusted",
  "chain/validity": "expired",
  "bundle/structure": "malformed",
  "binding/structure": "malformed",
  "keyset/structure": "malformed",
  "models/structure": "malformed",
  "config/structure": "malformed",
  "receipt/structure": "malformed",
  "receipt/signature": "tampered",
  "receipt/missing": "truncated",
  "proof/structure": "malformed",
  "policy/syntax": "malformed",
  "policy/expired": "expired",
  "policy/platform": "untrusted",
  "policy/debug": "untrusted",
  "policy/measurement": "untrusted",
  "policy/model": "untrusted",
  "policy/suite": "untrusted",
  "policy/revoked": "untrusted",
  "policy/challenge": "stale",
  "policy/padding": "untrusted",
  "binding/tag": "untrusted",
  "binding/lifetime": "stale",
  "binding/document": "tampered",
  "binding/keyset": "tampered",
  "binding/models": "tampered",
  "binding/config": "tampered",
  "binding/register": "tampered",
  "freshness/nonce": "stale",
  "freshness/age": "stale",
  "freshness/future": "stale",
  "receipt/epoch": "tampered",
  "receipt/index": "malformed",
  "receipt/exchange": "tampered",
  "receipt/previous": "tampered",
  "receipt/model": "tampered",
  "receipt/phase": "truncated",
  "receipt/time": "stale",
  "receipt/status": "tampered",
  "transcript/request": "tampered",
  "transcript/response": "tampered",
  "transcript/incomplete": "truncated",
};

/** How it is judged: live, at {@link NOW_MS}, by the policy "node", unless said here. */
export interface Circumstances {
  /** One of the shared files, or a change of "node" for a file of the vector's own. */
  readonly policy?: PolicyName | PolicyChange;
  readonly mode?: "live" | "archive";
  readonly nowMs?: number;
  readonly nonce?: Uint8Array;
  /** What was reached and skipped. */
  readonly skipped?: readonly CheckId[];
}

/** The input, by file. */
export interface Input {
  readonly subject: Subject;
  readonly files: Readonly<Record<string, Uint8Array>>;
}

export function bundleInput(bundle: Uint8Array): Input {
  return { subject: "bundle", files: { "bundle.cbor": bundle } };
}

/** @param name - after the stage. @param what - the one thing that is unusual. */
export function accepted(
  name: string,
  what: string,
  clause: string,
  input: Input,
  circumstances: Circumstances = {},
): Case {
  const outcome = outcomeOf(null, null, circumstances);
  return nodeCase(`accepted/${name}`, { what, clause }, input, outcome, circumstances);
}

/** @param name - after the stage. @param what - the one thing that is wrong. */
export function refused(
  check: CheckId,
  code: AttestationErrorCode,
  name: string,
  what: string,
  clause: string,
  input: Input,
  circumstances: Circumstances = {},
): Case {
  const outcome = outcomeOf(check, code, circumstances);
  const [stage = ""] = code.split("/");
  return nodeCase(`${stage}/${name}`, { what, clause }, input, outcome, circumstances);
}

function outcomeOf(
  check: CheckId | null,
  code: AttestationErrorCode | null,
  { skipped = [] }: Circumstances,
): Outcome {
  if (code === null) {
    return { result: "verified", code, check, failure: null, skipped, pointer: null };
  }
  const failure = FAILURES[code];
  if (failure === undefined) throw new TypeError(`nothing here is refused with ${code}`);
  return { result: "rejected", code, check, failure, skipped, pointer: null };
}

function nodeCase(
  name: string,
  words: Pick<Expected, "what" | "clause">,
  { subject, files }: Input,
  outcome: Outcome,
  circumstances: Circumstances,
): Case {
  const { policy = "node", mode = "live", nowMs = NOW_MS, nonce } = circumstances;
  const path = typeof policy === "string" ? policyPath(policy) : "policy.json";
  return {
    name,
    expected: {
      ...words,
      subject,
      policy: path,
      mode,
      nowMs,
      nonce: nonce === undefined ? null : encodeHex(nonce),
      outcome,
    },
    files: new Map([...Object.entries(files), [path, policyBytes(policy)]]),
  };
}

/** Under a policy that revokes one model or keyset. */
export function revoking(list: "models" | "keysets", digest: Uint8Array): Circumstances {
  return {
    policy: (file) => {
      file.revoked[list] = [encodeHex(digest)];
    },
  };
}
