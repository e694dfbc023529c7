import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../enclave/clock.ts";
import { HostLog } from "../../../enclave/host-log.ts";
import { TestClock } from "../../fakes/ring.ts";

let folder = "";
let server: Server;
let received = "";
let asked: (string | undefined)[] = [];
const sockets = new Set<Socket>();

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** Reads all of a body, and answers when it has ended. */
const reads: Handler = (request, response) => {
  request.on("data", (piece: Buffer) => (received += piece.toString()));
  request.on("end", () => response.writeHead(204).end());
};

async function listen(handler: Handler): Promise<void> {
  server = createServer((request, response) => {
    asked.push(`${request.method ?? ""} ${request.url ?? ""}`);
    request.on("error", () => undefined);
    handler(request, response);
  });
  server.on("connection", (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(join(folder, "host"), resolve));
}

async function shut(): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await closed;
}

const newLog = (clock = systemClock): HostLog =>
  new HostLog(() => connect(join(folder, "host")), clock);

async function expectSoon(happened: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !happened(); i++) await sleep(10);
  expect(happened()).toBe(true);
}

const line = (i: number): string => `{"event":"e","i":${i}}\n`;
const lines = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, i) => line(from + i)).join("");

interface Line {
  readonly event?: unknown;
  readonly i?: number;
  readonly lines?: number;
}

function parseLine(text: string): Line {
  const value: unknown = JSON.parse(text);
  return typeof value === "object" && value !== null ? value : {};
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "log-"));
  received = "";
  asked = [];
});
afterEach(async () => {
  if (server.listening) await shut();
  await rm(folder, { recursive: true });
});

describe("the log to the host", () => {
  it("is one body, in the order of the lines, those before it was opened too", async () => {
    await listen(reads);
    const log = newLog();
    log.write(line(0));
    log.open();
    log.write(line(1));
    await expectSoon(() => received === lines(0, 2));
    log.write(line(2));
    await expectSoon(() => received === lines(0, 3));
    expect(asked).toEqual(["POST /log"]);
    log.write(line(3));
    await log.flush(5_000);
    expect(received).toBe(lines(0, 4));
    expect(asked).toEqual(["POST /log"]);
  });

  it("is opened by its end, where nothing did before", async () => {
    await listen(reads);
    const log = newLog();
    log.write(line(0));
    await log.flush(5_000);
    expect(received).toBe(line(0));
  });

  it("tries again each second, and keeps what waits", async () => {
    const clock = new TestClock(Date.now());
    let dialled = 0;
    const log = new HostLog(() => {
      dialled++;
      return connect(join(folder, "host"));
    }, clock);
    log.open();
    log.write(line(0));
    for (let second = 0; second < 5; second++) {
      expect(dialled).toBe(1 + second);
      await sleep(50);
      await clock.advance(999);
      expect(dialled).toBe(1 + second);
      await clock.advance(1);
    }
    await listen(reads);
    log.write(line(1));
    await sleep(50);
    await clock.advance(1_000);
    await expectSoon(() => received === lines(0, 2));
    expect(dialled).toBe(7);
  });

  it("keeps the newest 256 lines, and says how many it could not", async () => {
    const clock = new TestClock(1_000);
    const log = newLog(clock);
    for (let i = 0; i < 300; i++) log.write(line(i));
    await listen(reads);
    log.open();
    await expectSoon(() => received.endsWith(line(299)));
    const dropped = `${JSON.stringify({ event: "log-dropped", at: 1_000, lines: 44 })}\n`;
    expect(received).toBe(dropped + lines(44, 300));
    log.write(line(300));
    await expectSoon(() => received.endsWith(line(300)));
    expect(received).toBe(dropped + lines(44, 301));
  });

  it("holds no more where the host does not read, and drops no line without counting it", async () => {
    let begin = (): void => undefined;
    await listen((request, response) => {
      begin = () => {
        reads(request, response);
      };
    });
    const log = newLog();
    log.open();
    await expectSoon(() => asked.length === 1);
    const written = 5_000;
    for (let i = 0; i < written; i++) {
      log.write(`{"event":"e","i":${i},"long":"${"x".repeat(4_000)}"}\n`);
      if (i % 100 === 0) await sleep(1);
    }
    begin();
    await log.flush(5_000);
    const read = received
      .trimEnd()
      .split("\n")
      .map((text) => parseLine(text));
    const arrived = read.filter(({ event }) => event === "e");
    const dropped = read.reduce((sum, { lines: count }) => sum + (count ?? 0), 0);
    expect(arrived.length + dropped).toBe(written);
    // 256 lines, and what the socket and its stream hold.
    expect(arrived.length).toBeGreaterThan(255);
    expect(arrived.length).toBeLessThan(1_500);
    expect(arrived.at(-1)?.i).toBe(written - 1);
  });

  it("sends again what never left us on a connection that broke", async () => {
    const clock = new TestClock(Date.now());
    await listen(reads);
    const taken: string[] = [];
    const stuck = new Duplex({
      read: () => undefined,
      write: (piece: Buffer) => {
        // Never says that it is done.
        taken.push(piece.toString());
      },
    });
    let dialled = 0;
    const log = new HostLog(() => (dialled++ === 0 ? stuck : connect(join(folder, "host"))), clock);
    log.open();
    for (let i = 0; i < 3; i++) log.write(line(i));
    await expectSoon(() => taken.length > 0);
    stuck.destroy();
    await sleep(50);
    await clock.advance(1_000);
    await expectSoon(() => received === lines(0, 3));
  });

  it("goes on, after a connection that broke, with what comes", async () => {
    const clock = new TestClock(Date.now());
    let cut = true;
    await listen((request, response) => {
      if (!cut) {
        reads(request, response);
        return;
      }
      request.once("data", () => {
        cut = false;
        request.socket.destroy();
      });
    });
    const log = newLog(clock);
    log.write(line(0));
    log.open();
    await expectSoon(() => !cut);
    await sleep(50);
    for (let i = 1; i < 10; i++) log.write(line(i));
    await clock.advance(2_000);
    await expectSoon(() => received.endsWith(lines(1, 10)));
  });

  it("goes on after a host that answers too early", async () => {
    const clock = new TestClock(Date.now());
    let answers = 0;
    await listen((request, response) => {
      if (answers++ < 2) response.writeHead(503).end();
      else reads(request, response);
    });
    const log = newLog(clock);
    log.open();
    log.write(line(0));
    for (let i = 0; i < 3; i++) {
      await expectSoon(() => asked.length === i + 1);
      await sleep(50);
      await clock.advance(1_000);
    }
    log.write(line(1));
    await expectSoon(() => received.endsWith(line(1)));
    expect(asked.length).toBe(3);
  });

  it("ends in time, whatever the host does", async () => {
    for (const handler of [
      () => undefined,
      (_: IncomingMessage, response: ServerResponse) => response.destroy(),
    ]) {
      await listen(handler);
      const log = newLog();
      log.write(line(0));
      const began = performance.now();
      await log.flush(200);
      expect(performance.now() - began).toBeLessThan(5_000);
      await shut();
    }
    const log = newLog();
    log.write(line(0));
    await log.flush(200);
    expect(received).toBe("");
  });
});
