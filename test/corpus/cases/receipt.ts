/** Receipts: each claim against the epoch, the clock and the request. PROTOCOL 7. */
import {
  assembleReceipt,
  encodeHex,
  encodeReceiptClaims,
  parseReceipt,
  type ReceiptClaims,
} from "@countersign/attestation";
import type { Case } from "../case.ts";
import { exchangeInput, exchangeOf, heldOf, type Honest, withClaims } from "../held.ts";
import { accepted, type Circumstances, refused, type Input } from "../node-case.ts";
import {
  challenge,
  DIGITS,
  honestEpoch,
  neighbourEpoch,
  NEWER_DIGITS,
  nextEpoch,
  NOT_AFTER,
  NOT_BEFORE,
  NOW_MS,
  random,
  SECOND_MS,
  SKETCH,
} from "../node.ts";
import type { ExchangeFile } from "../vector.ts";
import { receiptEncodings, receiptStructures } from "./receipt-claims.ts";
import { badReceipt, receiptEnvelopes, receiptSignatures } from "./receipt-envelope.ts";

const SKEW_SECONDS = 60;

const YEAR_MS = 365 * 86_400_000;

export async function receiptCases(): Promise<readonly Case[]> {
  const epoch = await honestEpoch();
  const honest = { epoch, exchange: await exchangeOf(epoch) };
  return [
    ...acceptedClaims(honest),
    ...(await receiptSignatures(honest)),
    ...receiptEnvelopes(honest),
    ...receiptEncodings(honest),
    ...receiptStructures(honest),
    ...(await unsignedChanges(honest)),
    ...(await receiptEpochs(honest)),
    ...receiptTimes(honest),
    ...receiptPhases(honest),
    ...brokenChains(honest),
    ...receiptModels(honest),
  ];
}

function acceptedClaims(honest: Honest): readonly Case[] {
  const outcome = {
    status: 200,
    finishReason: "stop",
    promptTokens: 12,
    completionTokens: 0,
    seed: -1,
    parameters: random(32),
  };
  const rows: readonly (readonly [name: string, what: string, claims: Partial<ReceiptClaims>])[] = [
    ["receipt", "nothing: the honest receipt", {}],
    ["receipt-with-generated-text", "all that an outcome may say", { outcome }],
    ["receipt-index-of-53-bits", "the greatest index", { index: Number.MAX_SAFE_INTEGER }],
  ];
  const previous = random(32);
  return [
    ...rows.map(([name, what, claims]) =>
      accepted(name, what, "PROTOCOL 7", withClaims(honest, claims)),
    ),
    accepted(
      "receipt-with-previous",
      "the digest of the checkpoint receipt that was seen before",
      "PROTOCOL 7",
      withClaims(honest, { previous }, { previous: encodeHex(previous) }),
    ),
  ];
}

/** The chain of an exchange's receipts, as it is not. */
function brokenChains(honest: Honest): readonly Case[] {
  const seen = random(32);
  const rows: readonly (readonly [name: string, what: string, named: Uint8Array | null])[] = [
    ["none", "no receipt before it, where a checkpoint was seen", null],
    ["another", "another receipt before it than the one seen", random(32)],
    ["a-bit", "one bit of the receipt before", seen.with(31, (seen[31] ?? 0) ^ 1)],
  ];
  const wrong = (name: string, what: string, input: Input): Case =>
    refused("index", "receipt/previous", name, what, "PROTOCOL 7", input);
  return [
    ...rows.map(([name, what, previous]) =>
      wrong(
        `receipt-previous-${name}`,
        what,
        withClaims(honest, { previous }, { previous: encodeHex(seen) }),
      ),
    ),
    wrong(
      "receipt-previous-unseen",
      "a receipt before it, where none was seen",
      withClaims(honest, { previous: seen }),
    ),
  ];
}

/** One claim changed after the receipt was signed: nothing but the signature says so. */
async function unsignedChanges(honest: Honest): Promise<readonly Case[]> {
  const { claims, receipt } = honest.exchange;
  const { signature } = parseReceipt(receipt);
  const next = await nextEpoch();
  const flip = (bytes: Uint8Array): Uint8Array => bytes.with(0, (bytes[0] ?? 0) ^ 1);
  const rows: readonly (readonly [name: string, what: string, change: Partial<ReceiptClaims>])[] = [
    ["iat", "the time", { issuedAt: claims.issuedAt + 1 }],
    ["cti", "the exchange", { exchange: flip(claims.exchange) }],
    ["keyset", "the keyset digest", { keysetDigest: next.binding.keysetDigest }],
    ["document", "the document digest", { documentDigest: next.documentDigest }],
    ["index", "the index", { index: claims.index + 1 }],
    ["phase", "the phase", { phase: "aborted" }],
    ["model-version", "the model's version, and its digest to fit", { model: NEWER_DIGITS }],
    ["model", "the model, to null", { model: null }],
    [
      "request-root",
      "the request's root",
      { request: { ...claims.request, root: flip(claims.request.root) } },
    ],
    [
      "request-bytes",
      "the request's bytes",
      { request: { ...claims.request, bytes: claims.request.bytes + 1 } },
    ],
    [
      "response-root",
      "the answer's root",
      { response: { ...claims.response, root: flip(claims.response.root) } },
    ],
    ["response-leaves", "the answer's leaves", { response: { ...claims.response, leaves: 4 } }],
    ["status", "the status", { outcome: { status: 201 } }],
    ["seed", "a seed, added", { outcome: { status: 200, seed: 7 } }],
    ["previous", "a receipt before, added", { previous: random(32) }],
  ];
  return rows.map(([name, what, change]) => {
    const payload = encodeReceiptClaims({ ...claims, ...change });
    const forged = assembleReceipt(payload, signature);
    return badReceipt(
      honest,
      "receipt/signature",
      `receipt-unsigned-${name}`,
      `${what}, changed after signing`,
      "RFC 9052 §4.4",
      forged,
    );
  });
}

/** Signed by the epoch's key, and about another epoch. */
async function receiptEpochs(honest: Honest): Promise<readonly Case[]> {
  const { epoch, exchange } = honest;
  const [next, neighbour] = [await nextEpoch(), await neighbourEpoch()];
  const { keysetDigest, documentDigest } = exchange.claims;
  const answer = challenge(epoch, random(32));
  const wrong = (name: string, what: string, claims: Partial<ReceiptClaims>): Case =>
    refused("epoch", "receipt/epoch", name, what, "PROTOCOL 7", withClaims(honest, claims));
  return [
    wrong("receipt-of-next-keyset", "the keyset digest of the next epoch", {
      keysetDigest: next.binding.keysetDigest,
    }),
    wrong("receipt-of-next-document", "the document digest of the next epoch", {
      documentDigest: next.documentDigest,
    }),
    wrong("receipt-of-next-epoch", "both digests of the next epoch", {
      keysetDigest: next.binding.keysetDigest,
      documentDigest: next.documentDigest,
    }),
    wrong("receipt-of-neighbour", "both digests of another enclave's epoch", {
      keysetDigest: neighbour.binding.keysetDigest,
      documentDigest: neighbour.documentDigest,
    }),
    wrong(
      "receipt-of-challenge-document",
      "the digest of the document that answered a challenge, under the published bundle",
      { documentDigest: answer.documentDigest },
    ),
    wrong("receipt-epoch-swapped", "document digest and keyset digest swapped", {
      keysetDigest: documentDigest,
      documentDigest: keysetDigest,
    }),
    wrong("receipt-of-models-digest", "the models digest for a keyset digest", {
      keysetDigest: epoch.binding.modelsDigest,
    }),
    wrong("receipt-of-envelope-digest", "the digest of zeros for a document digest", {
      documentDigest: new Uint8Array(32),
    }),
    refused(
      "epoch",
      "receipt/epoch",
      "receipt-under-challenge-bundle",
      "the honest receipt, under the bundle that answered a challenge",
      "PROTOCOL 4",
      exchangeInput(answer.bundle, heldOf(exchange)),
    ),
  ];
}

function receiptTimes(honest: Honest): readonly Case[] {
  const now = NOW_MS / 1000;
  const inTime = (name: string, what: string, issuedAt: number, rest: Circumstances = {}): Case =>
    accepted(name, what, "PROTOCOL 7", withClaims(honest, { issuedAt }), rest);
  const wrong = (name: string, what: string, issuedAt: number, rest: Circumstances = {}): Case =>
    refused(
      "index",
      "receipt/time",
      name,
      what,
      "PROTOCOL 7",
      withClaims(honest, { issuedAt }),
      rest,
    );
  const atTheEnd = { nowMs: NOT_AFTER * SECOND_MS } as const;
  const years = {
    mode: "archive",
    policy: "node-archive",
    nowMs: NOW_MS + 5 * YEAR_MS,
    skipped: ["freshness"],
  } as const;
  return [
    inTime(
      "receipt-as-the-epoch-begins",
      "as long before notBefore as the skew allows",
      NOT_BEFORE - SKEW_SECONDS,
    ),
    wrong("receipt-before-the-epoch", "a second earlier", NOT_BEFORE - SKEW_SECONDS - 1),
    wrong("receipt-of-1970", "a time of zero", 0),
    inTime(
      "receipt-ahead-of-our-clock",
      "as far in the future as the skew allows",
      now + SKEW_SECONDS,
    ),
    wrong("receipt-of-the-future", "a second later", now + SKEW_SECONDS + 1),
    wrong(
      "receipt-of-the-future-within-a-second",
      "a second beyond the skew, though our clock shows a part of the next second",
      now + SKEW_SECONDS + 1,
      { nowMs: NOW_MS + 999 },
    ),
    inTime(
      "receipt-as-the-epoch-ends",
      "as long after notAfter as the skew allows",
      NOT_AFTER + SKEW_SECONDS,
      atTheEnd,
    ),
    inTime(
      "receipt-in-archive",
      "a receipt of the epoch's last second, years later",
      NOT_AFTER,
      years,
    ),
    inTime(
      "receipt-in-archive-within-the-skew",
      "a receipt of the skew after notAfter, years later",
      NOT_AFTER + SKEW_SECONDS,
      years,
    ),
    wrong(
      "receipt-in-archive-after-the-epoch",
      "a second later, years later",
      NOT_AFTER + SKEW_SECONDS + 1,
      years,
    ),
    wrong(
      "receipt-in-archive-of-that-day",
      "a receipt of the day it is judged, years after its epoch",
      NOW_MS / 1000 + (5 * YEAR_MS) / 1000,
      years,
    ),
    wrong("receipt-of-53-bits", "the greatest time", Number.MAX_SAFE_INTEGER),
  ];
}

function receiptPhases(honest: Honest): readonly Case[] {
  const { epoch, exchange } = honest;
  const wrong = (phase: "checkpoint" | "aborted", what: string): Case =>
    refused(
      "index",
      "receipt/phase",
      `receipt-${phase}`,
      what,
      "PROTOCOL 7",
      withClaims(honest, { phase }),
    );
  const other = encodeHex(random(16));
  const cut = exchange.exchange.with(15, (exchange.exchange[15] ?? 0) ^ 1);
  return [
    wrong("checkpoint", "a checkpoint where the exchange is over"),
    wrong("aborted", "an aborted exchange that is shown as answered"),
    refused(
      "index",
      "receipt/exchange",
      "receipt-of-another-exchange",
      "the cti of another encapsulation than ours",
      "PROTOCOL 7",
      exchangeInput(epoch.bundle, { ...heldOf(exchange), exchange: other }),
    ),
    refused(
      "index",
      "receipt/exchange",
      "receipt-cti-last-bit",
      "our cti but for its last bit",
      "PROTOCOL 7",
      withClaims(honest, { exchange: cut }),
    ),
    refused(
      "index",
      "receipt/exchange",
      "receipt-cti-zero",
      "a cti of zeros",
      "PROTOCOL 7",
      withClaims(honest, { exchange: new Uint8Array(16) }),
    ),
    accepted(
      "receipt-of-an-unknown-exchange",
      "no encapsulation is known, as offline",
      "PROTOCOL 7",
      exchangeInput(epoch.bundle, { ...heldOf(exchange), exchange: null }),
    ),
  ];
}

function receiptModels(honest: Honest): readonly Case[] {
  const wrong = (
    name: string,
    what: string,
    claims: Partial<ReceiptClaims>,
    change: Partial<ExchangeFile> = {},
  ): Case =>
    refused("model", "receipt/model", name, what, "PROTOCOL 7", withClaims(honest, claims, change));
  const right = (
    name: string,
    what: string,
    claims: Partial<ReceiptClaims>,
    change: Partial<ExchangeFile>,
    rest: Circumstances = {},
  ): Case => accepted(name, what, "PROTOCOL 7", withClaims(honest, claims, change), rest);
  const anyVersion = { asked: { id: "digits", version: null } } as const;
  const nothing = { asked: null } as const;
  const anyModel: Circumstances = {
    policy: (file) => {
      file.models = "any";
    },
    skipped: ["models"],
  };
  return [
    wrong("model-other-version", "another version than asked for, of the epoch and of the policy", {
      model: NEWER_DIGITS,
    }),
    wrong(
      "model-other-id",
      "another model than asked for",
      { model: DIGITS },
      { asked: { id: "sketch", version: null } },
    ),
    wrong(
      "model-id-in-capitals",
      "another spelling than asked for",
      { model: DIGITS },
      { asked: { id: "Digits", version: null } },
    ),
    wrong(
      "model-digest-of-other-version",
      "the id and version asked for with another version's digest",
      { model: { ...DIGITS, digest: NEWER_DIGITS.digest } },
    ),
    wrong(
      "model-digest-unknown",
      "the id and version asked for with a digest that is not of the epoch",
      { model: { ...DIGITS, digest: random(32) } },
    ),
    wrong(
      "model-not-of-the-epoch",
      "a model that the epoch does not have, where none was asked for",
      { model: { ...DIGITS, version: "3" } },
      nothing,
    ),
    wrong("model-null", "no model, of an answer that a model was asked for", { model: null }),
    wrong(
      "model-null-of-status-399",
      "no model, of the last status below a refusal",
      { model: null, outcome: { status: 399 } },
      { status: 399 },
    ),
    refused(
      "model",
      "policy/model",
      "model-unlisted",
      "a model of the epoch that the policy does not list",
      "PROTOCOL 9",
      withClaims(honest, { model: SKETCH }, nothing),
    ),
    refused(
      "model",
      "policy/model",
      "model-unlisted-and-asked-for",
      "the model asked for, which the policy does not list",
      "PROTOCOL 9",
      withClaims(honest, { model: SKETCH }, { asked: { id: "sketch", version: "1" } }),
    ),
    right(
      "model-of-any-version",
      "the newer version, where the request left it open",
      { model: NEWER_DIGITS },
      anyVersion,
    ),
    right(
      "model-where-none-was-asked-for",
      "a model of epoch and policy, where the request named none",
      {},
      nothing,
    ),
    right(
      "model-null-where-none-was-asked-for",
      "no model, where the request named none",
      { model: null },
      nothing,
    ),
    right(
      "model-unlisted-any-allowed",
      "an unlisted model, under a policy that allows any",
      { model: SKETCH },
      { asked: { id: "sketch", version: "1" } },
      anyModel,
    ),
  ];
}
