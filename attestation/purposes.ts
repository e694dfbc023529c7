/**
 * What a person reads beside each check: what it proves, why it fails in practice, what to do.
 *
 * Texts are part of no protocol and may change.
 */
import type { CheckId } from "./checks.ts";

export interface Purpose {
  readonly proves: string;
  readonly wanted: string;
  readonly why: string;
  readonly fix: string;
}

/** One row a check; then the reasons for which a check is skipped. */
export const PURPOSE: Readonly<
  Record<CheckId | "not reached" | "by the policy" | "by design", Purpose>
> = {
  policy: {
    proves: "You decided whom to trust, and that decision has not run out.",
    wanted: "a policy that is readable and unexpired",
    why: "The policy file is damaged, or was written for another version.",
    fix: "Run `countersign policy check` on the file and mend what it names.",
  },
  bundle: {
    proves: "What the node sent is complete and of the agreed form.",
    wanted: "a bundle and an attestation document in the agreed form",
    why: "The address answered with something else, the file was damaged on its way, or the node runs another version.",
    fix: "Check the address or the file, fetch it again, and compare the node's version with yours.",
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
    fix: "Fetch it again. If it fails again, do not use this node, and tell its operator.",
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
    why: "The operator started the enclave in debug mode: its registers are zero and its console is open.",
    fix: "Ask the operator to start it without debug mode. Only for tests of your own, set `debug` to true.",
  },
  measurement: {
    proves: "The enclave runs code that your policy lists.",
    wanted: "a measurement of the policy",
    why: "The node runs another build than those you listed: often a newer release, sometimes changed code.",
    fix: "Measure the release you expect with `countersign measure`, and add it to the policy if it is the one.",
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
    why: "The operator serves other models, or other versions of them, than those you listed.",
    fix: "Compare digests with `countersign model digest`, and add the model if it is the one you want.",
  },
  suite: {
    proves: "The encryption is of a strength that your policy accepts.",
    wanted: "a suite of the policy",
    why: "The node offers another encryption suite, often an older one without post-quantum protection.",
    fix: "Use a node with a suite you accept, or name the suite in the policy.",
  },
  freshness: {
    proves: "The document was made recently, or for your own challenge.",
    wanted: "a document that is recent, or answers your challenge",
    why: "A cache holds an old document, or somebody replays one.",
    fix: "Fetch the bundle again, or send a challenge of your own.",
  },
  receipt: {
    proves: "The enclave signed for this answer with its epoch's key.",
    wanted: "a receipt signed by the epoch's key, with low s",
    why: "The receipt was changed, or made by another key than the attested one.",
    fix: "Do not use the answer. Verify the node anew and ask again.",
  },
  epoch: {
    proves: "The receipt belongs to the epoch whose evidence was verified.",
    wanted: "the digests of the verified keyset and document",
    why: "The receipt belongs to another epoch, or to a document for somebody's challenge with the same keys.",
    fix: "Judge the receipt with the bundle the node publishes for that epoch.",
  },
  index: {
    proves: "The receipt is the final one of your exchange, made within the epoch.",
    wanted: "a final receipt of this exchange, made within the epoch",
    why: "A receipt of another exchange was attached to this answer.",
    fix: "Do not use the answer. Ask again.",
  },
  model: {
    proves: "The model you asked for made this answer, and your policy lists it.",
    wanted: "the model asked for, served in this epoch and allowed by the policy",
    why: "Another model answered than the one you named or listed.",
    fix: "Do not use the answer. Name a model the policy lists, or add the model to it.",
  },
  request: {
    proves: "The enclave saw exactly the request you sent.",
    wanted: "the request head recomputed from what was sent",
    why: "The enclave's record of the request differs from yours.",
    fix: "Do not use the answer. Ask again, and tell the operator if it happens again.",
  },
  response: {
    proves: "You received exactly the answer the enclave sent.",
    wanted: "the response head recomputed from what was received",
    why: "The enclave's record of the answer differs from what you hold.",
    fix: "Do not use the answer. Ask again, and tell the operator if it happens again.",
  },
  complete: {
    proves: "The answer ended where the enclave ended it.",
    wanted: "an answer whose final chunk was opened",
    why: "The connection broke before the end, or somebody cut the answer short.",
    fix: "Do not take the part for the whole. Ask again.",
  },
  "not reached": {
    proves: "",
    wanted: "",
    why: "An earlier check failed, and this one rests on it.",
    fix: "Mend the first check that failed, then judge again.",
  },
  "by the policy": {
    proves: "",
    wanted: "",
    why: "The policy switches this check off in words.",
    fix: "List what you accept in the policy to have it checked.",
  },
  "by design": {
    proves: "",
    wanted: "",
    why: "This check does not apply to what was judged.",
    fix: "Nothing, unless you need this fact: then judge a whole bundle or an opened proof, live.",
  },
};
