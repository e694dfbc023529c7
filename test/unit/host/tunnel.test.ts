import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { IncomingMessage } from "node:http";
import { connect, createServer, type Server, Socket } from "node:net";
import { join } from "node:path";
import { duplexPair } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { EnclaveContact } from "../../../host/contact.ts";
import { MAX_TUNNELS, TUNNEL_BURST_LINES } from "../../../host/limits.ts";
import { serveProvisioning } from "../../../host/provision.ts";
import {
  type Destination,
  TUNNEL_TIMING,
  Tunnels,
  type TunnelTiming,
} from "../../../host/tunnel.ts";
import {
  CHOICE,
  memoryLog,
  onTestEnd,
  oneModel,
  type Recorded,
  scratch,
  until,
} from "./support.ts";

/** Longer than the buffers on the way. */
const MUCH = 8 << 20;

/** A key service of a test: what it does with a connection. */
async function service(serve: (socket: Socket) => void): Promise<Destination & { server: Server }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
    serve(socket);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestEnd(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("no port");
  return { host: "127.0.0.1", port: address.port, server };
}

/** One that has stopped to take connections: those that the kernel takes for it are there already. */
async function deafService(): Promise<Destination> {
  const program = `import { createServer } from "node:net";
import { parentPort } from "node:worker_threads";
const server = createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
  parentPort.postMessage(server.address().port);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(program)}`));
  onTestEnd(async () => {
    await worker.terminate();
  });
  const port = Number((await once(worker, "message"))[0]);
  const waiting = Array.from({ length: 4 }, () => connect({ host: "127.0.0.1", port }));
  onTestEnd(() => {
    for (const socket of waiting) socket.destroy();
  });
  await Promise.race(waiting.map((socket) => once(socket, "connect")));
  return { host: "127.0.0.1", port };
}

interface Host {
  readonly path: string;
  readonly lines: Recorded[];
  readonly close: () => Promise<void>;
}

async function host(
  destinations: readonly Destination[],
  timing: Partial<TunnelTiming> = {},
): Promise<Host> {
  const path = join(scratch(), "p.sock");
  const { log, lines } = memoryLog();
  const tunnels = new Tunnels(destinations, log, { ...TUNNEL_TIMING, ...timing });
  const server = await serveProvisioning(
    { kind: "unix", path },
    await oneModel(),
    CHOICE,
    new EnclaveContact(log),
    { tunnels, credentials: null },
  );
  let closed: Promise<void> | null = null;
  const close = (): Promise<void> => (closed ??= server.close());
  onTestEnd(close);
  return { path, lines, close };
}

interface Tunnel {
  readonly socket: Socket;
  readonly status: number;
}

/** `CONNECT authority`, with `behind` in the same packet; the answer's head is read and no byte more. */
async function dial(path: string, authority: string, behind = ""): Promise<Tunnel> {
  const socket = connect({ path, allowHalfOpen: true }).on("error", () => undefined);
  onTestEnd(() => {
    socket.destroy();
  });
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n\r\n${behind}`);
  let head = "";
  const whole = Promise.withResolvers<void>();
  const read = (): void => {
    while (!head.endsWith("\r\n\r\n")) {
      const byte: unknown = socket.read(1);
      if (!(byte instanceof Uint8Array)) return;
      head += String.fromCodePoint(byte[0] ?? 0);
    }
    whole.resolve();
  };
  socket.on("readable", read).once("close", whole.resolve);
  await whole.promise;
  socket.off("readable", read);
  return { socket, status: Number(/^HTTP\/1\.1 (\d{3}) /u.exec(head)?.[1]) };
}

/** The request of a CONNECT, as the server hands it on. */
function connectTo(authority: string): IncomingMessage {
  const incoming = new IncomingMessage(new Socket());
  incoming.method = "CONNECT";
  incoming.url = authority;
  return incoming;
}

function at({ host: name, port }: Destination): string {
  return `${name}:${port}`;
}

/** Everything until the other side's end. */
async function allOf(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of socket as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}

function closing(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on("close", () => {
      resolve();
    });
    // It may be half open for as long as we like.
    socket.on("end", () => socket.end());
    socket.resume();
  });
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

describe("a tunnel to a key service", () => {
  it("carries bytes both ways, what came behind the request first", async () => {
    const echo = await service((socket) => socket.pipe(socket));
    const { path, lines } = await host([echo]);
    const { socket, status } = await dial(path, at(echo), "first ");
    expect(status).toBe(200);
    const much = randomBytes(MUCH);
    const answer = allOf(socket);
    socket.write(much);
    socket.end();
    const came = await answer;
    expect(came.subarray(0, 6).toString()).toBe("first ");
    expect(digest(came.subarray(6))).toBe(digest(much));
    await until("it is logged", () => lines.length === 1);
    const { event, fields } = lines[0] ?? { event: "", fields: {} };
    expect(event).toBe("key-tunnel");
    expect(fields).toMatchObject({ host: echo.host, port: echo.port, sent: MUCH + 6 });
    expect(fields["received"]).toBe(MUCH + 6);
  });

  it("goes on one way where the other has ended", async () => {
    const ended = Promise.withResolvers<Buffer>();
    const late = await service((socket) => {
      void allOf(socket).then(async (asked) => {
        ended.resolve(asked);
        // The enclave's half is closed; the answer comes all the same.
        await delay(50);
        socket.end("the answer");
      });
    });
    const { path } = await host([late]);
    const { socket } = await dial(path, at(late));
    socket.end("the question");
    expect((await ended.promise).toString()).toBe("the question");
    expect((await allOf(socket)).toString()).toBe("the answer");
  });

  it("holds back a service that is faster than the enclave reads", async () => {
    let written = 0;
    const fast = await service((socket) => {
      const chunk = new Uint8Array(1 << 16);
      const write = (): void => {
        while (socket.write(chunk)) written += chunk.length;
        written += chunk.length;
      };
      socket.on("drain", write);
      write();
    });
    const { path } = await host([fast]);
    const { socket } = await dial(path, at(fast));
    socket.pause();
    let before = -1;
    await until("nothing moves any more", async () => {
      const now = written;
      const still = now === before;
      before = now;
      await delay(50);
      return still;
    });
    // What the kernel's buffers on three sockets take, and not what a second would carry.
    expect(written).toBeLessThan(32 << 20);
    socket.destroy();
  });

  it.each([
    ["another port", (port: number) => `127.0.0.1:${port + 1}`],
    ["another name of the same machine", (port: number) => `localhost:${port}`],
    ["another case", (port: number) => `127.0.0.1:0${port}`],
    ["no port", () => "127.0.0.1"],
    ["the machine's metadata", () => "169.254.169.254:80"],
    ["a user in front", (port: number) => `u@127.0.0.1:${port}`],
    ["a name that objects have", () => "constructor"],
  ])("leads nowhere but to the list: %s is 403, unlogged", async (_, authority) => {
    const echo = await service((socket) => socket.pipe(socket));
    const { path, lines } = await host([echo]);
    const asked = authority(echo.port);
    const { socket, status } = await dial(path, asked);
    expect(status).toBe(403);
    await closing(socket);
    expect(lines).toEqual([{ event: "key-tunnel-refused", fields: {} }]);
  });

  it("is 403 on a host that serves no sealed model", async () => {
    const { path } = await host([]);
    expect((await dial(path, "kms.eu-central-1.amazonaws.com:443")).status).toBe(403);
  });

  it("is 502 where nobody listens, and where no address is found", async () => {
    const gone = await service(() => undefined);
    await new Promise((resolve) => gone.server.close(resolve));
    const unknown = { host: "no-such-host.invalid", port: 443 };
    const { path, lines } = await host([gone, unknown]);
    expect((await dial(path, at(gone))).status).toBe(502);
    expect((await dial(path, at(unknown))).status).toBe(502);
    expect(lines.map(({ event, fields }) => [event, fields["host"], fields["code"]])).toEqual([
      ["key-tunnel-failed", "127.0.0.1", "ECONNREFUSED"],
      ["key-tunnel-failed", unknown.host, expect.stringMatching(/^E/u)],
    ]);
  });

  it.each(["169.254.169.254", "169.254.0.1"])(
    "is 502 to the machine's metadata even where the list names it: %s",
    async (address) => {
      const metadata = { host: address, port: 80 };
      const { path, lines } = await host([metadata]);
      expect((await dial(path, at(metadata))).status).toBe(502);
      const fields = { ...metadata, code: "ERR_IP_BLOCKED" };
      expect(lines).toEqual([{ event: "key-tunnel-failed", fields }]);
    },
  );

  it("is 502 where the service takes no connection in time", async () => {
    const full = await deafService();
    const { path, lines } = await host([full], { dialMs: 100 });
    expect((await dial(path, at(full))).status).toBe(502);
    expect(lines).toEqual([{ event: "key-tunnel-failed", fields: { ...full, code: "timeout" } }]);
  });

  it("is one of a few: 503 beyond, until one has ended", async () => {
    const echo = await service((socket) => socket.pipe(socket));
    const { path } = await host([echo]);
    const open = await Promise.all(Array.from({ length: MAX_TUNNELS }, () => dial(path, at(echo))));
    expect(open.map(({ status }) => status)).toEqual(open.map(() => 200));
    expect((await dial(path, at(echo))).status).toBe(503);
    open[0]?.socket.destroy();
    await until("there is room", async () => (await dial(path, at(echo))).status === 200);
  });

  it("ends where nothing moves, and where something moves for too long", async () => {
    const silent = await service(() => undefined);
    const idle = await host([silent], { idleMs: 50 });
    const still = await dial(idle.path, at(silent));
    await closing(still.socket);
    expect(still.status).toBe(200);
    const chatty = await service((socket) => {
      const timer = setInterval(() => socket.write("x"), 10);
      socket.on("close", () => {
        clearInterval(timer);
      });
    });
    const lived = await host([chatty], { idleMs: 10_000, lifetimeMs: 200 });
    const { socket, status } = await dial(lived.path, at(chatty));
    await closing(socket);
    expect([status, socket.bytesRead > 0]).toEqual([200, true]);
  });

  it("breaks off on both sides where either does", async () => {
    const sockets: Socket[] = [];
    const cut = await service((socket) => sockets.push(socket));
    const { path } = await host([cut]);
    const one = await dial(path, at(cut));
    await until("it is there", () => sockets.length === 1);
    sockets[0]?.resetAndDestroy();
    await closing(one.socket);
    const two = await dial(path, at(cut));
    await until("it is there", () => sockets.length === 2);
    two.socket.destroy();
    await closing(sockets[1] ?? one.socket);
    expect([one.status, two.status, one.socket.destroyed]).toEqual([200, 200, true]);
  });

  it("is the same over a connection that is no socket, and has no half of an end: vsock", async () => {
    const echo = await service((socket) => socket.pipe(socket));
    const { log, lines } = memoryLog();
    const tunnels = new Tunnels([echo], log, TUNNEL_TIMING);
    const [enclave, connection] = duplexPair({ allowHalfOpen: false });
    tunnels.take(connectTo(at(echo)), connection, Buffer.from("first "));
    enclave.write("second");
    let came = "";
    const whole = /^HTTP\/1\.1 200 [\w ]+\r\n\r\nfirst second$/u;
    enclave.on("data", (bytes: Buffer) => (came += bytes.toString()));
    await until("it is echoed", () => whole.test(came));
    enclave.end();
    await until("it has ended", () => connection.destroyed && lines.length === 1);
    expect(lines[0]).toMatchObject({ event: "key-tunnel", fields: { sent: 12, received: 12 } });
    const [other, refused] = duplexPair({ allowHalfOpen: false });
    tunnels.take(connectTo("elsewhere.example:443"), refused, new Uint8Array());
    let answer = "";
    for await (const bytes of other as AsyncIterable<Buffer>) answer += bytes.toString();
    expect(answer).toMatch(/^HTTP\/1\.1 403 .*\r\n\r\n$/su);
  });

  it("ends with the node", async () => {
    const silent = await service(() => undefined);
    const { path, close } = await host([silent]);
    const { socket } = await dial(path, at(silent));
    const ended = closing(socket);
    await close();
    await ended;
    await expect(once(connect(path), "connect")).rejects.toThrow("ENOENT");
  });
});

describe("an enclave that asks for tunnels without end", () => {
  it("has few lines in the host's log, and opens no more connections than it may", async () => {
    let connections = 0;
    const echo = await service((socket) => {
      connections += 1;
      socket.pipe(socket);
    });
    const { path, lines } = await host([echo]);
    for (let i = 0; i < TUNNEL_BURST_LINES + 60; i++) await dial(path, "elsewhere.example:443");
    expect(lines.length).toBeGreaterThanOrEqual(TUNNEL_BURST_LINES);
    // One a second besides.
    expect(lines.length).toBeLessThan(TUNNEL_BURST_LINES + 30);
    await Promise.all(Array.from({ length: 24 }, () => dial(path, at(echo))));
    expect(connections).toBeLessThanOrEqual(MAX_TUNNELS);
  });

  it("has none on a connection on which it asked for something else", async () => {
    let connections = 0;
    const echo = await service(() => (connections += 1));
    const { path, lines } = await host([echo]);
    const socket = connect(path).on("error", () => undefined);
    socket.write("GET /provisioning HTTP/1.1\r\nhost: h\r\n\r\n");
    await once(socket, "data");
    socket.write(`CONNECT ${at(echo)} HTTP/1.1\r\nhost: h\r\n\r\n`);
    await closing(socket);
    expect([connections, lines]).toEqual([0, []]);
  });

  it("does no harm by what it sends before, behind or in place of a request", async () => {
    const echo = await service((socket) => socket.pipe(socket));
    const { path } = await host([echo]);
    const words = [
      `GET /models/digits/1/model.onnx HTTP/1.1\r\nhost: h\r\n\r\nCONNECT ${at(echo)} HTTP/1.1\r\nhost: h\r\n\r\nx`,
      `CONNECT ${at(echo)} HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello`,
      `CONNECT ${at(echo)} HTTP/1.1\r\n\r\n`,
      `CONNECT http://${at(echo)}/ HTTP/1.1\r\nhost: h\r\n\r\n`,
      `GET http://${at(echo)}/ HTTP/1.1\r\nhost: h\r\n\r\n`,
      `GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`,
    ];
    for (const word of words) {
      const socket = connect(path).on("error", () => undefined);
      onTestEnd(() => {
        socket.destroy();
      });
      socket.end(word);
      await closing(socket);
    }
    const { socket, status } = await dial(path, at(echo), "alive");
    expect(status).toBe(200);
    socket.end();
    expect((await allOf(socket)).toString()).toBe("alive");
  });
});
