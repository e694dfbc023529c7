import { createHash, randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import {
  BUNDLE_PATH,
  CHALLENGE_PATH,
  GATEWAY_PATH,
  MEDIA_BUNDLE,
  MEDIA_PROBLEM,
  MEDIA_REQUEST,
  MEDIA_RESPONSE,
  parseProblem,
} from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { createHostListener } from "../../../host/app.ts";
import { TokenBucket } from "../../../host/bucket.ts";
import { BundleCache } from "../../../host/bundle.ts";
import { Challenger } from "../../../host/challenge.ts";
import { listenPublicly } from "../../../host/listen.ts";
import { Observer, requestIds } from "../../../host/observe.ts";
import { InFlight, type RelayLimits } from "../../../host/relay.ts";
import type { EnclaveStatus } from "../../../host/status.ts";
import { openUpstream } from "../../../host/upstream.ts";
import { type FakeEnclave, FLOOD_BYTES, startFakeEnclave } from "../../fakes/fake-enclave.ts";
import {
  memoryLog,
  onTestEnd,
  open,
  type Recorded,
  refusalOf,
  type Reply,
  scratch,
  send,
  until,
} from "./support.ts";

const MIB = 1024 * 1024;
const LIMITS: RelayLimits = {
  maxBodyBytes: 16 * MIB,
  maxInFlight: 8,
  idleTimeoutMs: 20_000,
  answerTimeoutMs: 60_000,
};
const SEALED = { method: "POST", headers: { "content-type": MEDIA_REQUEST } } as const;

interface View {
  serving: boolean;
  generation: number;
  restarts: number;
  status: EnclaveStatus | null;
}

interface Host {
  readonly url: string;
  readonly gateway: string;
  readonly enclave: FakeEnclave;
  readonly view: View;
  readonly inFlight: InFlight;
  readonly log: Recorded[];
  clockMs: number;
  outcomes(): string[];
}

/** The host's public side over a fake enclave in this process. */
async function startHost(limits: Partial<RelayLimits> = {}): Promise<Host> {
  const enclave = await startFakeEnclave(join(scratch(), "e.sock"));
  onTestEnd(() => enclave.close());
  const view: View = { serving: true, generation: 1, restarts: 0, status: null };
  const inFlight = new InFlight();
  const { log, lines } = memoryLog();
  const address = { kind: "unix", path: enclave.socketPath } as const;
  const upstream = openUpstream(address, 64);
  onTestEnd(() => {
    upstream.agent.destroy();
  });
  const nowMs = (): number => host.clockMs;
  const listener = createHostListener({
    upstream,
    enclave: view,
    limits: { ...LIMITS, ...limits },
    observer: new Observer(view, () => inFlight.count, log),
    inFlight,
    nextRequestId: requestIds(),
    bundles: new BundleCache(address, view, nowMs),
    challenger: new Challenger(address, view, new TokenBucket(1, 2, 0), nowMs),
    stopping: () => false,
  });
  const server = await listenPublicly({ kind: "tcp", host: "127.0.0.1", port: 0 }, listener, 100);
  onTestEnd(() => server.close());
  const host: Host = {
    url: server.url,
    gateway: server.url + GATEWAY_PATH,
    enclave,
    view,
    inFlight,
    log: lines,
    clockMs: 0,
    outcomes: () =>
      lines
        .filter(({ fields }) => fields["route"] === "gateway")
        .map(({ fields }) => `${fields["outcome"]} ${fields["status"]}`),
  };
  return host;
}

function problemOf(reply: Reply): string {
  expect(reply.headers["content-type"]).toBe(MEDIA_PROBLEM);
  expect(reply.headers["access-control-allow-origin"]).toBe("*");
  return `${reply.status} ${parseProblem(reply.body.toString())}`;
}

/** A raw connection, for what a well-behaved client does not do. */
async function rawConnection(url: string): Promise<{ socket: Socket; received: () => string }> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  onTestEnd(() => {
    socket.destroy();
  });
  socket.on("error", () => undefined);
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  await new Promise((resolve) => {
    socket.once("connect", resolve);
  });
  return { socket, received: () => text };
}

function responseTo(sent: ReturnType<typeof open>): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    sent.on("response", resolve);
    sent.on("error", reject);
  });
}

describe("gateway", () => {
  it("passes 8 MiB through both ways, byte for byte", async () => {
    const host = await startHost();
    const body = randomBytes(8 * MIB);
    const reply = await send(host.gateway, { ...SEALED, body });
    expect(reply.status).toBe(200);
    expect(reply.headers["content-type"]).toBe(MEDIA_RESPONSE);
    expect(reply.headers["cache-control"]).toBe("no-store");
    expect(reply.headers["access-control-allow-origin"]).toBe("*");
    expect(reply.body.equals(body)).toBe(true);
    await until("it is counted", () => host.outcomes().length === 1);
    expect(host.log[0]?.fields).toMatchObject({
      route: "gateway",
      outcome: "completed",
      status: 200,
      bytesIn: body.length,
      bytesOut: body.length,
    });
  });

  it("tells the enclave nothing of the client", async () => {
    const host = await startHost();
    const headers = { ...SEALED.headers, cookie: "a=b", "x-forwarded-for": "1.2.3.4", via: "x" };
    await send(host.gateway, { method: "POST", headers, body: "sealed" });
    expect(host.enclave.statistics.headerNames.toSorted()).toEqual([
      "connection",
      "content-length",
      "content-type",
      "host",
    ]);
  });

  it("streams: the answer begins before the request has ended", async () => {
    const host = await startHost();
    const sent = open(host.gateway, SEALED);
    sent.write("first");
    const incoming = await responseTo(sent);
    let text = "";
    incoming.on("data", (chunk: Uint8Array) => {
      text += Buffer.from(chunk).toString();
    });
    await until("the first chunk came back", () => text === "first");
    sent.end("second");
    await until("the second one too", () => text.length === 11);
    expect(text).toBe("firstsecond");
  });

  it("keeps one connection to the enclave for exchanges that follow each other", async () => {
    const host = await startHost();
    for (let i = 0; i < 20; i++) {
      expect((await send(host.gateway, { ...SEALED, body: `${i}` })).body.toString()).toBe(`${i}`);
    }
    expect(host.enclave.statistics.exchanges).toBe(20);
    expect(host.enclave.statistics.connections).toBe(1);
  });

  it("runs many at once without mixing them up", async () => {
    const host = await startHost({ maxInFlight: 64 });
    const bodies = Array.from({ length: 40 }, () => randomBytes(100_000));
    const replies = await Promise.all(
      bodies.map((body) => send(host.gateway, { ...SEALED, body })),
    );
    replies.forEach((reply, index) => {
      expect(reply.body.equals(bodies[index] ?? Buffer.alloc(0))).toBe(true);
    });
    await until("all have ended", () => host.inFlight.count === 0);
  });

  it("stops the enclave while the client does not read", async () => {
    const host = await startHost();
    host.enclave.temper = "flood";
    const { socket } = await rawConnection(host.url);
    socket.pause();
    socket.write(
      `POST ${GATEWAY_PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: ${MEDIA_REQUEST}\r\n` +
        "Content-Length: 1\r\n\r\nx",
    );
    const { statistics } = host.enclave;
    await until("it has begun", () => statistics.bytesWritten > 0);
    let before = -1;
    await until("it is paused", async () => {
      const still = statistics.bytesWritten === before;
      before = statistics.bytesWritten;
      await delay(300);
      return still;
    });
    // What the sockets of two hops hold; the rest is not in this process either.
    expect(statistics.bytesWritten).toBeLessThan(FLOOD_BYTES / 2);
    socket.resume();
    await until("it goes on to the end", () => statistics.bytesWritten === FLOOD_BYTES);
    await until("it is counted", () => host.outcomes().length === 1);
    expect(host.outcomes()).toEqual(["completed 200"]);
  });

  it("ends the enclave's work when the client leaves before the answer", async () => {
    const host = await startHost();
    host.enclave.temper = "hold";
    const sent = open(host.gateway, SEALED);
    sent.on("error", () => undefined);
    sent.end("sealed");
    await until("the enclave has it", () => host.enclave.statistics.bytesRead === 6);
    expect(host.inFlight.count).toBe(1);
    sent.destroy();
    await until("the enclave was told", () => host.enclave.statistics.aborted === 1);
    await until("it is counted", () => host.outcomes().length === 1);
    expect(host.outcomes()).toEqual(["cancelled 0"]);
    expect(host.inFlight.count).toBe(0);
  });

  it("ends the enclave's work when the client leaves amid the request", async () => {
    const host = await startHost();
    host.enclave.temper = "hold";
    const sent = open(host.gateway, SEALED);
    sent.on("error", () => undefined);
    sent.write("half");
    await until("the enclave has it", () => host.enclave.statistics.bytesRead === 4);
    sent.destroy();
    await until("the enclave was told", () => host.enclave.statistics.aborted === 1);
    await until("it is counted", () => host.outcomes().length === 1);
    expect(host.outcomes()).toEqual(["cancelled 0"]);
  });

  it("ends the enclave's work when the client leaves amid the answer", async () => {
    const host = await startHost();
    host.enclave.temper = "trickle";
    const sent = open(host.gateway, SEALED);
    sent.on("error", () => undefined);
    sent.end("sealed");
    const incoming = await responseTo(sent);
    incoming.on("error", () => undefined);
    incoming.once("data", () => sent.destroy());
    await until("the enclave was told", () => host.enclave.statistics.aborted === 1);
    await until("it is counted", () => host.outcomes().length === 1);
    expect(host.outcomes()).toEqual(["cancelled 200"]);
  });

  it("never ends an answer that the enclave broke off", async () => {
    const host = await startHost();
    host.enclave.temper = "die";
    await expect(send(host.gateway, { ...SEALED, body: "sealed" })).rejects.toThrow(
      /aborted|hang up|ECONNRESET/u,
    );
    const { socket, received } = await rawConnection(host.url);
    socket.write(
      `POST ${GATEWAY_PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: ${MEDIA_REQUEST}\r\n` +
        "Content-Length: 1\r\n\r\nx",
    );
    await new Promise((resolve) => {
      socket.once("close", resolve);
    });
    expect(received()).toContain("200 OK");
    expect(received().endsWith("0\r\n\r\n")).toBe(false);
    await until("both are counted", () => host.outcomes().length === 2);
    expect(host.outcomes()).toEqual(["broken 200", "broken 200"]);
  });

  it("passes on a refusal that comes before the request was read", async () => {
    const host = await startHost();
    host.enclave.temper = "early";
    const reply = await send(host.gateway, { ...SEALED, body: randomBytes(4 * MIB) });
    expect(problemOf(reply)).toBe("400 unknownKey");
  });

  it("answers 503 when the enclave cannot be reached or ends before it answers", async () => {
    const host = await startHost();
    host.enclave.temper = "hold";
    const pending = send(host.gateway, { ...SEALED, body: "sealed" });
    await until("the enclave has it", () => host.enclave.statistics.bytesRead === 6);
    await host.enclave.close();
    const reply = await pending;
    expect(problemOf(reply)).toBe("503 unavailable");
    expect(reply.headers["retry-after"]).toBe("1");
    expect(problemOf(await send(host.gateway, { ...SEALED, body: "sealed" }))).toBe(
      "503 unavailable",
    );
  });

  it("answers 503 while the enclave does not serve", async () => {
    const host = await startHost();
    host.view.serving = false;
    const reply = await send(host.gateway, { ...SEALED, body: "sealed" });
    expect(problemOf(reply)).toBe("503 unavailable");
    expect(host.enclave.statistics.exchanges).toBe(0);
  });

  it("answers 503 beyond the exchanges it takes at once", async () => {
    const host = await startHost({ maxInFlight: 1 });
    host.enclave.temper = "slow";
    const first = send(host.gateway, { ...SEALED, body: "sealed" });
    await until("it is under way", () => host.inFlight.count === 1);
    const second = await send(host.gateway, { ...SEALED, body: "sealed" });
    expect(problemOf(second)).toBe("503 unavailable");
    expect(second.headers["retry-after"]).toBe("1");
    expect((await first).body.toString()).toBe("slow");
    expect((await send(host.gateway, { ...SEALED, body: "sealed" })).status).toBe(200);
  });

  it("answers 503 when the enclave takes too long to begin", async () => {
    const host = await startHost({ answerTimeoutMs: 300 });
    host.enclave.temper = "hold";
    expect(problemOf(await send(host.gateway, { ...SEALED, body: "x" }))).toBe("503 unavailable");
    await until("the enclave was told", () => host.enclave.statistics.aborted === 1);
    expect(host.outcomes()).toEqual(["unavailable 503"]);
  });

  it("lets an answer go on for as long as it moves", async () => {
    // A byte comes every 20 ms; a busy machine may hold one up for much longer.
    const host = await startHost({ answerTimeoutMs: 600, idleTimeoutMs: 600 });
    host.enclave.temper = "trickle";
    const sent = open(host.gateway, SEALED);
    sent.on("error", () => undefined);
    sent.end("sealed");
    const incoming = await responseTo(sent);
    let bytes = 0;
    incoming.on("error", () => undefined).on("data", (chunk: Buffer) => (bytes += chunk.length));
    await delay(1500);
    const before = bytes;
    await until("more comes", () => bytes > before);
    expect(host.outcomes()).toEqual([]);
    sent.destroy();
  });

  it("breaks off an answer that stands still", async () => {
    const host = await startHost({ idleTimeoutMs: 300 });
    host.enclave.temper = "stall";
    await expect(send(host.gateway, { ...SEALED, body: "x" })).rejects.toThrow(
      /aborted|hang up|ECONNRESET/u,
    );
    await until("it is counted", () => host.outcomes().length === 1);
    expect(host.outcomes()).toEqual(["broken 200"]);
    await until("the enclave was told", () => host.enclave.statistics.aborted === 1);
  });

  it("waits for an enclave that works on an answer longer than nothing may move", async () => {
    const host = await startHost({ idleTimeoutMs: 150 });
    host.enclave.temper = "slow";
    const reply = await send(host.gateway, { ...SEALED, body: "sealed" });
    expect([reply.status, reply.body.toString()]).toEqual([200, "slow"]);
  });

  it("ends an exchange whose request stands still", async () => {
    const host = await startHost({ idleTimeoutMs: 300 });
    host.enclave.temper = "hold";
    const sent = open(host.gateway, {
      method: "POST",
      headers: { ...SEALED.headers, "content-length": "10" },
    });
    sent.on("error", () => undefined);
    sent.write("x");
    const incoming = await responseTo(sent);
    expect(incoming.statusCode).toBe(503);
    incoming.resume();
    await until("the enclave was told", () => host.enclave.statistics.aborted === 1);
  });

  it.each(["text/plain", "message/ohttp-req", `${MEDIA_REQUEST}; a=b`])(
    "takes no %s",
    async (type) => {
      const host = await startHost();
      const headers = { "content-type": type };
      const reply = await send(host.gateway, { method: "POST", headers, body: "sealed" });
      expect(problemOf(reply)).toBe("415 mediaType");
      expect(host.enclave.statistics.exchanges).toBe(0);
    },
  );

  it("takes a body up to its limit, and not a byte more", async () => {
    const host = await startHost({ maxBodyBytes: 100_000 });
    expect((await send(host.gateway, { ...SEALED, body: randomBytes(100_000) })).status).toBe(200);
    const over = await send(host.gateway, { ...SEALED, body: randomBytes(100_001) });
    expect(problemOf(over)).toBe("413 tooLarge");
    expect(host.enclave.statistics.exchanges).toBe(1);
  });

  it("refuses a body that grows beyond the limit without having said so", async () => {
    const host = await startHost({ maxBodyBytes: 100_000 });
    host.enclave.temper = "hold";
    const headers = { ...SEALED.headers, "transfer-encoding": "chunked" };
    const sent = open(host.gateway, { method: "POST", headers });
    const answer = responseTo(sent);
    for (let i = 0; i < 20; i++) sent.write(randomBytes(50_000));
    sent.end();
    const incoming = await answer;
    expect(incoming.statusCode).toBe(413);
    incoming.resume();
    await until("the enclave was told", () => host.enclave.statistics.aborted === 1);
    expect(host.enclave.statistics.bytesRead).toBeLessThanOrEqual(200_000);
    expect(host.inFlight.count).toBe(0);
  });

  it("breaks off an answer to a request that grows beyond the limit meanwhile", async () => {
    const host = await startHost({ maxBodyBytes: 100_000 });
    const headers = { ...SEALED.headers, "transfer-encoding": "chunked" };
    const sent = open(host.gateway, { method: "POST", headers });
    sent.write("first");
    const incoming = await responseTo(sent);
    const broken = new Promise((resolve) => {
      incoming.on("error", resolve);
    });
    incoming.resume();
    sent.on("error", () => undefined);
    for (let i = 0; i < 4; i++) sent.write(randomBytes(50_000));
    expect(await broken).toBeInstanceOf(Error);
    await until("it is counted", () => host.outcomes().length === 1);
    expect(host.outcomes()).toEqual(["broken 200"]);
  });

  it("lets a client that goes on sending see its refusal, and then closes", async () => {
    const host = await startHost({ maxBodyBytes: 1000 });
    const { socket, received } = await rawConnection(host.url);
    socket.write(
      `POST ${GATEWAY_PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: ${MEDIA_REQUEST}\r\n` +
        "Content-Length: 1000000\r\n\r\nx",
    );
    await until("the refusal came", () => received().includes("urn:countersign:problem:too-large"));
    await until("the connection was closed", () => socket.destroyed, 10_000);
    expect(host.outcomes()).toEqual(["refused 413"]);
  });

  it.each(["GET", "PUT", "DELETE", "HEAD"])("refuses %s", async (method) => {
    const host = await startHost();
    const reply = await send(host.gateway, { method });
    expect(reply.status).toBe(405);
    expect(reply.headers.allow).toBe("POST, OPTIONS");
  });
});

describe("bundle", () => {
  it("is fetched once for all who ask at the same time, and again when it is old", async () => {
    const host = await startHost();
    const url = host.url + BUNDLE_PATH;
    const replies = await Promise.all(Array.from({ length: 20 }, () => send(url)));
    for (const reply of replies) {
      expect(reply.status).toBe(200);
      expect(reply.headers["content-type"]).toBe(MEDIA_BUNDLE);
      expect(reply.headers["cache-control"]).toBe("public, max-age=5");
      expect(reply.body.equals(host.enclave.bundle)).toBe(true);
    }
    expect(host.enclave.statistics.bundles).toBe(1);
    host.clockMs = 4999;
    await send(url);
    expect(host.enclave.statistics.bundles).toBe(1);
    host.clockMs = 5000;
    await send(url);
    expect(host.enclave.statistics.bundles).toBe(2);
  });

  it("is another one at once after a restart, and after a new epoch", async () => {
    const host = await startHost();
    const url = host.url + BUNDLE_PATH;
    const epoch = (sequence: number): EnclaveStatus => ({
      phase: "serving",
      epoch: { sequence, notBefore: 0, notAfter: 1 },
      queue: null,
    });
    host.view.status = epoch(1);
    await send(url);
    host.enclave.bundle = randomBytes(100);
    host.view.generation = 2;
    expect((await send(url)).body.equals(host.enclave.bundle)).toBe(true);
    host.enclave.bundle = randomBytes(100);
    host.view.status = epoch(2);
    expect((await send(url)).body.equals(host.enclave.bundle)).toBe(true);
    await send(url);
    expect(host.enclave.statistics.bundles).toBe(3);
  });

  it("has an entity tag, and a head", async () => {
    const host = await startHost();
    const url = host.url + BUNDLE_PATH;
    const etag = `"${createHash("sha256").update(host.enclave.bundle).digest("hex")}"`;
    expect((await send(url)).headers.etag).toBe(etag);
    for (const known of [etag, `"x", ${etag}`, `W/${etag}`, "*"]) {
      const reply = await send(url, { headers: { "if-none-match": known } });
      expect([reply.status, reply.body.length]).toEqual([304, 0]);
    }
    expect((await send(url, { headers: { "if-none-match": '"x"' } })).status).toBe(200);
    const head = await send(url, { method: "HEAD" });
    expect([head.status, head.body.length, head.headers.etag]).toEqual([200, 0, etag]);
  });

  it("is not served from the cache while the enclave is away", async () => {
    const host = await startHost();
    const url = host.url + BUNDLE_PATH;
    await send(url);
    host.view.serving = false;
    const reply = await send(url);
    expect(problemOf(reply)).toBe("503 unavailable");
    expect(reply.headers["cache-control"]).toBe("no-store");
    host.view.serving = true;
    host.view.generation = 2;
    await host.enclave.close();
    expect(problemOf(await send(url))).toBe("503 unavailable");
  });

  it("is unreachable, by its code, while the enclave does not serve and when it is gone", async () => {
    const host = await startHost();
    const bundles = new BundleCache(
      { kind: "unix", path: host.enclave.socketPath },
      host.view,
      () => 0,
    );
    expect((await bundles.read()).bytes.length).toBe(2000);
    host.view.serving = false;
    expect((await refusalOf(() => bundles.read())).code).toBe("enclave/unreachable");
    host.view.serving = true;
    host.view.generation = 2;
    await host.enclave.close();
    const refusal = await refusalOf(() => bundles.read());
    expect(refusal.code).toBe("enclave/unreachable");
    expect(refusal.message).toContain("GET /bundle: ENOENT");
  });

  it("refuses other methods", async () => {
    const host = await startHost();
    const reply = await send(host.url + BUNDLE_PATH, { method: "POST", body: "x" });
    expect(problemOf(reply)).toBe("405 method");
    expect(reply.headers.allow).toBe("GET, HEAD, OPTIONS");
  });
});

describe("challenge", () => {
  const JSON_TYPE = { "content-type": "application/json" };
  const post = (host: Host, body: string, headers = JSON_TYPE): Promise<Reply> =>
    send(host.url + CHALLENGE_PATH, { method: "POST", headers, body });

  it("gives the enclave the nonce's bytes and the client the fresh bundle", async () => {
    const host = await startHost();
    const nonce = randomBytes(32);
    const reply = await post(host, ` {"nonce" : "${nonce.toString("hex")}"}\n`);
    expect(reply.status).toBe(200);
    expect(reply.headers["content-type"]).toBe(MEDIA_BUNDLE);
    expect(reply.headers["cache-control"]).toBe("no-store");
    expect(reply.body.equals(Buffer.concat([Buffer.from("fresh "), nonce]))).toBe(true);
    expect(host.enclave.statistics.challenges).toEqual([nonce.toString("hex")]);
  });

  it.each([16, 64])("takes a nonce of %i bytes", async (length) => {
    const host = await startHost();
    expect((await post(host, `{"nonce":"${"aB".repeat(length)}"}`)).status).toBe(200);
  });

  it.each([
    ["15 bytes", `{"nonce":"${"ab".repeat(15)}"}`],
    ["65 bytes", `{"nonce":"${"ab".repeat(65)}"}`],
    ["an odd number of digits", `{"nonce":"${"a".repeat(33)}"}`],
    ["other characters", `{"nonce":"${"xy".repeat(16)}"}`],
    ["another member", `{"nonce":"${"ab".repeat(16)}","a":1}`],
    ["two nonces", `{"nonce":"${"ab".repeat(16)}","nonce":"${"cd".repeat(16)}"}`],
    ["an array", `["${"ab".repeat(16)}"]`],
    ["nothing", ""],
    ["a number", `{"nonce":12345678901234567890123456789012}`],
    ["text after it", `{"nonce":"${"ab".repeat(16)}"} x`],
  ])("refuses %s", async (_, body) => {
    const host = await startHost();
    expect(problemOf(await post(host, body))).toBe("400 malformed");
    expect(host.enclave.statistics.challenges).toEqual([]);
  });

  it("refuses another media type and a long body", async () => {
    const host = await startHost();
    const good = `{"nonce":"${"ab".repeat(16)}"}`;
    expect(problemOf(await post(host, good, { "content-type": "text/plain" }))).toBe(
      "415 mediaType",
    );
    expect(problemOf(await post(host, good.padEnd(4097)))).toBe("413 tooLarge");
    expect((await post(host, good.padEnd(4096))).status).toBe(200);
  });

  it("is metered for all clients together, and says when to come back", async () => {
    const host = await startHost();
    const good = `{"nonce":"${"ab".repeat(16)}"}`;
    expect((await post(host, good)).status).toBe(200);
    expect((await post(host, good)).status).toBe(200);
    const reply = await post(host, good);
    expect(problemOf(reply)).toBe("429 tooMany");
    expect(reply.headers["retry-after"]).toBe("1");
    host.clockMs = 1000;
    expect((await post(host, good)).status).toBe(200);
    host.clockMs = 2000;
    host.enclave.temper = "early";
    expect(problemOf(await post(host, good))).toBe("429 tooMany");
  });
});

describe("other routes", () => {
  it("is alive, and ready when the enclave serves", async () => {
    const host = await startHost();
    expect((await send(`${host.url}/livez`)).status).toBe(200);
    expect((await send(`${host.url}/readyz`)).status).toBe(200);
    host.view.serving = false;
    expect((await send(`${host.url}/livez`)).status).toBe(200);
    expect((await send(`${host.url}/readyz`)).status).toBe(503);
  });

  it("has metrics", async () => {
    const host = await startHost();
    await send(host.gateway, { ...SEALED, body: "sealed" });
    const reply = await send(`${host.url}/metrics`);
    expect(reply.headers["content-type"]).toContain("version=0.0.4");
    expect(reply.body.toString()).toContain(
      'countersign_requests_total{route="gateway",outcome="completed"} 1\n',
    );
  });

  it("says what it is", async () => {
    const host = await startHost();
    const reply = await send(host.url);
    expect(reply.body.toString()).toContain(BUNDLE_PATH);
  });

  it.each(["/nothing", "/.well-known/", "//metrics", "/metrics/x"])("has no %s", async (path) => {
    const host = await startHost();
    expect(problemOf(await send(host.url + path))).toBe("404 notFound");
  });

  it.each(["TRACE", "PROPFIND"])("refuses %s", async (method) => {
    const host = await startHost();
    expect(problemOf(await send(host.url, { method }))).toBe("405 method");
  });

  it.each([GATEWAY_PATH, BUNDLE_PATH, CHALLENGE_PATH])(
    "answers a preflight of %s",
    async (path) => {
      const host = await startHost();
      const headers = { origin: "https://a.example", "access-control-request-method": "POST" };
      const reply = await send(host.url + path, { method: "OPTIONS", headers });
      expect(reply.status).toBe(204);
      expect(reply.headers["access-control-allow-origin"]).toBe("*");
      expect(reply.headers["access-control-allow-headers"]).toBe("content-type");
      expect(reply.headers["access-control-allow-methods"]).toContain(
        path === BUNDLE_PATH ? "GET" : "POST",
      );
    },
  );
});
