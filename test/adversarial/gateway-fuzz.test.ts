import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { App } from "../../enclave/gateway.ts";
import { mutate, noise, randomFrom } from "../fakes/fuzz.ts";
import {
  exchange,
  newVendor,
  open,
  type Ring,
  seal,
  sealPlaintext,
  send,
  startRing,
  utf8,
} from "../fakes/ring.ts";

/** Of each kind; COUNTERSIGN_FUZZ=full for the 10 000 that enclave-process.test.ts always runs. */
const CASES = process.env["COUNTERSIGN_FUZZ"] === "full" ? 10_000 : 2_000;
const SIDE_BY_SIDE = 16;
const SEED = 0x5eed;
const TEN_MINUTES = 600_000;

const calls = { count: 0 };
const app: App = {
  async fetch(request) {
    calls.count++;
    const content = new Uint8Array(await request.arrayBuffer());
    return new Response(content, { headers: { "x-path": new URL(request.url).pathname } });
  },
};
const vendor = newVendor();
let ring: Ring;

beforeAll(async () => {
  ring = await startRing({ app, vendor, maxRequestBytes: 65_536 });
});
afterAll(() => ring.close());

/** Later answers are what they were, and indexes go on without a gap. */
async function stillServes(): Promise<void> {
  const before = ring.epochs.current.exchanges;
  const answer = await exchange(ring, { method: "POST", path: "/a", chunks: [utf8("same")] });
  expect([answer.status, answer.text, answer.claims.index]).toEqual([200, "same", before]);
  expect(ring.gateway.active).toBe(0);
}

async function inParallel(count: number, run: (index: number) => Promise<void>): Promise<void> {
  for (let from = 0; from < count; from += SIDE_BY_SIDE) {
    const indexes = Array.from(
      { length: Math.min(SIDE_BY_SIDE, count - from) },
      (_, i) => from + i,
    );
    await Promise.all(indexes.map(run));
    if (from % 512 === 0) await stillServes();
  }
  await stillServes();
}

/** Noise, half of it behind a header that names the epoch's key. */
function body(random: () => number, keyId: number): Uint8Array {
  const bytes = noise(random, 4000);
  if (random() < 0.5) bytes.set([keyId, 0x64, 0x7a, 0, 1, 0, 2].slice(0, bytes.length));
  return bytes;
}

describe("the gateway", () => {
  it(
    `answers ${CASES} random byte strings with problems, and runs nothing`,
    { timeout: TEN_MINUTES },
    async () => {
      const random = randomFrom(SEED);
      const before = calls.count;
      await inParallel(CASES, async () => {
        const answer = await send(
          ring,
          "POST",
          "/gateway",
          body(random, ring.epochs.current.keyId),
        );
        expect([400, 413]).toContain(answer.status);
        expect(answer.contentType).toBe("application/problem+json");
      });
      expect(calls.count - before).toBe(Math.ceil(CASES / 512) + 1);
    },
  );

  it(
    `answers ${CASES} mutated requests with problems or receipts`,
    { timeout: TEN_MINUTES },
    async () => {
      const random = randomFrom(SEED + 1);
      const outcomes = new Map<number, number>();
      await inParallel(CASES, async (index) => {
        const chunks = [new Uint8Array(Math.floor(random() * 20_000)).fill(index)];
        const wanted = {
          method: "POST",
          path: "/m",
          chunks: chunks[0]?.length === 0 ? [] : chunks,
        };
        const sealed = await seal(ring.epochs.current, wanted);
        const mutated = mutate(random, sealed.body);
        const answer = await send(ring, "POST", "/gateway", mutated);
        outcomes.set(answer.status, (outcomes.get(answer.status) ?? 0) + 1);
        if (answer.status !== 200) {
          if (answer.contentType !== "application/problem+json") throw new Error("no problem");
          return;
        }
        // Its first chunk was left as it was, so it is the client's own: the answer is a refusal with a
        // receipt, unless nothing changed.
        const inner = await open(sealed, answer.body);
        const same = Buffer.compare(mutated, sealed.body) === 0;
        expect(inner.status).toBe(same ? 200 : 400);
      });
      expect(outcomes.get(400)).toBeGreaterThan(CASES / 4);
      expect(outcomes.get(200)).toBeGreaterThan(CASES / 50);
    },
  );

  it(
    `answers ${CASES} mutated messages inside the encryption, each with a receipt`,
    { timeout: TEN_MINUTES },
    async () => {
      const random = randomFrom(SEED + 2);
      const { encodeContentChunk, encodeRequestPreamble, encodeTrailers } =
        await import("@countersign/protocol");
      await inParallel(CASES, async () => {
        const headers = [
          ["countersign-keyset", ring.epochs.current.keysetHex],
          ["date", new Date().toUTCString()],
        ] as const;
        const target = { method: "POST", scheme: "https", authority: "a", path: "/inner" };
        const whole = Uint8Array.of(
          ...encodeRequestPreamble({ ...target, headers }),
          ...encodeContentChunk(utf8("some content")),
          ...encodeTrailers([["x", "y"]]),
        );
        const sealed = await sealPlaintext(ring.epochs.current, [mutate(random, whole)], []);
        const answer = await send(ring, "POST", "/gateway", sealed.body);
        // Nothing at all is no first chunk: that alone is refused outside.
        if (answer.status !== 200) return;
        const before = ring.epochs.current;
        const opened = await openAny(sealed, answer.body);
        expect(opened).toBeLessThan(500);
        expect(ring.epochs.current).toBe(before);
      });
    },
  );
});

/** The inner status of an answer whose request leaves are not known. */
async function openAny(
  sealed: Awaited<ReturnType<typeof seal>>,
  body: Uint8Array,
): Promise<number> {
  const { decodeResponse, RECEIPT_FIELD } = await import("@countersign/protocol");
  async function* whole(): AsyncGenerator<Uint8Array, void, void> {
    yield body;
  }
  const decoded = await decodeResponse(sealed.sealed.openResponse(whole()));
  for await (const chunk of decoded.content) expect(chunk.length).toBeGreaterThan(0);
  expect(decoded.trailers().map(([name]) => name)).toEqual([RECEIPT_FIELD]);
  return decoded.status;
}
