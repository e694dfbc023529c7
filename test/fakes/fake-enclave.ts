/**
 * An enclave as the host sees it: HTTP on a Unix socket, a log on standard output, and a temper.
 *
 * In a test's own process it is {@link startFakeEnclave}. As a program it takes the arguments of the
 * simulated enclave; `--temper WORD` says how it misbehaves, and `POST /test/temper` changes it.
 */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { MEDIA_RESPONSE, parseProvisioning } from "@countersign/protocol";

/**
 * `echo` answers with the request; `flood` streams 64 MiB; `hold` reads and never answers; `die`
 * breaks off inside the answer; `early` refuses before it reads; `hang` no longer answers at all;
 * `trickle` sends a byte every 20 ms; `stall` begins an answer and stands still; `slow` answers after
 * a second.
 */
export type Temper =
  "echo" | "flood" | "hold" | "die" | "early" | "hang" | "trickle" | "stall" | "slow";

export const FLOOD_BYTES: number = 64 * 1024 * 1024;

/** What the enclave saw. */
export interface FakeStatistics {
  connections: number;
  exchanges: number;
  /** Exchanges whose client left before the answer was out. */
  aborted: number;
  bytesRead: number;
  bytesWritten: number;
  bundles: number;
  challenges: string[];
  contentTypes: (string | undefined)[];
  headerNames: string[];
}

export interface FakeEnclave {
  readonly socketPath: string;
  readonly statistics: FakeStatistics;
  temper: Temper;
  sequence: number;
  bundle: Uint8Array;
  close(): Promise<void>;
}

/** Listens at `socketPath`. */
export async function startFakeEnclave(socketPath: string): Promise<FakeEnclave> {
  const statistics: FakeStatistics = {
    connections: 0,
    exchanges: 0,
    aborted: 0,
    bytesRead: 0,
    bytesWritten: 0,
    bundles: 0,
    challenges: [],
    contentTypes: [],
    headerNames: [],
  };
  const server = createServer((incoming, outgoing) => {
    void answer(enclave, incoming, outgoing);
  });
  server.on("connection", () => {
    statistics.connections += 1;
  });
  const enclave: FakeEnclave = {
    socketPath,
    statistics,
    temper: "echo",
    sequence: 1,
    bundle: randomBytes(2000),
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
  await new Promise<void>((resolve) => {
    server.listen(socketPath, resolve);
  });
  return enclave;
}

async function answer(
  enclave: FakeEnclave,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  if (enclave.temper === "hang" && incoming.url !== "/test/temper") return;
  const { statistics } = enclave;
  switch (incoming.url) {
    case "/gateway":
      statistics.exchanges += 1;
      statistics.contentTypes.push(incoming.headers["content-type"]);
      statistics.headerNames = Object.keys(incoming.headers);
      outgoing.on("close", () => {
        if (!outgoing.writableFinished) statistics.aborted += 1;
      });
      incoming.on("error", () => undefined);
      outgoing.on("error", () => undefined);
      await exchange(enclave, incoming, outgoing);
      return;
    case "/bundle":
      statistics.bundles += 1;
      outgoing.end(enclave.bundle);
      return;
    case "/challenge": {
      const nonce = await readAll(incoming);
      if (enclave.temper === "early") {
        outgoing.writeHead(429).end();
        return;
      }
      statistics.challenges.push(nonce.toString("hex"));
      outgoing.end(Buffer.concat([Buffer.from("fresh "), nonce]));
      return;
    }
    case "/status":
      outgoing.end(
        JSON.stringify({
          phase: "serving",
          epoch: { sequence: enclave.sequence, notBefore: 1_800_000_000, notAfter: 1_800_007_200 },
          queue: { depth: 3, limit: 64 },
        }),
      );
      return;
    case "/test/temper":
      enclave.temper = temperOf((await readAll(incoming)).toString());
      outgoing.end();
      return;
    case "/test/crash":
      process.exit(7);
    // oxlint-disable-next-line no-fallthrough -- process.exit does not return
    default:
      outgoing.writeHead(404).end();
  }
}

async function exchange(
  enclave: FakeEnclave,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const { temper, statistics } = enclave;
  const media = { "content-type": MEDIA_RESPONSE };
  if (temper === "early") {
    const problem = { "content-type": "application/problem+json" };
    outgoing.writeHead(400, problem).end('{"type":"urn:countersign:problem:unknown-key"}');
    return;
  }
  if (temper === "echo") {
    outgoing.writeHead(200, media);
    for await (const chunk of chunksOf(incoming)) {
      statistics.bytesRead += chunk.length;
      if (!outgoing.write(chunk)) await drained(outgoing);
      if (outgoing.destroyed) return;
    }
    outgoing.end();
    return;
  }
  if (temper === "hold") {
    for await (const chunk of chunksOf(incoming)) statistics.bytesRead += chunk.length;
    return;
  }
  await readAll(incoming);
  if (temper === "slow") await delay(1000);
  outgoing.writeHead(200, media);
  if (temper === "slow") {
    outgoing.end("slow");
  } else if (temper === "die") {
    outgoing.write(randomBytes(10_000));
    await delay(50);
    outgoing.destroy();
  } else if (temper === "stall") {
    outgoing.write("x");
  } else if (temper === "trickle") {
    while (!outgoing.destroyed) {
      outgoing.write("x");
      await delay(20);
    }
  } else {
    await flood(outgoing, statistics);
  }
}

async function flood(outgoing: ServerResponse, statistics: FakeStatistics): Promise<void> {
  const chunk = randomBytes(64 * 1024);
  for (let sent = 0; sent < FLOOD_BYTES; sent += chunk.length) {
    if (outgoing.destroyed) return;
    statistics.bytesWritten += chunk.length;
    if (!outgoing.write(chunk)) await drained(outgoing);
  }
  outgoing.end();
}

async function* chunksOf(incoming: IncomingMessage): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of incoming) if (chunk instanceof Uint8Array) yield chunk;
  } catch {
    // The host left. What was read is counted, and `aborted` says the rest.
  }
}

async function readAll(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of chunksOf(incoming)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function drained(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      outgoing.off("drain", done);
      outgoing.off("close", done);
      resolve();
    };
    outgoing.on("drain", done);
    outgoing.on("close", done);
  });
}

function temperOf(word: string): Temper {
  switch (word) {
    case "echo":
    case "flood":
    case "hold":
    case "die":
    case "early":
    case "hang":
    case "trickle":
    case "stall":
    case "slow":
      return word;
    default:
      throw new TypeError(`no such temper: ${word}`);
  }
}

/** Changes a fake that runs as a program, through its own socket. */
export function tell(socketPath: string, path: string, body = ""): Promise<void> {
  return new Promise((resolve) => {
    const sent = request({ socketPath, path, method: "POST", agent: false }, (incoming) => {
      incoming.resume();
      incoming.on("close", resolve);
    });
    // A crash on demand answers with a broken connection.
    sent.on("error", () => {
      resolve();
    });
    sent.end(body);
  });
}

/** One file of the host's provision server. */
export function readProvision(
  socketPath: string,
  path: string,
): Promise<{ readonly status: number; readonly bytes: Uint8Array }> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path, agent: false }, (incoming) => {
      readAll(incoming).then((bytes) => {
        resolve({ status: incoming.statusCode ?? 0, bytes });
      }, reject);
    })
      .on("error", reject)
      .end();
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      listen: { type: "string", default: "" },
      provision: { type: "string", default: "" },
      "vendor-key": { type: "string", default: "" },
      temper: { type: "string", default: "echo" },
      boot: { type: "string", default: "good" },
    },
  });
  const say = (line: object): void => {
    process.stdout.write(`${JSON.stringify(line)}\n`);
  };
  process.once("disconnect", () => process.exit(0));
  say({ event: "phase", phase: "boot", secret: "not for the host's log" });
  if (values.boot === "refuse") {
    say({ event: "closed", code: "manifest/digest", detail: "a long text that is not forwarded" });
    process.exit(3);
  }
  if (values.boot === "crash") throw new Error("crashed at start");
  if (values.boot === "silent") {
    await delay(60_000);
    return;
  }
  if (values.boot === "deaf") process.on("SIGTERM", () => undefined);
  const { status, bytes } = await readProvision(values.provision, "/provisioning");
  if (status !== 200) process.exit(4);
  const { models } = parseProvisioning(bytes);
  say({ event: "phase", phase: "configured", models: models.length });
  process.stdout.write(`${"x".repeat(100_000)}\n`);
  const enclave = await startFakeEnclave(values.listen);
  enclave.temper = temperOf(values.temper);
  say({ event: "phase", phase: "serving" });
  say({
    event: "aborted",
    index: 7,
    sequence: 1,
    code: "exchange/aborted",
    receipt: "0oRDoQEm+/=",
  });
}

if (import.meta.main) await main();
