/** Proofs: what they open, whose receipt and whose bundle they carry. PROTOCOL 8. */
import { concatBytes, encodeUtf8, type Opening } from "@countersign/attestation";
import { makeExchange } from "../../fakes/attester.ts";
import type { Case } from "../case.ts";
import { committed, exchangeOf, resigned } from "../held.ts";
import { challenge, honestEpoch, nextEpoch, NOW_MS, random } from "../node.ts";
import { type Honest, OLD, openingOf, proofOf, right, UNOPENED, wrong } from "../proof-case.ts";
import { proofBundles, proofPolicies, proofReceipts } from "./proof-evidence.ts";
import { proofEncodings, proofStructures } from "./proof-form.ts";

export async function proofCases(): Promise<readonly Case[]> {
  const epoch = await honestEpoch();
  const exchange = await exchangeOf(epoch);
  const honest = { epoch, exchange, bytes: proofOf(epoch, exchange) };
  return [
    ...(await honestProofs(honest)),
    ...proofEncodings(honest),
    ...proofStructures(honest),
    ...(await proofOpenings(honest)),
    ...(await proofStatuses(honest)),
    ...(await proofReceipts(honest)),
    ...(await proofBundles(honest)),
    ...proofPolicies(honest),
  ];
}

async function honestProofs({ epoch, exchange, bytes }: Honest): Promise<readonly Case[]> {
  const refusal = await exchangeOf(epoch, { outcome: { status: 413 }, model: null });
  const first = refusal.requestLeaves.slice(0, 1);
  const partly = {
    ...refusal,
    requestLeaves: first,
    receipt: await committed(epoch, refusal, { request: first }),
  };
  const unread = {
    ...refusal,
    requestLeaves: [],
    receipt: await committed(epoch, refusal, { request: [] }),
  };
  const unopened = proofOf(epoch, exchange, { opening: null });
  const next = await nextEpoch();
  const answered = challenge(epoch, random(32));
  const named = resigned(epoch, exchange, { documentDigest: answered.documentDigest });
  return [
    right("proof", "nothing: the honest proof with its opening, twenty years later", bytes),
    right("proof-unopened", "the honest proof without its opening", unopened, UNOPENED),
    right("proof-of-today", "the honest proof, on the day it was made", bytes, OLD, {
      nowMs: NOW_MS,
      policy: "node",
    }),
    right(
      "proof-under-a-policy-that-wants-a-challenge",
      "a challenge is required of live bundles only",
      bytes,
      OLD,
      { nowMs: NOW_MS, policy: "node-challenge" },
    ),
    right(
      "proof-unchecked",
      "image, models and freshness unchecked, by the policy's words",
      bytes,
      ["measurement", "models", "freshness"],
      { nowMs: NOW_MS, policy: "node-unchecked" },
    ),
    right("proof-of-a-refusal", "a refusal, which no model answered", proofOf(epoch, refusal)),
    right(
      "proof-of-a-refusal-of-one-leaf",
      "a refusal after the head section, with that leaf alone",
      proofOf(epoch, partly),
    ),
    right(
      "proof-of-a-refusal-of-no-leaf",
      "a refusal before anything was read, with no request leaf",
      proofOf(epoch, unread),
    ),
    right(
      "proof-of-next-epoch",
      "an exchange of the next epoch, with its own bundle",
      proofOf(next, await exchangeOf(next)),
    ),
    right(
      "proof-by-challenge-document",
      "a receipt that names the challenge's document, with the bundle of that document",
      proofOf(epoch, exchange, { receipt: named, bundle: answered.bundle }),
    ),
  ];
}

/** The opening does not show what the receipt commits to. */
async function proofOpenings({ epoch, exchange }: Honest): Promise<readonly Case[]> {
  const { requestLeaves, responseLeaves: answers } = exchange;
  const [question = random(1), second = random(1), third = random(1)] = requestLeaves;
  const [preamble = random(1), ...content] = answers;
  const sibling = await exchangeOf(epoch);
  const open = (change: Partial<Opening>): Uint8Array =>
    proofOf(epoch, exchange, { opening: { ...openingOf(exchange), ...change } });
  const rows: readonly (readonly [
    direction: "request" | "response",
    name: string,
    what: string,
    bytes: Uint8Array,
  ])[] = [
    [
      "request",
      "of-another-exchange",
      "the opening of another exchange with the same content",
      open(openingOf(sibling)),
    ],
    ["request", "with-another-key", "another Kc", open({ kc: sibling.kc })],
    ["request", "without-request", "no request leaves", open({ request: [] })],
    [
      "request",
      "without-request-head",
      "the request's first leaf missing",
      open({ request: [second, third] }),
    ],
    [
      "request",
      "with-a-request-leaf-more",
      "a request leaf more than the receipt counts",
      open({ request: [...requestLeaves, random(4)] }),
    ],
    [
      "request",
      "with-an-empty-request-leaf-more",
      "an empty request leaf more than the receipt counts",
      open({ request: [...requestLeaves, new Uint8Array()] }),
    ],
    [
      "request",
      "request-reordered",
      "two request leaves swapped",
      open({ request: [question, third, second] }),
    ],
    [
      "request",
      "request-changed",
      "one bit of the request",
      open({ request: [question, second, third.with(0, (third[0] ?? 0) ^ 1)] }),
    ],
    [
      "request",
      "request-leaves-joined",
      "two request leaves as one",
      open({ request: [question, concatBytes(second, third)] }),
    ],
    [
      "request",
      "directions-swapped",
      "request and answer swapped",
      open({ request: answers, response: requestLeaves }),
    ],
    [
      "response",
      "response-cut",
      "the answer's last leaf missing",
      open({ response: answers.slice(0, -1) }),
    ],
    [
      "response",
      "with-a-response-leaf-more",
      "a response leaf more than the receipt counts",
      open({ response: [...answers, random(4)] }),
    ],
    [
      "response",
      "with-an-empty-response-leaf-more",
      "an empty response leaf more than the receipt counts",
      open({ response: [...answers, new Uint8Array()] }),
    ],
    [
      "response",
      "response-reordered",
      "two response leaves swapped",
      open({ response: [preamble, ...content.toReversed()] }),
    ],
    [
      "response",
      "response-head-changed",
      "one bit of the answer's header section",
      open({ response: [preamble.with(-2, (preamble.at(-2) ?? 0) ^ 1), ...content] }),
    ],
    [
      "response",
      "response-changed",
      "one digit of the answer",
      open({
        response: [preamble, ...content.map((leaf) => leaf.with(-4, (leaf.at(-4) ?? 0) ^ 1))],
      }),
    ],
  ];
  const refusal = await exchangeOf(epoch, { outcome: { status: 413 }, model: null });
  const first = refusal.requestLeaves.slice(0, 1);
  const receipt = await committed(epoch, refusal, { request: first });
  const partly = (request: readonly Uint8Array[]): Uint8Array =>
    proofOf(epoch, refusal, { receipt, opening: { ...openingOf(refusal), request } });
  return [
    ...rows.map(([direction, name, what, bytes]) =>
      wrong(direction, `transcript/${direction}`, `proof-${name}`, what, bytes),
    ),
    wrong(
      "request",
      "transcript/request",
      "proof-of-a-refusal-with-unread-leaves",
      "leaves that the refusal does not cover: they would be shown unproven",
      partly(refusal.requestLeaves),
    ),
    wrong(
      "request",
      "transcript/request",
      "proof-of-a-refusal-without-the-leaf",
      "no leaf, of a refusal that covers one",
      partly([]),
    ),
    wrong(
      "request",
      "transcript/request",
      "proof-of-a-refusal-with-an-empty-leaf",
      "the leaf that the refusal covers, emptied",
      partly([new Uint8Array()]),
    ),
  ];
}

/** What the first response leaf says of the status. RFC 9292 §3.1, RFC 9000 §16. */
async function proofStatuses({ epoch }: Honest): Promise<readonly Case[]> {
  const proof = async (...response: readonly Uint8Array[]): Promise<Uint8Array> => {
    const exchange = await makeExchange(epoch, { responseLeaves: response });
    return proofOf(epoch, exchange);
  };
  const good: readonly (readonly [name: string, what: string, leaf: Uint8Array])[] = [
    [
      "known-length",
      "an answer of known length, framing indicator 1",
      Uint8Array.of(1, 0x40, 0xc8, 0, 0),
    ],
    [
      "in-four-bytes",
      "the status in four bytes, which RFC 9000 allows",
      Uint8Array.of(3, 0x80, 0, 0, 0xc8, 0),
    ],
    [
      "framing-in-two-bytes",
      "the framing indicator in two bytes",
      Uint8Array.of(0x40, 3, 0x40, 0xc8, 0),
    ],
    ["alone", "a first leaf that ends with the status", Uint8Array.of(3, 0x40, 0xc8)],
  ];
  const bad: readonly (readonly [name: string, what: string, leaf: Uint8Array])[] = [
    ["other", "a status of 201, where the receipt says 200", Uint8Array.of(3, 0x40, 0xc9, 0)],
    ["refusal", "a status of 404, where the receipt says 200", Uint8Array.of(3, 0x41, 0x94, 0)],
    [
      "in-one-byte",
      "a status of 8, the last byte of 200 in a byte of its own",
      Uint8Array.of(3, 0x08, 0),
    ],
    ["of-a-request", "the framing indicator of a request", Uint8Array.of(2, 0x40, 0xc8, 0)],
    ["framing-unknown", "an unknown framing indicator", Uint8Array.of(4, 0x40, 0xc8, 0)],
    ["cut", "a first leaf that ends within the status", Uint8Array.of(3, 0x40)],
    ["missing", "a first leaf that ends before the status", Uint8Array.of(3)],
    ["of-empty-leaf", "a first leaf of no bytes", new Uint8Array()],
    ["as-text", "a status line of HTTP/1.1", encodeUtf8("HTTP/1.1 200 OK\r\n")],
  ];
  return [
    ...(await Promise.all(
      good.map(async ([name, what, leaf]) =>
        right(`proof-status-${name}`, what, await proof(leaf)),
      ),
    )),
    ...(await Promise.all(
      bad.map(async ([name, what, leaf]) =>
        wrong("response", "receipt/status", `proof-status-${name}`, what, await proof(leaf)),
      ),
    )),
    wrong(
      "response",
      "receipt/status",
      "proof-without-response",
      "an answer without leaves, as the receipt says",
      await proof(),
    ),
    wrong(
      "response",
      "receipt/status",
      "proof-response-emptied",
      "no response leaves, though the receipt counts some",
      proofOf(epoch, { ...(await exchangeOf(epoch)), responseLeaves: [] }),
    ),
  ];
}
