/** An enclave that is hostile to its host: the host goes on, and its log and its descriptors stay bounded. */
import { readdirSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect, createServer as createRawServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { MEDIA_REQUEST } from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { EnclaveContact } from "../../../host/contact.ts";
import { LOG_BURST_LINES, LOG_BURST_NOTICES } from "../../../host/limits.ts";
import { Observer } from "../../../host/observe.ts";
import { serveProvisioning } from "../../../host/provision.ts";
import { InFlight, relay } from "../../../host/relay.ts";
import { scanModels } from "../../../host/store.ts";
import { openUpstream } from "../../../host/upstream.ts";
import { CHOICE, memoryLog, onTestEnd, plant, type Recorded, scratch, send } from "./support.ts";

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

async function services(): Promise<Services> {
  const [directory, path] = [scratch(), join(scratch(), "s.sock")];
  await plant(directory, { "digits/1/model.onnx": new Uint8Array(1 << 20) });
  const { log, lines } = memoryLog();
  const contact = new EnclaveContact(log);
  const { models } = await scanModels(directory);
  const server = await serveProvisioning({ kind: "unix", path }, models, CHOICE, contact);
  onTestEnd(() => server.close());
  return { path, lines };
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
