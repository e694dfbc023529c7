/**
 * What a person reads beside a failure: its class, and the code's own words where it says more than
 * its check. Texts are part of no protocol and may change.
 */
import type { AttestationErrorCode } from "./errors.ts";
import { PURPOSE } from "./purposes.ts";
import type { CheckId, FailureClass } from "./checks.ts";

interface Remedy {
  readonly failure: FailureClass;
  readonly why?: string;
  readonly fix?: string;
}

const MALFORMED: Remedy = { failure: "malformed" };
const TAMPERED: Remedy = { failure: "tampered" };
const UNTRUSTED: Remedy = { failure: "untrusted" };

/** One row a code, in the order of errors.ts. */
const REMEDIES: Readonly<Record<AttestationErrorCode, Remedy>> = {
  "cbor/truncated": {
    failure: "truncated",
    why: "The bytes end early: a download broke off, or a file was cut.",
    fix: "Fetch it again.",
  },
  "cbor/trailing": MALFORMED,
  "cbor/too-large": MALFORMED,
  "cbor/too-deep": MALFORMED,
  "cbor/non-minimal": MALFORMED,
  "cbor/indefinite": MALFORMED,
  "cbor/unsupported": MALFORMED,
  "cbor/utf8": MALFORMED,
  "cbor/duplicate-key": MALFORMED,
  "cbor/key-order": MALFORMED,
  "cbor/key-type": MALFORMED,
  "cose/structure": MALFORMED,
  "cose/protected": MALFORMED,
  "cose/unprotected": MALFORMED,
  "cose/signature-format": MALFORMED,
  "cose/signature": TAMPERED,
  "evidence/structure": MALFORMED,
  "evidence/field": MALFORMED,
  "evidence/pcrs": MALFORMED,
  "evidence/platform": {
    failure: "untrusted",
    why: "The document is of another kind of hardware than the bundle says, for example a NitroTPM's.",
    fix: "Judge it with a policy and a platform of its own kind.",
  },
  "evidence/module-id": {
    failure: "tampered",
    why: "The certificate was issued to another enclave than the one the document names.",
    fix: "Do not use this node.",
  },
  "certificate/der": MALFORMED,
  "certificate/profile": MALFORMED,
  "certificate/key": MALFORMED,
  "chain/root": {
    failure: "untrusted",
    why: "The chain ends in a root that your policy does not pin: a test enclave, another vendor, or an impostor.",
    fix: "Compare the root's digest with its vendor's published one. Only if it is genuine, add it to `roots`.",
  },
  "chain/length": UNTRUSTED,
  "chain/name": TAMPERED,
  "chain/validity": {
    failure: "expired",
    why: "A certificate is not valid at this time: the document is older than its few hours, or your clock is wrong.",
    fix: "Fetch a new bundle and compare your clock. To judge an old document at its own time, use archive mode (attest --archive).",
  },
  "chain/constraints": UNTRUSTED,
  "chain/extension": UNTRUSTED,
  "chain/signature": {
    failure: "tampered",
    why: "A certificate was changed, or was not made by the one above it.",
    fix: "Do not use this node.",
  },
  "bundle/structure": MALFORMED,
  "binding/structure": MALFORMED,
  "keyset/structure": MALFORMED,
  "models/structure": MALFORMED,
  "config/structure": MALFORMED,
  "receipt/structure": MALFORMED,
  "receipt/signature": TAMPERED,
  "receipt/missing": {
    failure: "truncated",
    why: "The answer ended before its receipt: the connection broke, or somebody cut it.",
    fix: "Do not take the part for the whole. Ask again.",
  },
  "proof/structure": {
    failure: "malformed",
    why: "The file is no proof, or was damaged.",
    fix: "Get the proof file again from whoever made it.",
  },
  "merkle/inclusion": TAMPERED,
  "merkle/consistency": TAMPERED,
  "policy/syntax": MALFORMED,
  "policy/expired": {
    failure: "expired",
    why: "The policy's date has passed, so that old decisions do not live for ever.",
    fix: "Review the policy, set a new `expires`, and replace the file.",
  },
  "policy/platform": UNTRUSTED,
  "policy/debug": UNTRUSTED,
  "policy/measurement": UNTRUSTED,
  "policy/model": UNTRUSTED,
  "policy/suite": UNTRUSTED,
  "policy/revoked": {
    failure: "untrusted",
    why: "The policy revokes what was found: it was good once and is known to be bad.",
    fix: "Ask the operator to update the node. Do not remove the revocation.",
  },
  "policy/challenge": {
    failure: "stale",
    why: "The policy asks for an answer to your own challenge, and none was sent.",
    fix: "Send a random nonce of 32 bytes to the node's challenge endpoint and judge what it returns.",
  },
  "policy/unchecked": UNTRUSTED,
  "binding/tag": {
    failure: "untrusted",
    why: "The enclave made this document for another purpose than an epoch of this protocol.",
    fix: "Fetch the node's own bundle; if this is it, the node does not speak this protocol.",
  },
  "binding/lifetime": { failure: "stale" },
  "binding/document": TAMPERED,
  "binding/keyset": TAMPERED,
  "binding/models": TAMPERED,
  "binding/config": TAMPERED,
  "binding/register": TAMPERED,
  "freshness/nonce": {
    failure: "stale",
    why: "The document answers another challenge than yours, or none: somebody replays one, or a cache answered.",
    fix: "Send a new challenge straight to the node. If it fails again, do not use this node.",
  },
  "freshness/age": { failure: "stale" },
  "freshness/future": {
    failure: "stale",
    why: "The document is dated later than your clock: one of the two clocks is wrong.",
    fix: "Set your clock by the network's and judge again.",
  },
  "receipt/epoch": TAMPERED,
  "receipt/index": MALFORMED,
  "receipt/exchange": TAMPERED,
  "receipt/model": TAMPERED,
  "receipt/phase": {
    failure: "truncated",
    why: "The enclave itself says that the exchange was not finished.",
    fix: "Do not take the part for the whole. Ask again.",
  },
  "receipt/time": {
    failure: "stale",
    why: "The receipt is dated outside its epoch, or later than your clock.",
    fix: "Compare your clock with the network's. If it is right, do not use this node.",
  },
  "receipt/status": TAMPERED,
  "transcript/request": TAMPERED,
  "transcript/response": TAMPERED,
  "transcript/incomplete": { failure: "truncated" },
};

/** The class of failures that `code` belongs to. */
export function failureClass(code: AttestationErrorCode): FailureClass {
  return REMEDIES[code].failure;
}

/** Why `id` failed with `code` in practice, and what to do: the code's words, else the check's. */
export function remedy(
  id: CheckId,
  code: AttestationErrorCode,
): { readonly why: string; readonly fix: string } {
  const row = REMEDIES[code];
  const purpose = PURPOSE[id];
  return { why: row.why ?? purpose.why, fix: row.fix ?? purpose.fix };
}
