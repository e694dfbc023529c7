import {
  appraiseBundle,
  appraiseProof,
  exchangeId,
  parseProof,
  type Policy,
  type VerifiedEpoch,
} from "@countersign/attestation";
import { VerdictError } from "@countersign/client";
import { encodeRequestPreamble, encodeTrailers, KEYSET_FIELD } from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Exchange } from "../../client/exchange.ts";
import { openResponse } from "../../client/response.ts";
import type { Padding } from "../../enclave/sealed-response.ts";
import { eventApp } from "../fakes/event-app.ts";
import {
  newVendor,
  once,
  type Ring,
  type SealedExchange,
  sealPlaintext,
  send,
  startRing,
  TestClock,
} from "../fakes/ring.ts";
import { ringPolicy } from "../fakes/ring-client.ts";
import { rejection } from "../unit/client/rejection.ts";

const vendor = newVendor();
const nowMs = Date.now();
const now = (): number => nowMs + 10_000;

/** One exchange with two checkpoints, as it went over the wire: its client can open it many times. */
interface Recording {
  readonly ring: Ring;
  readonly epoch: VerifiedEpoch<"live">;
  readonly policy: Policy;
  readonly sealed: SealedExchange;
  readonly leaf: Uint8Array;
  readonly answer: Uint8Array;
}

async function record(padding: Padding): Promise<Recording> {
  const app = eventApp();
  const clock = new TestClock(nowMs);
  const ring = await startRing({ app, vendor, clock, padding });
  const policy = ringPolicy(vendor);
  const context = { mode: "live", nowMs, nonce: null } as const;
  const { current } = ring.epochs;
  const { epoch } = await appraiseBundle(current.bundleBytes, policy, context);
  if (epoch === null) throw new TypeError("the ring's bundle is not accepted");
  const leaf = encodeRequestPreamble({
    method: "POST",
    scheme: "https",
    authority: "",
    path: "/v1/completions",
    headers: [
      [KEYSET_FIELD, current.keysetHex],
      ["date", new Date(nowMs).toUTCString()],
    ],
  });
  const sealed = await sealPlaintext(current, [leaf, encodeTrailers([])], [leaf]);
  const pending = send(ring, "POST", "/gateway", sealed.body);
  const stream = await app.next();
  for (const word of ["one", "two"]) {
    stream.write(`data: ${word}\n\n`);
    await sleep(15);
    await clock.advance(2000);
  }
  stream.write("data: [DONE]\n\n");
  stream.end();
  return { ring, epoch, policy, sealed, leaf, answer: (await pending).body };
}

/** What its client reads where the answer ends after `length` bytes, and the connection in good order. */
async function readCut(
  { epoch, sealed: { sealed, kc }, leaf, answer }: Recording,
  length: number,
): Promise<string> {
  const settings = { primitives: nativePrimitives, now, maxOpeningBytes: 1 << 20 };
  const cti = await exchangeId(nativePrimitives, sealed.enc);
  const exchange = new Exchange(settings, epoch, null, { sealed, cti, kc }, [leaf]);
  await exchange.commitRequest();
  const { signal } = new AbortController();
  const request = { method: "POST", signal, leave: () => undefined };
  return (await openResponse(exchange, once(answer.subarray(0, length)), request, now)).text();
}

describe.each(["buckets", "none"] as const)("a stream that is cut, padding: %s", (padding) => {
  let recording: Recording;
  beforeAll(async () => {
    recording = await record(padding);
  });
  afterAll(() => recording.ring.close());

  it("nowhere, is verified", async () => {
    const text = await readCut(recording, recording.answer.length);
    expect(text.replaceAll(/^:.*\n\n/gmu, "")).toBe("data: one\n\ndata: two\n\ndata: [DONE]\n\n");
  });

  it("at any byte, is truncated, with the last checkpoint that came", async () => {
    // Every byte where there is no padding; where there is, most of them are alike.
    const step = padding === "none" ? 1 : 7;
    let last = 0;
    const proofs: Uint8Array[] = [];
    for (let cut = 0; cut < recording.answer.length; cut += step) {
      const error = await rejection(readCut(recording, cut), VerdictError);
      expect([cut, error.verdict.result, error.verdict.failure]).toEqual([
        cut,
        "rejected",
        "truncated",
      ]);
      const leaves = error.checkpoint?.leaves ?? 0;
      expect(leaves).toBeGreaterThanOrEqual(last);
      if (leaves > last && error.checkpoint !== null) proofs.push(error.checkpoint.proof());
      last = leaves;
    }
    expect(proofs.length).toBe(2);
    for (const proof of proofs) await expectPartial(recording, proof);
  }, 120_000);

  it("is not complete one byte before its end", async () => {
    const cut = recording.answer.length - 1;
    const { verdict, checkpoint } = await rejection(readCut(recording, cut), VerdictError);
    expect(verdict.failure).toBe("truncated");
    expect(checkpoint?.issuedAtMs).toBe(Math.floor((nowMs + 4000) / 1000) * 1000);
  });
});

/** A proof of part of the exchange: all holds but its completeness. */
async function expectPartial({ policy }: Recording, proof: Uint8Array): Promise<void> {
  const judged = await appraiseProof(proof, policy, { nowMs: now() }, nativePrimitives);
  const { verdict, claims, unfinished } = judged;
  const failed = verdict.checks.filter(({ status }) => status === "fail");
  expect(failed.map(({ id, code }) => [id, code])).toEqual([["complete", "receipt/phase"]]);
  expect([verdict.result, verdict.failure, claims]).toEqual(["rejected", "truncated", null]);
  expect(unfinished?.phase).toBe("checkpoint");
  expect(parseProof(proof).opening?.response.length).toBe(unfinished?.response.leaves);
}
