import { encodeHex, equalBytes } from "@countersign/attestation";
import { encodeTrailers, type Fields, isFill, parseProblem } from "@countersign/protocol";
import { request as httpRequest } from "node:http";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  it,
  type MockInstance,
  vi,
} from "vitest";
import type { App } from "../../../enclave/gateway.ts";
import {
  type Answer,
  exchange,
  MODEL,
  newVendor,
  once,
  open,
  type Ring,
  seal,
  sealPlaintext,
  send,
  startRing,
  utf8,
} from "../../fakes/ring.ts";

const vendor = newVendor();
let ring: Ring;
/** What the handler saw. */
const seen = { calls: 0, aborted: 0 };

const app: App = {
  async fetch(request, { exchange: record }) {
    seen.calls++;
    const { pathname } = new URL(request.url);
    switch (pathname) {
      case "/echo": {
        const content = await request.arrayBuffer();
        record.model = MODEL;
        const headers = { "x-method": request.method, "x-seen": request.headers.get("x-a") ?? "" };
        return new Response(content, { headers });
      }
      case "/early":
        return new Response("no", { status: 403 });
      case "/unread":
        return new Response("ok");
      case "/crash":
        throw new Error("a secret");
      case "/crash-later":
        return new Response(
          new ReadableStream({
            async pull(controller) {
              controller.enqueue(utf8("one"));
              await sleep(20);
              controller.error(new Error("a secret"));
            },
          }),
        );
      case "/stream": {
        let count = 0;
        return new Response(
          new ReadableStream({
            async pull(controller) {
              if (count === 3) return controller.close();
              count++;
              await sleep(5);
              controller.enqueue(utf8(`data: ${count}\n\n`));
            },
          }),
          { headers: { "content-type": "text/event-stream", connection: "close" } },
        );
      }
      case "/large":
        return new Response(new Uint8Array(3_000_000).fill(5));
      case "/hang":
        await new Promise<void>((resolve) => {
          request.signal.addEventListener("abort", () => {
            seen.aborted++;
            resolve();
          });
        });
        return new Response("late");
      case "/error":
        return Response.error();
      default:
        return new Response("nothing here", { status: 404 });
    }
  },
};

beforeAll(async () => {
  ring = await startRing({ app, vendor, handlerTimeoutMs: 300 });
});
afterAll(() => ring.close());

function count(event: string): number {
  return ring.logs.filter((line) => line.event === event).length;
}

describe("an exchange", () => {
  it("carries a request in and an answer with its receipt out", async () => {
    const answer = await exchange(ring, {
      method: "POST",
      path: "/echo?q=1",
      headers: [["x-a", "b"]],
      chunks: [utf8("hello "), utf8("there")],
    });
    expect(answer.status).toBe(200);
    expect(answer.text).toBe("hello there");
    expect(answer.headers.get("x-method")).toBe("POST");
    expect(answer.headers.get("x-seen")).toBe("b");
    expect(answer.claims.phase).toBe("final");
    expect(answer.claims.model).toEqual(MODEL);
    expect(answer.claims.request.leaves).toBe(3);
    expect(answer.claims.response.leaves).toBe(2);
  });

  it("numbers exchanges without gaps, also when they run side by side", async () => {
    const first = ring.epochs.current.exchanges;
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => exchange(ring, { method: "POST", path: "/echo" })),
    );
    const indexes = answers.map(({ claims }) => claims.index).toSorted((a, b) => a - b);
    expect(indexes).toEqual(Array.from({ length: 20 }, (_, i) => first + i));
  });

  it("streams each piece of an answer as a leaf of its own, and drops connection fields", async () => {
    const answer = await exchange(ring, { path: "/stream" });
    const events = answer.chunks.filter((chunk) => !isFill(chunk));
    expect(events.map((chunk) => new TextDecoder().decode(chunk))).toEqual([
      "data: 1\n\n",
      "data: 2\n\n",
      "data: 3\n\n",
    ]);
    expect(answer.headers.has("connection")).toBe(false);
    expect(answer.claims.response.leaves).toBe(1 + answer.chunks.length);
  });

  it("carries large bodies both ways", async () => {
    const chunks = Array.from({ length: 9 }, (_, i) => new Uint8Array(100_000).fill(i));
    const sent = await exchange(ring, { method: "POST", path: "/echo", chunks });
    expect(sent.status).toBe(200);
    expect(sent.claims.request.leaves).toBe(10);
    expect(sent.claims.response.bytes).toBeGreaterThan(900_000);
    const large = await exchange(ring, { path: "/large" });
    expect(large.text.length).toBe(3_000_000);
  });

  it("reads what the handler left, so that a success covers the whole request", async () => {
    const chunks = Array.from({ length: 4 }, () => new Uint8Array(50_000));
    const answer = await exchange(ring, { method: "POST", path: "/unread", chunks });
    expect(answer.status).toBe(200);
    expect(answer.claims.request.leaves).toBe(5);
  });

  it("answers HEAD without content", async () => {
    const answer = await exchange(ring, { method: "HEAD", path: "/echo" });
    expect([answer.status, answer.text]).toEqual([200, ""]);
  });

  it("opens a request that arrives a byte at a time", async () => {
    const sealed = await seal(ring.epochs.current, { path: "/echo" });
    const answer = await send(ring, "POST", "/gateway", bytewise(sealed.body));
    expect((await open(sealed, answer.body)).status).toBe(200);
  });
});

describe("a refusal inside the encryption", () => {
  const date: readonly [string, string] = ["date", new Date().toUTCString()];
  const keyset = (): readonly [string, string] => [
    "countersign-keyset",
    ring.epochs.current.keysetHex,
  ];
  const at = (ms: number): readonly [string, string] => [
    "date",
    new Date(Date.now() + ms).toUTCString(),
  ];

  it.each<[string, () => Fields, string]>([
    ["another keyset", () => [["countersign-keyset", "0".repeat(64)], date], "exchange/keyset"],
    ["no keyset", () => [date], "exchange/keyset"],
    ["two keysets", () => [keyset(), keyset(), date], "exchange/keyset"],
    ["no date", () => [keyset()], "exchange/date"],
    ["two dates", () => [keyset(), date, date], "exchange/date"],
    ["a date of another form", () => [keyset(), ["date", "2026-11-21"]], "exchange/date"],
    ["an old date", () => [keyset(), at(-310_000)], "exchange/date"],
    ["a date to come", () => [keyset(), at(310_000)], "exchange/date"],
  ])("has a receipt: %s", async (_, ringHeaders, code) => {
    const calls = seen.calls;
    const answer = await exchange(ring, { path: "/echo", ringHeaders: ringHeaders() });
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.text)).toMatchObject({ code });
    expect(answer.claims).toMatchObject({ phase: "final", model: null });
    expect(answer.claims.request.leaves).toBe(1);
    expect(seen.calls).toBe(calls);
  });

  it("takes dates on both sides of the limit", async () => {
    for (const ms of [-295_000, 295_000]) {
      const answer = await exchange(ring, { path: "/echo", ringHeaders: [keyset(), at(ms)] });
      expect(answer.status).toBe(200);
    }
  });

  it.each([
    ["GET with content", { method: "GET", path: "/echo", chunks: [utf8("x")] }],
    ["CONNECT", { method: "CONNECT", path: "/echo" }],
    ["TRACE", { method: "TRACE", path: "/echo" }],
    ["userinfo", { path: "/echo", authority: "a:b@c" }],
    ["a port that is none", { path: "/echo", authority: "c:99999" }],
    ["OPTIONS *", { method: "OPTIONS", path: "*" }],
  ])("has a receipt: %s", async (_, wanted) => {
    const answer = await exchange(ring, wanted);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.text)).toMatchObject({ code: "exchange/target" });
  });

  it("has a receipt for plaintext that is no message", async () => {
    const sealed = await sealPlaintext(ring.epochs.current, [utf8("not binary HTTP")], []);
    const answer = await open(sealed, (await send(ring, "POST", "/gateway", sealed.body)).body);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.text)).toMatchObject({ code: "bhttp/malformed" });
    expect(answer.claims.request.leaves).toBe(0);
  });

  it("has a receipt for a message that ends early, and runs nothing", async () => {
    const calls = seen.calls;
    const sealed = await seal(ring.epochs.current, {
      method: "POST",
      path: "/echo",
      chunks: [new Uint8Array(40_000)],
    });
    const cut = sealed.body.subarray(0, 30_000);
    const answer = await open(sealed, (await send(ring, "POST", "/gateway", cut)).body);
    expect(answer.status).toBe(400);
    expect(seen.calls).toBe(calls);
  });

  it("has a receipt for content above the limit, streamed or not", async () => {
    const small = await startRing({ app, vendor, maxRequestBytes: 100_000 });
    const chunk = new Uint8Array(50_001);
    const answer = await exchange(small, { method: "POST", path: "/echo", chunks: [chunk, chunk] });
    expect(answer.status).toBe(413);
    expect(JSON.parse(answer.text)).toMatchObject({ code: "exchange/too-large" });
    const fits = await exchange(small, {
      method: "POST",
      path: "/echo",
      chunks: [chunk, chunk.subarray(3)],
    });
    expect([fits.status, fits.text.length]).toEqual([200, 99_999]);
    await small.close();
  });

  it("has a receipt for content in more chunks than it takes, and runs no handler to the end", async () => {
    const byte = utf8("x");
    const ask = (count: number): ReturnType<typeof exchange> =>
      exchange(ring, {
        method: "POST",
        path: "/echo",
        chunks: Array.from({ length: count }, () => byte),
      });
    const fits = await ask(4096);
    expect([fits.status, fits.text.length, fits.claims.request.leaves]).toEqual([200, 4096, 4097]);
    const over = await ask(4097);
    expect(over.status).toBe(413);
    expect(JSON.parse(over.text)).toMatchObject({ code: "exchange/too-large" });
    expect(over.claims.request.leaves).toBe(4097);
  });

  it("has a receipt for what exceeds the memory of all requests, and small ones still pass", async () => {
    const tight = await startRing({ app, vendor, maxRequestBytes: 4_000_000 });
    const content = new Uint8Array(4_000_000);
    // As many as there is room for, and one more; each has yet to send its end.
    const ends = Promise.withResolvers<void>();
    const pending = Array.from({ length: 72 }, async () => {
      const sealed = await seal(tight.epochs.current, {
        method: "POST",
        path: "/unread",
        chunks: [content],
      });
      async function* slowly(): AsyncGenerator<Uint8Array, void, void> {
        yield sealed.body.subarray(0, -1);
        await ends.promise;
        yield sealed.body.subarray(-1);
      }
      return open(sealed, (await send(tight, "POST", "/gateway", slowly())).body);
    });
    const first = await Promise.race(pending);
    expect([first.status, first.claims.phase]).toEqual([503, "final"]);
    expect(first.text).toContain("exchange/busy");
    expect((await exchange(tight, { method: "POST", path: "/echo" })).status).toBe(200);
    ends.resolve();
    const statuses = (await Promise.all(pending)).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([200, 503]));
    // All of it was given back.
    const again = { method: "POST", path: "/unread", chunks: [content] };
    expect((await exchange(tight, again)).status).toBe(200);
    await tight.close();
  });

  it("tells nothing of a handler that crashed", async () => {
    for (const path of ["/crash", "/error"]) {
      const answer = await exchange(ring, { path });
      expect(answer.status).toBe(500);
      const said = { code: "exchange/handler", error: "exchange/handler: the request failed" };
      expect(JSON.parse(answer.text)).toEqual(said);
      expect(answer.claims).toMatchObject({ phase: "final", model: null });
    }
    expect(JSON.stringify(ring.logs)).not.toContain("secret");
  });

  it("gives a handler its time, and no more", async () => {
    const answer = await exchange(ring, { path: "/hang" });
    expect(answer.status).toBe(504);
    expect(JSON.parse(answer.text)).toMatchObject({ code: "exchange/timeout" });
    expect(seen.aborted).toBe(1);
  });

  it("is also what the API's own refusal gets", async () => {
    const answer = await exchange(ring, { path: "/early" });
    expect([answer.status, answer.text]).toEqual([403, "no"]);
  });
});

describe("what never opened", () => {
  function problem(body: Uint8Array): Promise<readonly [number, string | null]> {
    return problemOf(ring, body);
  }

  it("is answered in the clear", async () => {
    const { body } = await seal(ring.epochs.current, { path: "/echo" });
    expect(await problem(new Uint8Array(0))).toEqual([400, "malformed"]);
    expect(await problem(body.subarray(0, 600))).toEqual([400, "malformed"]);
    const otherKey = body.slice();
    otherKey[0] = (ring.epochs.current.keyId + 1) % 256;
    expect(await problem(otherKey)).toEqual([400, "unknownKey"]);
    const otherSuite = body.slice();
    otherSuite[4] = 3;
    expect(await problem(otherSuite)).toEqual([400, "malformed"]);
    const flipped = body.slice();
    flipped[body.length - 1] = (flipped[body.length - 1] ?? 0) ^ 1;
    expect(await problem(flipped)).toEqual([400, "malformed"]);
  });

  it("uses up no index, and does not block the genuine request", async () => {
    const sealed = await seal(ring.epochs.current, { path: "/echo" });
    const before = ring.epochs.current.exchanges;
    const flipped = sealed.body.slice();
    flipped[1200] = (flipped[1200] ?? 0) ^ 1;
    expect(await problem(flipped)).toEqual([400, "malformed"]);
    const answer = await open(sealed, (await send(ring, "POST", "/gateway", sealed.body)).body);
    expect(answer.claims.index).toBe(before);
  });

  it("is refused the second time", async () => {
    const calls = seen.calls;
    const { body } = await seal(ring.epochs.current, { path: "/echo" });
    const answers = await Promise.all([1, 2, 3].map(() => send(ring, "POST", "/gateway", body)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 409, 409]);
    expect(await problem(body)).toEqual([409, "replay"]);
    expect(await reasonOf(ring, body)).toBe("exchange/replay");
    expect(seen.calls).toBe(calls + 1);
  });

  it("is sent to a new key where the replay set is full, and still known where it was seen", async () => {
    // Sixteen is the least that a host can provision.
    const narrow = await startRing({ app, vendor, terms: { replaySlots: 16 } });
    const first = narrow.epochs.current;
    const bodies: Uint8Array[] = [];
    for (let i = 0; i < 16; i++) {
      const sealed = await seal(first, { path: "/echo" });
      const answer = await send(narrow, "POST", "/gateway", sealed.body);
      expect((await open(sealed, answer.body)).claims.index).toBe(i);
      bodies.push(sealed.body);
    }
    const calls = seen.calls;
    const { body } = await seal(first, { path: "/echo" });
    for (let i = 0; i < 2; i++) {
      expect(await problemOf(narrow, body)).toEqual([400, "unknownKey"]);
      expect(await reasonOf(narrow, body)).toBe("exchange/epoch-full");
    }
    for (const replayed of bodies) {
      expect(await problemOf(narrow, replayed)).toEqual([409, "replay"]);
    }
    expect([seen.calls, first.exchanges]).toEqual([calls, 16]);
    // The next epoch was opened before this one was full.
    expect(narrow.epochs.current.sequence).toBe(2);
    expect((await exchange(narrow, { path: "/echo" })).claims.index).toBe(0);
    await narrow.close();
  });
});

describe("a client that is silent", () => {
  /** PROTOCOL.md §13. */
  const IDLE_MS = 30_000;

  beforeEach(() => {
    // Node's own timers, those of its sockets, go on.
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  /**
   * Until the gateway has begun no new wait for a while. Both ends are in this process, so what is
   * on its way arrives within a few turns of its loop.
   */
  async function quiet(waits: MockInstance): Promise<void> {
    for (let still = 0; still < 100; still++) {
      const before = waits.mock.calls.length;
      await turn();
      if (waits.mock.calls.length !== before) still = 0;
    }
  }

  /** Sends the first `sent` bytes, waits as long as is allowed, sends the next byte, and no more. */
  async function fallSilent(body: Uint8Array, sent: number): Promise<Answer> {
    const more = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    async function* slowly(): AsyncGenerator<Uint8Array, void, void> {
      yield body.subarray(0, sent);
      await more.promise;
      yield body.subarray(sent, sent + 1);
      await ended.promise;
    }
    const waits = vi.spyOn(globalThis, "setTimeout");
    const settled = vi.fn<() => void>();
    const answer = send(ring, "POST", "/gateway", slowly()).finally(settled);
    const begun = async (count: number): Promise<void> => {
      while (waits.mock.calls.length < count && settled.mock.calls.length === 0) await turn();
      await quiet(waits);
      expect(settled).not.toHaveBeenCalled();
    };
    await begun(1);
    vi.advanceTimersByTime(IDLE_MS - 1);
    const before = waits.mock.calls.length;
    more.resolve();
    // The byte arrives, and the time begins anew.
    await begun(before + 1);
    vi.advanceTimersByTime(IDLE_MS - 1);
    await quiet(waits);
    expect(settled).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    const whole = await answer;
    ended.resolve();
    return whole;
  }

  it("is refused inside the encryption once a chunk has opened", async () => {
    const calls = seen.calls;
    const sealed = await seal(ring.epochs.current, {
      method: "POST",
      path: "/echo",
      chunks: [new Uint8Array(40_000)],
    });
    const answer = await open(sealed, (await fallSilent(sealed.body, 30_000)).body);
    expect(answer.status).toBe(408);
    expect(JSON.parse(answer.text)).toMatchObject({ code: "exchange/slow" });
    expect(answer.claims).toMatchObject({ phase: "final", model: null });
    expect(seen.calls).toBe(calls);
  });

  it("is refused in the clear before that", async () => {
    const before = ring.epochs.current.exchanges;
    const { body } = await seal(ring.epochs.current, { path: "/echo" });
    const answer = await fallSilent(body, 600);
    expect([answer.status, detailOf(answer)]).toEqual([400, "exchange/slow"]);
    expect(ring.epochs.current.exchanges).toBe(before);
  });
});

describe("a client that leaves", () => {
  it("aborts the handler, uses up its index, and leaves an aborted receipt", async () => {
    const patient = await startRing({ app, vendor });
    const before = seen.aborted;
    const sealed = await seal(patient.epochs.current, { path: "/hang" });
    const outgoing = httpRequest({
      socketPath: patient.socketPath,
      method: "POST",
      path: "/gateway",
    });
    outgoing.on("error", () => undefined);
    outgoing.end(sealed.body);
    await sleep(50);
    outgoing.destroy();
    await sleep(50);
    expect(seen.aborted).toBe(before + 1);
    const line = patient.logs.find(({ event }) => event === "aborted");
    expect(line?.fields).toMatchObject({ index: 0, code: "exchange/aborted" });
    expect(String(line?.fields["receipt"]).length).toBeGreaterThan(400);
    expect((await exchange(patient, { path: "/echo" })).claims.index).toBe(1);
    await patient.close();
  });

  it("gets no complete answer from a handler that fails half-way", async () => {
    const aborted = count("aborted");
    const sealed = await seal(ring.epochs.current, { path: "/crash-later" });
    await expect(send(ring, "POST", "/gateway", sealed.body)).rejects.toThrow("aborted");
    await sleep(20);
    expect(count("aborted")).toBe(aborted + 1);
    expect((await exchange(ring, { path: "/echo" })).status).toBe(200);
  });
});

describe("the other paths", () => {
  it("serve bundle and status, and nothing else", async () => {
    const bundle = await send(ring, "GET", "/bundle");
    expect(equalBytes(bundle.body, ring.epochs.current.bundleBytes)).toBe(true);
    const status = await send(ring, "GET", "/status");
    const body: unknown = JSON.parse(new TextDecoder().decode(status.body));
    expect(body).toMatchObject({ phase: "serving", epoch: { sequence: 1 } });
    expect((await send(ring, "GET", "/gateway")).status).toBe(404);
    expect((await send(ring, "GET", "/")).status).toBe(404);
  });

  it.each([
    [15, 400],
    [16, 200],
    [64, 200],
    [65, 400],
  ])("answer a challenge of %i bytes with %i", async (length, status) => {
    const nonce = new Uint8Array(length).fill(9);
    const answer = await send(ring, "POST", "/challenge", nonce);
    expect(answer.status).toBe(status);
    expect(encodeHex(answer.body).includes(encodeHex(nonce))).toBe(status === 200);
  });
});

describe("plaintext chunks", () => {
  it("may be cut anywhere", async () => {
    const whole = await seal(ring.epochs.current, { method: "POST", path: "/echo" });
    expect(whole.request.leaves).toBe(1);
    const padded = await sealPlaintext(
      ring.epochs.current,
      [...(await leavesOf("/echo")), encodeTrailers([]), new Uint8Array(5_000)],
      await leavesOf("/echo"),
    );
    const answer = await open(padded, (await send(ring, "POST", "/gateway", padded.body)).body);
    expect(answer.status).toBe(200);
  });
});

/** Status and problem of an answer outside the encryption. */
async function problemOf(to: Ring, body: Uint8Array): Promise<readonly [number, string | null]> {
  const answer = await send(to, "POST", "/gateway", body);
  expect(answer.contentType).toBe("application/problem+json");
  return [answer.status, parseProblem(new TextDecoder().decode(answer.body))];
}

/** The code that the enclave tells its host, who decides nothing by it. */
async function reasonOf(to: Ring, body: Uint8Array): Promise<unknown> {
  return detailOf(await send(to, "POST", "/gateway", body));
}

function detailOf(answer: Answer): unknown {
  const problem: unknown = JSON.parse(new TextDecoder().decode(answer.body));
  return new Map(Object.entries(problem ?? {})).get("detail");
}

async function leavesOf(path: string): Promise<readonly Uint8Array[]> {
  const { encodeRequestPreamble } = await import("@countersign/protocol");
  const headers = [
    ["countersign-keyset", ring.epochs.current.keysetHex],
    ["date", new Date().toUTCString()],
  ] as const;
  const target = { method: "GET", scheme: "https", authority: "", path };
  return [encodeRequestPreamble({ ...target, headers })];
}

async function* bytewise(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  for (let i = 0; i < bytes.length; i += 7) {
    yield* once(bytes.subarray(i, i + 7));
    if (i % 210 === 0) await sleep(1);
  }
}
