/** Exchanges: whose receipt it is, and both directions against what its client holds. PROTOCOL 6, 7. */
import {
  type AttestationErrorCode,
  concatBytes,
  encodeHex,
  encodeUtf8,
  type Head,
  type ReceiptClaims,
} from "@countersign/attestation";
import { type FakeExchange, headOf, sha256 } from "../../fakes/attester.ts";
import type { Case } from "../case.ts";
import {
  committed,
  exchangeInput,
  exchangeOf,
  heldOf,
  type Honest,
  resigned,
  responseLeaves,
} from "../held.ts";
import { accepted, type Circumstances, type Input, refused } from "../node-case.ts";
import { challenge, honestEpoch, neighbourEpoch, nextEpoch, NOW_MS, random } from "../node.ts";
import type { ExchangeFile } from "../vector.ts";

const DAY_MS = 86_400_000;

export async function exchangeCases(): Promise<readonly Case[]> {
  const epoch = await honestEpoch();
  const honest = { epoch, exchange: await exchangeOf(epoch) };
  return [
    ...(await honestExchanges(honest)),
    ...(await foreignReceipts(honest)),
    ...heldLeaves(honest, "request"),
    ...heldLeaves(honest, "response"),
    ...(await signedHeads(honest)),
    ...(await refusals(honest)),
    ...endings(honest),
  ];
}

/** The honest exchange, with what its client holds changed. */
function held({ epoch, exchange }: Honest, change: Partial<ExchangeFile>): Input {
  return exchangeInput(epoch.bundle, { ...heldOf(exchange), ...change });
}

async function honestExchanges(honest: Honest): Promise<readonly Case[]> {
  const { epoch } = honest;
  const one = {
    requestLeaves: [encodeUtf8("GET")],
    responseLeaves: responseLeaves(200).slice(0, 1),
  };
  const small = await exchangeOf(epoch);
  const short = {
    ...small,
    ...one,
    receipt: await committed(epoch, small, {
      request: one.requestLeaves,
      response: one.responseLeaves,
    }),
  };
  const many = Array.from({ length: 200 }, (_, i) => encodeUtf8(`data: ${i}\n\n`));
  const stream = {
    ...small,
    responseLeaves: [...one.responseLeaves, ...many],
    receipt: await committed(epoch, small, { response: [...one.responseLeaves, ...many] }),
  };
  const empty = [...one.responseLeaves, new Uint8Array()];
  const emptyLeaf = {
    ...small,
    responseLeaves: empty,
    receipt: await committed(epoch, small, { response: empty }),
  };
  const next = await nextEpoch();
  const archive = { mode: "archive", nowMs: NOW_MS + 30 * DAY_MS, skipped: ["freshness"] } as const;
  const row = (name: string, what: string, input: Input, rest: Circumstances = {}): Case =>
    accepted(name, what, "PROTOCOL 7", input, rest);
  return [
    row("exchange", "nothing: the honest exchange", held(honest, {})),
    row(
      "exchange-of-one-leaf-each",
      "a request and an answer without content",
      held({ epoch, exchange: short }, {}),
    ),
    row("exchange-streamed", "an answer of 201 leaves", held({ epoch, exchange: stream }, {})),
    row(
      "exchange-with-empty-leaf",
      "a last content chunk of no bytes, which counts as a leaf",
      held({ epoch, exchange: emptyLeaf }, {}),
    ),
    row(
      "exchange-of-next-epoch",
      "an exchange of the next epoch, under its own bundle",
      exchangeInput(next.bundle, heldOf(await exchangeOf(next))),
    ),
    row("exchange-without-known-status", "no status is known here", held(honest, { status: null })),
    row(
      "exchange-archived",
      "an exchange judged a month later, in archive mode",
      held(honest, {}),
      archive,
    ),
    row(
      "exchange-with-index-gap",
      "an index far from zero: what lies between is not told by one receipt",
      held(
        {
          epoch,
          exchange: {
            ...honest.exchange,
            receipt: resigned(epoch, honest.exchange, { index: 1_000_000 }),
          },
        },
        {},
      ),
    ),
  ];
}

/** Honest receipts of other epochs and exchanges, and none. */
async function foreignReceipts(honest: Honest): Promise<readonly Case[]> {
  const { epoch, exchange } = honest;
  const [next, neighbour] = [await nextEpoch(), await neighbourEpoch()];
  const ofNext = await exchangeOf(next);
  const ofNeighbour = await exchangeOf(neighbour);
  const sibling = await exchangeOf(epoch);
  const answered = challenge(epoch, random(32));
  const signed = (name: string, what: string, bundle: Uint8Array, of: FakeExchange): Case =>
    refused(
      "receipt",
      "receipt/signature",
      name,
      what,
      "PROTOCOL 7",
      exchangeInput(bundle, heldOf(of)),
    );
  const receiptOf = (other: FakeExchange): Partial<ExchangeFile> => ({
    receipt: encodeHex(other.receipt),
  });
  return [
    refused(
      "receipt",
      "receipt/missing",
      "answer-without-receipt",
      "the answer ended without a receipt",
      "PROTOCOL 5",
      held(honest, { receipt: null }),
    ),
    signed(
      "exchange-of-next-epoch-under-this",
      "an exchange of the next epoch, under this one's bundle",
      epoch.bundle,
      ofNext,
    ),
    signed(
      "exchange-of-this-epoch-under-next",
      "an exchange of this epoch, under the next one's bundle",
      next.bundle,
      exchange,
    ),
    signed(
      "exchange-of-neighbour",
      "an exchange of another enclave with the same image and models",
      epoch.bundle,
      ofNeighbour,
    ),
    refused(
      "receipt",
      "receipt/signature",
      "receipt-of-neighbour-over-our-leaves",
      "another enclave's receipt that names our epoch, exchange and leaves",
      "PROTOCOL 7",
      held(honest, { receipt: encodeHex(resigned(neighbour, exchange, {})) }),
    ),
    refused(
      "index",
      "receipt/exchange",
      "receipt-of-another-exchange-of-ours",
      "the honest receipt of another exchange of the same epoch",
      "PROTOCOL 7",
      held(honest, receiptOf(sibling)),
    ),
    refused(
      "request",
      "transcript/request",
      "receipt-of-another-exchange-offline",
      "the same, where no encapsulation is known",
      "PROTOCOL 6",
      held(honest, { ...receiptOf(sibling), exchange: null }),
    ),
    accepted(
      "exchange-by-challenge-document",
      "a receipt that names the challenge's document, under the bundle with that document",
      "PROTOCOL 7",
      exchangeInput(answered.bundle, {
        ...heldOf(exchange),
        receipt: encodeHex(resigned(epoch, exchange, { documentDigest: answered.documentDigest })),
      }),
    ),
  ];
}

/** The receipt is honest; what the client holds of one direction is not what was committed to. */
function heldLeaves(honest: Honest, direction: "request" | "response"): readonly Case[] {
  const { exchange } = honest;
  const leaves = direction === "request" ? exchange.requestLeaves : exchange.responseLeaves;
  const [first = random(1), second = random(1), third = random(1)] = leaves;
  const one = first.with(-1, (first.at(-1) ?? 0) ^ 1);
  const half = second.length >> 1;
  const other = direction === "request" ? exchange.responseLeaves : exchange.requestLeaves;
  const rows: readonly (readonly [name: string, what: string, leaves: readonly Uint8Array[]])[] = [
    ["none", "no leaves", []],
    ["first-dropped", "no head section", [second, third]],
    ["middle-dropped", "a chunk dropped", [first, third]],
    ["last-dropped", "the last chunk dropped", [first, second]],
    ["last-doubled", "the last chunk twice", [first, second, third, third]],
    ["chunk-inserted", "a chunk inserted", [first, random(8), second, third]],
    ["empty-chunk-added", "a chunk of no bytes added", [first, second, third, new Uint8Array()]],
    ["chunks-swapped", "two chunks swapped", [first, third, second]],
    ["reversed", "all leaves backwards", [third, second, first]],
    ["head-changed", "one bit of the head section", [one, second, third]],
    ["chunk-changed", "one bit of a chunk", [first, second.with(0, (second[0] ?? 0) ^ 1), third]],
    ["chunk-replaced", "a chunk of other bytes, as long", [first, random(second.length), third]],
    ["chunk-cut", "a chunk without its last byte", [first, second, third.slice(0, -1)]],
    [
      "chunk-extended",
      "a chunk and a zero byte",
      [first, second, concatBytes(third, Uint8Array.of(0))],
    ],
    [
      "chunks-joined",
      "two chunks as one: the content is the same",
      [first, concatBytes(second, third)],
    ],
    [
      "chunk-divided",
      "one chunk as two: the content is the same",
      [first, second.slice(0, half), second.slice(half), third],
    ],
    [
      "boundary-moved",
      "a byte from one chunk to the next: content and number are the same",
      [first, second.slice(0, -1), concatBytes(second.slice(-1), third)],
    ],
    ["of-the-other-direction", "the leaves of the other direction", other],
    [
      "empty-leaves",
      "as many leaves, all empty",
      [new Uint8Array(), new Uint8Array(), new Uint8Array()],
    ],
  ];
  return rows.map(([name, what, held_]) =>
    refused(
      direction,
      `transcript/${direction}`,
      `${direction}-${name}`,
      `${direction}: ${what}`,
      "PROTOCOL 6",
      held(honest, { [direction]: held_.map(encodeHex) }),
    ),
  );
}

/** What the client holds is what there was; the receipt, signed, says something else. */
async function signedHeads(honest: Honest): Promise<readonly Case[]> {
  const { epoch, exchange } = honest;
  const { claims, kc, requestLeaves, responseLeaves: answers } = exchange;
  const sibling = await exchangeOf(epoch);
  const flipped = (head: Head): Head => ({
    ...head,
    root: head.root.with(31, (head.root[31] ?? 0) ^ 1),
  });
  const otherKc = random(32);
  const rows: readonly (readonly [
    direction: "request" | "response",
    name: string,
    what: string,
    change: Partial<ReceiptClaims>,
  ])[] = [
    ...(["request", "response"] as const).flatMap((direction) => {
      const head = claims[direction];
      const change = (name: string, what: string, value: Partial<Head>): (typeof rows)[number] => [
        direction,
        name,
        what,
        { [direction]: { ...head, ...value } },
      ];
      return [
        change("root-changed", "one bit of the root", flipped(head)),
        change("root-zero", "a root of zeros", { root: new Uint8Array(32) }),
        change("root-of-an-empty-tree", "the root of no leaves", { root: sha256("") }),
        change("leaves-more", "a leaf more than there are", { leaves: head.leaves + 1 }),
        change("leaves-fewer", "a leaf fewer than there are, the root of all", {
          leaves: head.leaves - 1,
        }),
        change("leaves-zero", "no leaves, the root of all", { leaves: 0 }),
        change("leaves-of-53-bits", "2^53 - 1 leaves", { leaves: Number.MAX_SAFE_INTEGER }),
        change("bytes-more", "a byte more than there are", { bytes: head.bytes + 1 }),
        change("bytes-fewer", "a byte fewer than there are", { bytes: head.bytes - 1 }),
        change("bytes-zero", "no bytes", { bytes: 0 }),
      ];
    }),
    [
      "request",
      "heads-exchanged",
      "the heads of request and answer exchanged",
      { request: claims.response, response: claims.request },
    ],
    [
      "request",
      "head-of-another-exchange",
      "the head of another exchange with the same content",
      { request: sibling.claims.request },
    ],
    [
      "response",
      "head-of-another-exchange",
      "the head of another exchange with the same content",
      { response: sibling.claims.response },
    ],
    [
      "request",
      "head-under-the-other-direction",
      "our leaves, committed to as an answer",
      { request: await headOf(kc, "response", requestLeaves) },
    ],
    [
      "response",
      "head-under-the-other-direction",
      "the answer, committed to as a request",
      { response: await headOf(kc, "request", answers) },
    ],
    [
      "response",
      "head-under-another-key",
      "the answer, committed to under another Kc",
      { response: await headOf(otherKc, "response", answers) },
    ],
    [
      "request",
      "part-of-an-answered-request",
      "the first leaves only, of a request that was answered",
      { request: await headOf(kc, "request", requestLeaves.slice(0, 2)) },
    ],
    [
      "request",
      "part-of-a-redirected-request",
      "the first leaves only, with the last status below a refusal",
      { request: await headOf(kc, "request", requestLeaves.slice(0, 2)), outcome: { status: 399 } },
    ],
  ];
  const judged = rows.map(([direction, name, what, change]) => {
    const receipt = encodeHex(resigned(epoch, exchange, change));
    const status = change.outcome?.status ?? claims.outcome.status;
    return refused(
      direction,
      `transcript/${direction}`,
      `${direction}-${name}`,
      `receipt: ${what}`,
      "PROTOCOL 6",
      held(honest, { receipt, status }),
    );
  });
  return [
    ...judged,
    refused(
      "request",
      "transcript/request",
      "wrong-transcript-key",
      "another Kc than the enclave's",
      "PROTOCOL 6",
      held(honest, { kc: encodeHex(otherKc) }),
    ),
    refused(
      "request",
      "transcript/request",
      "zero-transcript-key",
      "a Kc of zeros",
      "PROTOCOL 6",
      held(honest, { kc: "00".repeat(32) }),
    ),
  ];
}

/** Refusals are receipted, and may cover a part of the request. */
async function refusals({ epoch }: Honest): Promise<readonly Case[]> {
  const exchange = await exchangeOf(epoch, { outcome: { status: 413 }, model: null });
  const honest = { epoch, exchange };
  const first = async (leaves: number): Promise<string> =>
    encodeHex(
      await committed(epoch, exchange, { request: exchange.requestLeaves.slice(0, leaves) }),
    );
  const right = (name: string, what: string, change: Partial<ExchangeFile>): Case =>
    accepted(name, what, "PROTOCOL 7", held(honest, change));
  const wrong = (name: string, what: string, change: Partial<ExchangeFile>): Case =>
    refused("request", "transcript/request", name, what, "PROTOCOL 7", held(honest, change));
  const [head = random(1), ...rest] = exchange.requestLeaves;
  const changed = [head.with(0, 1), ...rest].map(encodeHex);
  const unsent = [head, random(4), ...rest].map(encodeHex);
  const more = [...exchange.requestLeaves, random(10)];
  return [
    right("refusal-of-all-leaves", "a refusal after all of the request was read", {}),
    right("refusal-of-one-leaf", "a refusal after the head section", { receipt: await first(1) }),
    right("refusal-of-no-leaf", "a refusal before anything was read", { receipt: await first(0) }),
    right(
      "refusal-and-unsent-rest-changed",
      "the leaves that the refusal does not cover may be anything",
      { receipt: await first(1), request: unsent },
    ),
    wrong("refusal-of-more-leaves", "a refusal that covers more leaves than were sent", {
      receipt: encodeHex(await committed(epoch, exchange, { request: more })),
    }),
    wrong("refusal-of-another-head", "a refusal of another head section than ours", {
      receipt: await first(1),
      request: changed,
    }),
    wrong("refusal-of-no-leaf-with-bytes", "a refusal of no leaves that counts bytes", {
      receipt: encodeHex(
        resigned(epoch, exchange, { request: { leaves: 0, root: sha256(""), bytes: 1 } }),
      ),
    }),
    wrong("refusal-of-no-leaf-with-root", "a refusal of no leaves with a root of zeros", {
      receipt: encodeHex(
        resigned(epoch, exchange, { request: { leaves: 0, root: new Uint8Array(32), bytes: 0 } }),
      ),
    }),
    refused(
      "response",
      "transcript/response",
      "refusal-with-part-of-the-answer",
      "a refusal whose receipt covers a part of its own answer",
      "PROTOCOL 7",
      held(honest, {
        receipt: encodeHex(
          await committed(epoch, exchange, { response: exchange.responseLeaves.slice(0, 2) }),
        ),
      }),
    ),
  ];
}

/** Status and end of the answer. */
function endings(honest: Honest): readonly Case[] {
  const wrong = (
    check: "response" | "complete",
    code: AttestationErrorCode,
    name: string,
    what: string,
    change: Partial<ExchangeFile>,
  ): Case => refused(check, code, name, what, "PROTOCOL 7", held(honest, change));
  return [
    wrong("response", "receipt/status", "status-201-of-200", "another status than the receipt's", {
      status: 201,
    }),
    wrong(
      "response",
      "receipt/status",
      "status-404-of-200",
      "a refusal where the receipt says success",
      { status: 404 },
    ),
    wrong("response", "receipt/status", "status-0", "no status at all", { status: 0 }),
    wrong(
      "complete",
      "transcript/incomplete",
      "answer-without-final-chunk",
      "all leaves and the receipt, and no final chunk",
      { complete: false },
    ),
    wrong(
      "response",
      "transcript/response",
      "answer-cut-and-incomplete",
      "the last chunk and the final chunk missing",
      { complete: false, response: honest.exchange.responseLeaves.slice(0, -1).map(encodeHex) },
    ),
  ];
}
