/** One honest exchange, and what its client holds of it: the input of exchange and proof vectors. */
import {
  encodeHex,
  encodeReceiptClaims,
  encodeUtf8,
  type ReceiptClaims,
} from "@countersign/attestation";
import { encodeRequestPreamble, encodeResponsePreamble } from "@countersign/protocol";
import {
  type FakeEpoch,
  type FakeExchange,
  headOf,
  makeExchange,
  signReceipt,
} from "../fakes/attester.ts";
import { NOW_MS } from "./node.ts";
import type { Input } from "./node-case.ts";
import { type Change, recode } from "./recode.ts";
import { type Sign1Form, signSign1 } from "./sign1.ts";
import type { ExchangeFile } from "./vector.ts";

/** Leaf 0 and two content chunks a direction, as PROTOCOL 5 and 6 have them. */
function requestLeaves(epoch: FakeEpoch, path: string): readonly Uint8Array[] {
  const preamble = encodeRequestPreamble({
    method: "POST",
    scheme: "https",
    authority: "countersign",
    path,
    headers: [
      ["countersign-keyset", encodeHex(epoch.binding.keysetDigest)],
      ["date", new Date(NOW_MS).toUTCString()],
    ],
  });
  return [preamble, encodeUtf8('{"inputs":[{"name":"image",'), encodeUtf8('"data":[0,1]}]}')];
}

export function responseLeaves(status: number): readonly Uint8Array[] {
  const preamble = encodeResponsePreamble(status, [["content-type", "application/json"]]);
  return [preamble, encodeUtf8('{"outputs":[{"name":"digit",'), encodeUtf8('"data":[7]}]}')];
}

/** An exchange of `epoch`; `claims` replaces what its enclave would say, and is signed. */
export function exchangeOf(
  epoch: FakeEpoch,
  claims: Partial<ReceiptClaims> = {},
  path = "/v2/models/digits/versions/1/infer",
): Promise<FakeExchange> {
  const { outcome = { status: 200 } } = claims;
  const leaves = {
    requestLeaves: requestLeaves(epoch, path),
    responseLeaves: responseLeaves(outcome.status),
  };
  return makeExchange(epoch, { ...leaves, claims });
}

/** What the client holds: all it sent and received, a complete answer of this status. */
export function heldOf(exchange: FakeExchange): ExchangeFile {
  return {
    receipt: encodeHex(exchange.receipt),
    exchange: encodeHex(exchange.exchange),
    kc: encodeHex(exchange.kc),
    request: exchange.requestLeaves.map(encodeHex),
    response: exchange.responseLeaves.map(encodeHex),
    status: exchange.claims.outcome.status,
    complete: true,
    asked: { id: "digits", version: "1" },
  };
}

/** `exchange.json` beside `bundle.cbor`. */
export function exchangeInput(bundle: Uint8Array, held: ExchangeFile): Input {
  const text = `${JSON.stringify(held, null, 2)}\n`;
  const files = { "bundle.cbor": bundle, "exchange.json": encodeUtf8(text) };
  return { subject: "exchange", files };
}

/** An exchange with the epoch that it is of. */
export interface Honest {
  readonly epoch: FakeEpoch;
  readonly exchange: FakeExchange;
}

/** The honest exchange with another receipt, or anything else that its client holds. */
export function withReceipt(
  { epoch, exchange }: Honest,
  receipt: Uint8Array,
  change: Partial<ExchangeFile> = {},
): Input {
  const held = { ...heldOf(exchange), receipt: encodeHex(receipt), ...change };
  return exchangeInput(epoch.bundle, held);
}

/** The honest exchange, with these claims in its receipt, which is signed anew. */
export function withClaims(
  honest: Honest,
  claims: Partial<ReceiptClaims>,
  change: Partial<ExchangeFile> = {},
): Input {
  return withReceipt(honest, resigned(honest.epoch, honest.exchange, claims), change);
}

/** The receipt with these claims in place, signed by the epoch's key. */
export function resigned(
  epoch: FakeEpoch,
  exchange: FakeExchange,
  claims: Partial<ReceiptClaims>,
): Uint8Array {
  return signReceipt(epoch.receiptKey, { ...exchange.claims, ...claims });
}

/** The receipt over a payload that is changed as CBOR, signed by the epoch's key. */
export function recoded(
  epoch: FakeEpoch,
  exchange: FakeExchange,
  ...changes: readonly Change[]
): Uint8Array {
  return rewritten(epoch, exchange, (payload) => recode(payload, ...changes));
}

/** The receipt over a payload that `write` makes of the honest one, signed by the epoch's key. */
export function rewritten(
  epoch: FakeEpoch,
  exchange: FakeExchange,
  write: (payload: Uint8Array) => Uint8Array,
  form: Sign1Form = {},
): Uint8Array {
  return signSign1(epoch.receiptKey, write(encodeReceiptClaims(exchange.claims)), form);
}

/** The receipt whose heads are those of these leaves, signed by the epoch's key. */
export async function committed(
  epoch: FakeEpoch,
  exchange: FakeExchange,
  leaves: Partial<Record<"request" | "response", readonly Uint8Array[]>>,
  claims: Partial<ReceiptClaims> = {},
): Promise<Uint8Array> {
  const { kc, requestLeaves: request, responseLeaves: response } = exchange;
  return resigned(epoch, exchange, {
    request: await headOf(kc, "request", leaves.request ?? request),
    response: await headOf(kc, "response", leaves.response ?? response),
    ...claims,
  });
}
