import type { EVIDENCE_CHECKS, FailureClass } from "./checks.ts";
import type { AttestationErrorCode } from "./errors.ts";
import type { ExchangeErrorCode, Purpose, Remedy, Words } from "./words.ts";

interface EvidenceWords extends Words {
  readonly checks: Readonly<Record<(typeof EVIDENCE_CHECKS)[number], Purpose>>;
  readonly codes: Readonly<
    Record<Exclude<AttestationErrorCode, ExchangeErrorCode>, Remedy | FailureClass>
  >;
}

const CERTIFICATE: Remedy = {
  failure: "malformed",
  why: "A certificate in the document is damaged, or of a form that the vendor does not write.",
  fix: "Fetch the bundle again. If it fails again, do not use this node.",
};
const ISSUANCE: Remedy = {
  failure: "untrusted",
  why: "The certificates are well formed, but not issued as the vendor issues them.",
  fix: "Do not use this node.",
};

/** Words of evidence: its checks in their order, codes in the order of errors.ts. */
export const EVIDENCE_WORDS: EvidenceWords = {
  checks: {
    policy: {
      proves: "You decided whom to trust, and that decision has not run out.",
      wanted: "a policy that is readable and unexpired",
      why: "The policy file is damaged, or was written for another version.",
      fix: "Run `countersign policy check` on the file and mend what it names.",
    },
    bundle: {
      proves: "What the node sent is complete and of the agreed form.",
      wanted: "a bundle and an attestation document in the agreed form",
      why: "What came is something else, was damaged on its way, or is of another version.",
      fix: "Check the address or the file, fetch it again, and compare versions.",
    },
    platform: {
      proves: "The evidence is of a kind of hardware that your policy trusts.",
      wanted: "a platform of the policy",
      why: "The node runs on hardware that your policy does not name.",
      fix: "Use a node on a platform you trust, or add the platform to the policy with its root.",
    },
    signature: {
      proves: "The hardware signed this document, and no byte of it was changed since.",
      wanted: "an ES384 signature by the document's certificate",
      why: "The document was changed after the hardware signed it.",
      fix: "Fetch the bundle again. If it fails again, do not use this node.",
    },
    chain: {
      proves: "The signing certificate leads to a hardware vendor's root that your policy pins.",
      wanted: "a certificate chain to a root of the policy, valid at the time of judging",
      why: "The certificates were not made by the hardware your policy trusts.",
      fix: "Do not use this node, unless you know its root and add it to the policy.",
    },
    debug: {
      proves: "The enclave was not started in debug mode, where its operator can read its memory.",
      wanted: "an enclave in production mode",
      why: "The operator started the enclave in debug mode: its console is open.",
      fix: "Ask the operator to start it without debug mode. For tests of your own, set `debug` to true.",
    },
    measurement: {
      proves: "The enclave runs code that your policy lists.",
      wanted: "a measurement of the policy",
      why: "The node runs another build than you listed: a newer release, or changed code.",
      fix: "Compare the registers with your release's. Only if they are equal, add them to the policy.",
    },
    binding: {
      proves:
        "The document was made for an epoch of this protocol, and names the keys and models below.",
      wanted: "user_data that is the bundle's EpochBinding",
      why: "The document was made for another purpose, or a bundle was put together from several.",
      fix: "Fetch the bundle again. If it fails again, do not use this node.",
    },
    lifetime: {
      proves: "The epoch's keys are in use at the time of judging.",
      wanted: "a time within the epoch",
      why: "A cache holds an old bundle, or your clock is wrong.",
      fix: "Fetch the bundle again and compare your clock with the network's.",
    },
    keyset: {
      proves: "The encryption and receipt keys are the ones the hardware vouches for.",
      wanted: "a Keyset with the digest that the binding names",
      why: "Somebody between you and the enclave put other keys into the bundle.",
      fix: "Send nothing to this node. Fetch the bundle over another path and compare.",
    },
    modelset: {
      proves: "The list of models is the one the hardware vouches for.",
      wanted: "a ModelSet with the digest that the binding names",
      why: "The list of models in the bundle was changed on its way.",
      fix: "Fetch the bundle again. If it fails again, do not use this node.",
    },
    config: {
      proves: "Engine, limits and features are the ones the hardware vouches for.",
      wanted: "a RuntimeConfig with the digest that the binding names",
      why: "The configuration in the bundle was changed on its way.",
      fix: "Fetch the bundle again. If it fails again, do not use this node.",
    },
    register: {
      proves: "The models were measured into register 16 and locked before any key existed.",
      wanted: "register 16 extended once with the models digest",
      why: "The enclave loaded other models than it lists, or its code does not measure models.",
      fix: "Do not use this node; check that the measurement you allow is of a genuine release.",
    },
    models: {
      proves: "The node serves a model that your policy lists, and none that it revokes.",
      wanted: "a model of the policy",
      why: "The operator serves other models, or other versions, than you listed.",
      fix: "Compare digests with `countersign model digest`, and add the model if it is the one you want.",
    },
    suite: {
      proves: "The encryption is of a strength that your policy accepts.",
      wanted: "a suite of the policy",
      why: "The node offers another suite, often an older one without post-quantum protection.",
      fix: "Use a node with a suite you accept, or name the suite in the policy.",
    },
    freshness: {
      proves: "The document was made recently, or for your own challenge.",
      wanted: "a document that is recent, or answers your challenge",
      why: "A cache holds an old document, or somebody replays one.",
      fix: "Fetch the bundle again, or send a challenge of your own.",
    },
  },
  codes: {
    "cbor/truncated": {
      failure: "truncated",
      why: "The bytes end early: a download broke off, or a file was cut.",
      fix: "Fetch it again.",
    },
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
    "evidence/structure": "malformed",
    "evidence/field": "malformed",
    "evidence/pcrs": "malformed",
    "evidence/platform": {
      failure: "untrusted",
      why: "The document is of another kind of machine: an EC2 instance's NitroTPM, or a simulation.",
      fix: "Do not take it for an enclave.",
    },
    "evidence/module-id": {
      failure: "tampered",
      why: "The certificate was issued to another enclave than the one the document names.",
      fix: "Do not use this node.",
    },
    "certificate/der": CERTIFICATE,
    "certificate/profile": CERTIFICATE,
    "certificate/key": CERTIFICATE,
    "chain/root": {
      failure: "untrusted",
      why: "The chain ends in a root that your policy does not pin: a test enclave, another vendor, or an impostor.",
      fix: "Compare its digest with the published one. Only if they are equal, add it to `roots`.",
    },
    "chain/length": ISSUANCE,
    "chain/name": "tampered",
    "chain/validity": {
      failure: "expired",
      why: "The document is old, or your clock is wrong.",
      fix: "Fetch the bundle again and compare your clock. Judge a record at its own time.",
    },
    "chain/constraints": ISSUANCE,
    "chain/extension": ISSUANCE,
    "chain/signature": {
      failure: "tampered",
      why: "A certificate was changed, or was not made by the one above it.",
      fix: "Do not use this node.",
    },
    "bundle/structure": "malformed",
    "binding/structure": "malformed",
    "keyset/structure": "malformed",
    "models/structure": "malformed",
    "config/structure": "malformed",
    "policy/syntax": {
      failure: "malformed",
      why: "A root of the policy has no certificate, or a certificate no root.",
    },
    "policy/expired": {
      failure: "expired",
      why: "The policy's date has passed.",
      fix: "Review the policy, set a new `expires`, and replace the file.",
    },
    "policy/platform": "untrusted",
    "policy/debug": "untrusted",
    "policy/measurement": "untrusted",
    "policy/model": "untrusted",
    "policy/suite": "untrusted",
    "policy/revoked": {
      failure: "untrusted",
      why: "The policy revokes what was found: it was good once and is known to be bad.",
      fix: "Ask the operator to update the node. Do not remove the revocation.",
    },
    "policy/challenge": {
      failure: "stale",
      why: "The policy asks for an answer to your own challenge, and none was sent.",
      fix: "Send the node a random nonce: `countersign attest NODE --challenge`.",
    },
    "policy/padding": {
      failure: "untrusted",
      why: "The node does not hide how long its answers are.",
      fix: "Use a node that pads, or take `padding` out of the policy.",
    },
    "policy/unchecked": "untrusted",
    "binding/tag": {
      failure: "untrusted",
      why: "The enclave made this document for another purpose than an epoch.",
      fix: "Fetch the bundle again. If it fails again, do not use this node.",
    },
    "binding/lifetime": "stale",
    "binding/document": "tampered",
    "binding/keyset": "tampered",
    "binding/models": "tampered",
    "binding/config": "tampered",
    "binding/register": "tampered",
    "freshness/nonce": {
      failure: "stale",
      why: "The document answers another challenge, or none: it is replayed, or from a cache.",
      fix: "Send a new challenge. If it fails again, do not use this node.",
    },
    "freshness/age": "stale",
    "freshness/future": {
      failure: "stale",
      why: "The document is dated later than your clock: one of the two clocks is wrong.",
      fix: "Compare your clock with the network's.",
    },
  },
};
