/** An enclave that is hostile to its host: the host goes on, and its log and its descriptors stay bounded. */
import { readdirSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect, createServer as createRawServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { MEDIA_REQUEST } from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { EnclaveContact } from "../../../host/contact.ts";
import { type CredentialChain, CredentialSource } from "../../../host/credentials.ts";
import {
  LOG_BURST_LINES,
  LOG_BURST_NOTICES,
  MAX_SERVICE_CONNECTIONS,
} from "../../../host/limits.ts";
import { Observer } from "../../../host/observe.ts";
import { type KeyAccess, serveProvisioning } from "../../../host/provision.ts";
import { InFlight, relay } from "../../../host/relay.ts";
import { scanModels } from "../../../host/store.ts";
import { openUpstream } from "../../../host/upstream.ts";
import { readProvision } from "../../fakes/fake-enclave.ts";
import {
  CHOICE,
  memoryLog,
  NO_KEYS,
  onTestEnd,
  plant,
  type Recorded,
  scratch,
  send,
} from "./support.ts";

const LIMITS = {
  maxBodyBytes: 4096,
  maxInFlight: 8,
  idleTimeoutMs: 20_000,
  answerTimeoutMs: 20_000,
};

/** The relay's URL, over an enclave that answers everything with `bytes`. */
async function relayTo(bytes: string): Promise<string> {
  const path = join(scratch(), "e.sock");
  const enclave = createRawServer((socket) => {
    socket.on("error", () => undefined).once("data", () => socket.write(bytes));
  });
  await new Promise<void>((resolve) => {
    enclave.listen(path, resolve);
  });
  const view = { serving: true, generation: 1, restarts: 0, status: null };
  const upstream = openUpstream({ kind: "unix", path }, 8);
  const inFlight = new InFlight();
  const observer = new Observer(view, () => inFlight.count, null);
  const options = { upstream, enclave: view, observer, inFlight, limits: LIMITS };
  const server = createServer((incoming, outgoing) => {
    relay(incoming, outgoing, { ...options, nextRequestId: () => "id" });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestEnd(() => {
    upstream.agent.destroy();
    server.close();
    enclave.close();
  });
  // oxlint-disable-next-line no-unsafe-type-assertion -- a TCP server's
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("an answer whose status is none", () => {
  it.each(["000", "099", "600", "999"])(
    "%s ends the exchange, and not the host",
    async (status) => {
      const url = await relayTo(`HTTP/1.1 ${status} x\r\ncontent-length: 0\r\n\r\n`);
      const headers = { "content-type": MEDIA_REQUEST };
      const reply = await send(url, { method: "POST", headers, body: "sealed" });
      expect(reply.status).toBe(503);
    },
  );

  it.each(["200", "599"])("is not %s", async (status) => {
    const url = await relayTo(`HTTP/1.1 ${status} x\r\ncontent-length: 0\r\n\r\n`);
    const headers = { "content-type": MEDIA_REQUEST };
    const reply = await send(url, { method: "POST", headers, body: "sealed" });
    expect(reply.status).toBe(Number(status));
  });
});

interface Services {
  readonly path: string;
  readonly lines: Recorded[];
}

async function services(keys: KeyAccess = NO_KEYS): Promise<Services> {
  const [directory, path] = [scratch(), join(scratch(), "s.sock")];
  await plant(directory, { "digits/1/model.onnx": new Uint8Array(1 << 20) });
  const { log, lines } = memoryLog();
  const contact = new EnclaveContact(log);
  const { models } = await scanModels(directory);
  const server = await serveProvisioning({ kind: "unix", path }, models, CHOICE, contact, keys);
  onTestEnd(() => server.close());
  return { path, lines };
}

/** What a request with these first words of its first line is answered. */
function statusOf(path: string, word: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(path).on("error", reject);
    socket.write(`${word} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n`);
    let head = "";
    socket.on("data", (bytes: Buffer) => (head += bytes.toString("latin1")));
    socket.on("close", () => {
      resolve(Number(/^HTTP\/1\.1 (\d{3}) /u.exec(head)?.[1]));
    });
  });
}

/** One log of `count` lines, from its beginning to its end. */
function tellLog(path: string, count: number): Promise<void> {
  const body = '{"event":"x"}\n'.repeat(count);
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.write(
        `POST /log HTTP/1.1\r\nhost: h\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
    });
    socket
      .on("error", () => undefined)
      .on("close", () => {
        resolve();
      });
    socket.on("data", () => socket.destroy());
  });
}

describe("an enclave that floods its host's services", () => {
  it("opens no file for each of the requests that it sends in one go", async () => {
    const { path } = await services();
    const open = (): number => readdirSync("/proc/self/fd").length;
    const before = open();
    const socket = connect(path).on("error", () => undefined);
    socket.pause();
    onTestEnd(() => {
      socket.destroy();
    });
    socket.write("GET /models/digits/1/model.onnx HTTP/1.1\r\nhost: h\r\n\r\n".repeat(2000));
    await delay(500);
    expect(open() - before).toBeLessThan(100);
  });

  it("keeps no file open by a tunnel behind requests, and the next enclave gets its files", async () => {
    const never: CredentialChain = () => new Promise(() => undefined);
    const credentials = new CredentialSource(never, Date.now, () => undefined);
    const { path } = await services({ ...NO_KEYS, credentials });
    const words = [
      // What comes behind an answer that is not there yet waits for it.
      "GET /credentials",
      ...Array.from({ length: MAX_SERVICE_CONNECTIONS }, () => "GET /models/digits/1/model.onnx"),
      "CONNECT elsewhere.example:443",
    ];
    const socket = connect(path).on("error", () => undefined);
    onTestEnd(() => {
      socket.destroy();
    });
    socket.write(words.map((word) => `${word} HTTP/1.1\r\nhost: h\r\n\r\n`).join(""));
    await delay(500);
    socket.destroy();
    await delay(500);
    const { status, bytes } = await readProvision(path, "/models/digits/1/model.onnx");
    expect([status, bytes.length]).toEqual([200, 1 << 20]);
  });

  it("finds nothing there but what is listed", async () => {
    const { path } = await services();
    const words = [
      "GET /credentials",
      "GET /models/digits/1/../../../etc/passwd",
      "GET /models/digits/1/%2e%2e%2f%2e%2e%2fpasswd",
      "GET /models/digits/1/model.onnx%00",
      "GET /models/digits/1",
      "GET //169.254.169.254/latest/meta-data",
      "GET http://169.254.169.254/latest/meta-data",
      "GET /metrics",
      "GET /__proto__",
    ];
    expect(await Promise.all(words.map((word) => statusOf(path, word)))).toEqual(
      words.map(() => 404),
    );
    const others = ["POST /credentials", "PUT /provisioning", "OPTIONS *", "TRACE /log", "GET /%"];
    expect(await Promise.all(others.map((word) => statusOf(path, word)))).toEqual(
      others.map(() => 400),
    );
  });

  it("has no line of the host's for each log that it opens", async () => {
    const { path, lines } = await services();
    await tellLog(path, LOG_BURST_LINES + 1000);
    // More than were made good for meanwhile, in each.
    for (let i = 0; i < 4 * LOG_BURST_NOTICES; i++) await tellLog(path, 400);
    const told = lines.filter(({ event }) => event === "enclave-lines-dropped").length;
    expect(told).toBeGreaterThan(0);
    expect(told).toBeLessThan(3 * LOG_BURST_NOTICES);
  });
});
