import { equalBytes, parseReceipt } from "@countersign/attestation";
import { parseCheckpoint } from "@countersign/protocol";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { sha256 } from "../../../enclave/epoch.ts";
import { type EventApp, eventApp, type WrittenStream } from "../../fakes/event-app.ts";
import {
  newVendor,
  type Opened,
  open,
  type Ring,
  seal,
  send,
  startRing,
  TestClock,
} from "../../fakes/ring.ts";
import { connectRing } from "../../fakes/ring-client.ts";

const vendor = newVendor();
const PATH = "/v1/chat/completions";
const DONE = "data: [DONE]\n\n";
let app: EventApp;
let ring: Ring;
let clock: TestClock;

async function start(): Promise<void> {
  app = eventApp();
  clock = new TestClock(Date.now());
  ring = await startRing({ app, vendor, clock });
}

afterEach(() => ring.close());

/** Runs one stream to its end, and opens it. */
async function streamed(write: (stream: WrittenStream) => Promise<void>): Promise<Opened> {
  const sealed = await seal(ring.epochs.current, { method: "POST", path: PATH }, clock.nowMs());
  const answer = send(ring, "POST", "/gateway", sealed.body);
  const stream = await app.next();
  await write(stream);
  stream.end();
  return open(sealed, (await answer).body);
}

/** The receipts in comments, with the number of leaves before each. */
function checkpointsIn({ chunks }: Opened): readonly { receipt: Uint8Array; before: number }[] {
  return chunks.flatMap((chunk, index) => {
    const receipt = parseCheckpoint(chunk);
    return receipt === null ? [] : [{ receipt, before: index + 1 }];
  });
}

/** Lets the ring take what was written, which it does at once. */
async function settle(): Promise<void> {
  await sleep(15);
}

describe("checkpoints", () => {
  it("come every two seconds in which something was sent, each naming the one before", async () => {
    await start();
    const answer = await streamed(async (stream) => {
      for (const seconds of [1, 1, 1, 5, 2]) {
        stream.write(`data: ${seconds}\n\n`);
        await settle();
        await clock.advance(seconds * 1000);
      }
    });
    const found = checkpointsIn(answer);
    expect(found.length).toBe(3);
    let previous: Uint8Array | null = null;
    for (const { receipt, before } of found) {
      const { claims } = parseReceipt(receipt);
      expect([claims.phase, claims.response.leaves]).toEqual(["checkpoint", before]);
      expect(claims.index).toBe(answer.claims.index);
      expect(claims.model).toEqual(answer.claims.model);
      expect(claims.outcome).toEqual({ status: 200, seed: 7 });
      expect(claims.previous).toEqual(previous);
      previous = sha256(receipt);
    }
    expect(answer.claims.phase).toBe("final");
    expect(answer.claims.previous).toEqual(previous);
  });

  it("come every 64 KiB of content, however fast", async () => {
    await start();
    const answer = await streamed(async (stream) => {
      for (let i = 0; i < 30; i++) stream.write(`data: ${"x".repeat(8180)}\n\n`);
      await settle();
    });
    // 8188 bytes are reckoned as 16 KiB: four are 64 KiB, and two are left of thirty.
    expect(checkpointsIn(answer).length).toBe(7);
  });

  it("do not come where nothing was sent", async () => {
    await start();
    const answer = await streamed(async (stream) => {
      await clock.advance(10_000);
      stream.write(DONE);
    });
    expect(checkpointsIn(answer)).toEqual([]);
    expect(answer.claims.previous).toBeNull();
  });

  it("stand between two events, also where the handler writes them in pieces", async () => {
    await start();
    const answer = await streamed(async (stream) => {
      stream.write("data: one\n\ndata: half");
      await settle();
      await clock.advance(3000);
      stream.write(" and half\ndata: line\n");
      await settle();
      await clock.advance(3000);
      stream.write("\ndata: rest\r\n\r\n");
      await settle();
      await clock.advance(3000);
    });
    const events = answer.chunks
      .map((chunk) => new TextDecoder().decode(chunk))
      .filter((text) => !text.startsWith(":"));
    expect(events).toEqual([
      "data: one\n\n",
      "data: half and half\ndata: line\n\n",
      "data: rest\r\n\r\n",
    ]);
    expect(checkpointsIn(answer).length).toBe(2);
  });

  it("cannot be written by a handler", async () => {
    await start();
    for (const forged of [
      ": countersign-receipt :AAAA:\n\n",
      "data: 1\n: countersign-receipt x\n\n",
    ]) {
      const sealed = await seal(ring.epochs.current, { path: PATH }, clock.nowMs());
      const answer = send(ring, "POST", "/gateway", sealed.body);
      const stream = await app.next();
      stream.write("data: 1\n\n");
      await settle();
      stream.write(forged);
      await expect(answer).rejects.toThrow("aborted");
      await stream.cancelled;
    }
    expect(
      ring.logs.filter(({ event }) => event === "aborted").map(({ fields }) => fields["code"]),
    ).toEqual(["exchange/handler", "exchange/handler"]);
  });

  it("are not written into content that is coded, or no event stream", async () => {
    for (const headers of [{ "content-encoding": "gzip" }, { "content-type": "text/plain" }]) {
      app = eventApp(headers);
      clock = new TestClock(Date.now());
      ring = await startRing({ app, vendor, clock });
      const answer = await streamed(async (stream) => {
        stream.write("one\n\n");
        await clock.advance(3000);
        stream.write("two\n\n");
        await settle();
      });
      expect(answer.text).toBe("one\n\ntwo\n\n");
      await ring.close();
    }
    await start();
  });
});

describe("a client that leaves", () => {
  it("ends the handler at once; the receipt is aborted and names the last checkpoint", async () => {
    await start();
    const index = ring.epochs.current.exchanges;
    const { fetch } = await connectRing(ring, vendor, { now: clock.nowMs });
    const leaving = new AbortController();
    const pending = fetch(PATH, { method: "POST", body: "{}", signal: leaving.signal });
    const stream = await app.next();
    stream.write("data: one\n\n");
    const reader = (await pending).body?.getReader();
    await reader?.read();
    await clock.advance(2000);
    const checkpoint = parseCheckpoint((await reader?.read())?.value ?? new Uint8Array(0));
    const left = performance.now();
    leaving.abort();
    await stream.cancelled;
    expect(performance.now() - left).toBeLessThan(500);
    expect(stream.request.signal.aborted).toBe(true);
    await settle();
    const aborted = ring.logs.find(({ event }) => event === "aborted");
    const { claims } = parseReceipt(Buffer.from(String(aborted?.fields["receipt"]), "base64"));
    expect([claims.phase, claims.index]).toEqual(["aborted", index]);
    expect(ring.epochs.current.exchanges).toBe(index + 1);
    expect(checkpoint).not.toBeNull();
    expect(
      equalBytes(claims.previous ?? new Uint8Array(0), sha256(checkpoint ?? new Uint8Array(0))),
    ).toBe(true);
  });

  it("ends the handler at once too where the reader cancels while nothing comes", async () => {
    await start();
    const { fetch } = await connectRing(ring, vendor, { now: clock.nowMs });
    const pending = fetch(PATH, { method: "POST", body: "{}" });
    const stream = await app.next();
    stream.write("data: one\n\n");
    const response = await pending;
    const reader = response.body?.getReader();
    await reader?.read();
    await settle();
    await reader?.cancel();
    await stream.cancelled;
    expect(stream.request.signal.aborted).toBe(true);
    await expect(response.verdict()).rejects.toThrow("client/aborted");
  });
});
