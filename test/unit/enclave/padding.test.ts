import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import type { App } from "../../../enclave/gateway.ts";
import type { Padding } from "../../../enclave/sealed-response.ts";
import { eventApp } from "../../fakes/event-app.ts";
import {
  newVendor,
  open,
  type Ring,
  type RingOptions,
  seal,
  send,
  startRing,
  TestClock,
  utf8,
} from "../../fakes/ring.ts";

const vendor = newVendor();
const NONCE_BYTES = 32;
const TAG_BYTES = 16;
/** Longer than a tick. */
const STEP_MS = 50;
let ring: Ring | null = null;

afterEach(async () => {
  await ring?.close();
  ring = null;
});

async function begin(options: Omit<RingOptions, "vendor">): Promise<Ring> {
  await ring?.close();
  ring = await startRing({ vendor, ...options });
  return ring;
}

/** What whoever watches the wire sees: the length of each chunk; of the last, of what is left. */
function chunkLengths(answer: Uint8Array): readonly number[] {
  const lengths: number[] = [];
  let at = NONCE_BYTES;
  for (;;) {
    const first = answer[at] ?? 0;
    const bytes = 1 << (first >> 6);
    let length = first & 0x3f;
    for (let i = 1; i < bytes; i++) length = length * 256 + (answer[at + i] ?? 0);
    at += bytes;
    if (length === 0) return [...lengths, answer.length - at];
    lengths.push(length);
    at += length;
  }
}

/** As the API writes a token. */
function event(text: string): string {
  const choice = { index: 0, delta: { content: text }, logprobs: null, finish_reason: null };
  const about = { object: "chat.completion.chunk", created: 1_800_000_000, model: "small@1" };
  return `data: ${JSON.stringify({ id: "chatcmpl-0123456789abcdef", ...about, choices: [choice] })}\n\n`;
}

/** The lengths of a stream's chunks: its tokens come in groups, each group in a tick of its own. */
async function watched(
  groups: readonly (readonly string[])[],
  padding: Padding,
): Promise<readonly number[]> {
  const app = eventApp();
  const clock = new TestClock(Date.now());
  const watchedRing = await begin({ app, clock, padding });
  const sealed = await seal(
    watchedRing.epochs.current,
    { method: "POST", path: "/" },
    clock.nowMs(),
  );
  const pending = send(watchedRing, "POST", "/gateway", sealed.body);
  const stream = await app.next();
  // Past the first flushes, which go out as they come.
  for (let i = 0; i < 4; i++) {
    stream.write(event(""));
    await sleep(10);
    await clock.advance(STEP_MS);
  }
  for (const group of groups) {
    for (const token of group) stream.write(event(token));
    await sleep(10);
    await clock.advance(STEP_MS);
  }
  stream.write("data: [DONE]\n\n");
  stream.end();
  const { body } = await pending;
  const { text } = await open(sealed, body);
  for (const token of groups.flat()) expect(text).toContain(JSON.stringify(token));
  return chunkLengths(body);
}

/** The same number of tokens in the same ticks, short and long, and from both ends of the alphabet. */
const TICKS = [1, 1, 3, 1, 2, 7, 1];
const SHORT = TICKS.map((count) => Array.from({ length: count }, () => "a"));
const LONG = TICKS.map((count, tick) =>
  Array.from({ length: count }, (_, i) => "é".repeat(60 - ((tick + i) % 50))),
);

describe("the lengths of a stream's chunks", () => {
  it("are the same however long the tokens are", async () => {
    const short = await watched(SHORT, "buckets");
    expect(await watched(LONG, "buckets")).toEqual(short);
    for (const length of short.slice(0, -1)) {
      expect([512, 1024, 2048, 4096, 8192]).toContain(length - TAG_BYTES);
    }
    expect(short.at(-1)).toBe(TAG_BYTES);
  });

  it("tell them where nothing is padded", async () => {
    const short = await watched(SHORT, "none");
    const long = await watched(LONG, "none");
    expect(long.length).toBe(short.length);
    expect(long).not.toEqual(short);
  });

  it("are buckets too where an event is as long as a bucket", async () => {
    // Around the place where the smallest fill has no room any more.
    const lengths = Array.from({ length: 24 }, (_, i) => ["x".repeat(300 - i)]);
    const seen = await watched(lengths, "buckets");
    for (const length of seen.slice(0, -1)) {
      expect(Math.log2(length - TAG_BYTES) % 1).toBe(0);
    }
  });
});

describe("a stream's events", () => {
  it("go out together where they come within a tick", async () => {
    const many = [Array.from({ length: 5 }, (_, i) => `token ${i}`)];
    const lengths = await watched(many, "none");
    // The header section and the first three events; the tick with five of them and the end.
    expect(lengths.length).toBeLessThanOrEqual(4 + 1 + 1 + 2);
  });
});

/** Answers as long as the path says. */
const wholeApp: App = {
  fetch(request) {
    const length = Number(new URL(request.url).pathname.slice(1));
    return new Response(new Uint8Array(length).fill(120));
  },
};

/** Bytes of plaintext in the answer of this many bytes of content. */
async function wholeAnswer(from: Ring, length: number): Promise<number> {
  const sealed = await seal(from.epochs.current, { path: `/${length}` });
  const { body } = await send(from, "POST", "/gateway", sealed.body);
  expect((await open(sealed, body)).text.length).toBe(length);
  return chunkLengths(body).reduce((sum, chunk) => sum + chunk - TAG_BYTES, 0);
}

describe("the length of a whole answer", () => {
  it("is a bucket, to 16 KiB a power of two, above it full chunks", async () => {
    const whole = await begin({ app: wholeApp });
    expect(await wholeAnswer(whole, 300)).toBe(await wholeAnswer(whole, 400));
    for (const length of [0, 1, 100, 1500, 5000]) {
      expect(Math.log2(await wholeAnswer(whole, length)) % 1).toBe(0);
    }
    for (const length of [16_384, 70_000, 300_000]) {
      const plaintext = await wholeAnswer(whole, length);
      expect([plaintext % 16_384, plaintext - length < 16_384 + 2000]).toEqual([0, true]);
    }
  });

  it("does not show between its chunks: a long one has full chunks only", async () => {
    const whole = await begin({ app: wholeApp });
    for (const length of [65_000, 66_000, 70_000, 1_500_000]) {
      const sealed = await seal(whole.epochs.current, { path: `/${length}` });
      const { body } = await send(whole, "POST", "/gateway", sealed.body);
      const seen = new Set(chunkLengths(body));
      expect([...seen]).toEqual([16_384 + TAG_BYTES, TAG_BYTES]);
    }
  });

  it("is its own where nothing is padded", async () => {
    const whole = await begin({ app: wholeApp, padding: "none" });
    const [short, long] = [await wholeAnswer(whole, 1), await wholeAnswer(whole, 60)];
    expect(long - short).toBe(59);
  });

  it("is a bucket for a refusal of the ring's own", async () => {
    const whole = await begin({ app: wholeApp });
    const sealed = await seal(whole.epochs.current, { path: "/1", chunks: [utf8("x")] });
    const { body } = await send(whole, "POST", "/gateway", sealed.body);
    expect((await open(sealed, body)).status).toBe(400);
    expect(chunkLengths(body)).toEqual([1024 + TAG_BYTES, TAG_BYTES]);
  });
});
