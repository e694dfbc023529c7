import type { EXCHANGE_CHECKS, FailureClass } from "./checks.ts";
import type { AttestationErrorCode } from "./errors.ts";
import { EVIDENCE_WORDS } from "./evidence-words.ts";
import type { Purpose, Remedy, Words } from "./words.ts";

interface ExchangeWords extends Words {
  readonly checks: Readonly<Record<(typeof EXCHANGE_CHECKS)[number], Purpose>>;
  readonly codes: Readonly<Record<AttestationErrorCode, Remedy | FailureClass>>;
}

/** Words of one exchange: its checks in their order, codes in the order of errors.ts. */
export const EXCHANGE_WORDS: ExchangeWords = {
  checks: {
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
  },
  codes: {
    ...EVIDENCE_WORDS.codes,
    "receipt/structure": "malformed",
    "receipt/signature": "tampered",
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
    "merkle/inclusion": "tampered",
    "merkle/consistency": "tampered",
    "receipt/epoch": "tampered",
    "receipt/index": "malformed",
    "receipt/exchange": "tampered",
    "receipt/previous": {
      failure: "tampered",
      why: "Receipts of this exchange are missing between the last one you have and this one, or were swapped.",
      fix: "Do not use the answer. Ask again.",
    },
    "receipt/model": "tampered",
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
    "receipt/status": "tampered",
    "transcript/request": "tampered",
    "transcript/response": "tampered",
    "transcript/incomplete": "truncated",
  },
};
