import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { connect, type Socket } from "node:net";
import type { Worker } from "node:worker_threads";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeEnvelope, encodeProvisioning, type Provisioning } from "@countersign/protocol";
import {
  modelsRegister,
  parseBundle,
  parseRuntimeConfig,
  parseEvidence,
} from "@countersign/attestation";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { boot, type RunningEnclave } from "../../../enclave/boot.ts";
import { systemClock } from "../../../enclave/clock.ts";
import { sha256 } from "../../../enclave/epoch.ts";
import { KEY_SERVICES_FILE } from "../../../enclave/keys/services.ts";
import type { LogFields } from "../../../enclave/log.ts";
import { CODE_ROOT } from "../../../enclave/simulation/measure.ts";
import { SimulatedNsm } from "../../../enclave/simulation/nsm.ts";
import { unixTransport } from "../../../enclave/transport.ts";
import { NO_KEY_SERVICES } from "../../fakes/key-services.ts";
import { identityModel } from "../../fakes/onnx-proto.ts";
import { IMAGE, newVendor } from "../../fakes/ring.ts";
import { ENVELOPE } from "../../fakes/sealed-files.ts";
import { provisioningOf, type TestModel } from "../../fakes/served.ts";

const vendor = newVendor();
const MODEL: TestModel = { id: "echo", files: { "model.onnx": identityModel("FP32", [1, 2]) } };

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
}

interface FakeHost {
  readonly asked: string[];
  readonly server: Server;
}

let folder = "";
let host: FakeHost;
let phases: string[];
let running: RunningEnclave | null = null;

/** A host that gives what it is told to; `lie` changes a file on its way. */
async function startHost(
  provisioning: Uint8Array,
  lie: (path: string, bytes: Uint8Array) => Uint8Array | null = (_, bytes) => bytes,
): Promise<FakeHost> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    asked.push(path);
    const found = path === "/provisioning" ? provisioning : MODEL.files["model.onnx"];
    const bytes = found === undefined ? null : lie(path, found);
    response.writeHead(bytes === null ? 404 : 200);
    response.end(bytes ?? "");
  });
  await new Promise<void>((resolve) => server.listen(join(folder, "host"), resolve));
  return { asked, server };
}

function start(nsm = new SimulatedNsm(vendor, IMAGE, systemClock.nowMs)): Promise<RunningEnclave> {
  phases = [];
  return boot({
    platform: "simulated",
    nsm,
    transport: unixTransport(join(folder, "enclave"), join(folder, "host")),
    clock: systemClock,
    log: (event: string, fields: LogFields = {}) => {
      if (event === "phase") phases.push(String(fields["phase"]));
    },
    keyServices: NO_KEY_SERVICES,
    hostPatienceMs: 0,
    mixRandomness: () => undefined,
    availableBytes: () => process.availableMemory(),
  });
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "boot-"));
});
afterEach(async () => {
  await running?.close();
  running = null;
  host.server.closeAllConnections();
  host.server.close();
  await rm(folder, { recursive: true });
});

const PROVISIONING: Provisioning = provisioningOf([MODEL]);
const SERVING = [
  "boot",
  "configured",
  "models-verified",
  "models-measured",
  "epoch-open",
  "serving",
];

describe("boot", () => {
  it("takes every phase in order, and serves a bundle that says what it did", async () => {
    host = await startHost(encodeProvisioning(PROVISIONING));
    running = await start();
    expect(phases).toEqual(SERVING);
    expect(host.asked).toEqual(["/provisioning", "/models/echo/1/model.onnx"]);
    const bundle = parseBundle(await get("/bundle"));
    const { pcrs } = parseEvidence(bundle.evidence);
    expect(pcrs.get(16)).toEqual(await modelsRegister(sha256(bundle.models)));
    expect(bundle.platform).toBe("simulated");
    const { features } = parseRuntimeConfig(bundle.config);
    expect([features.get("padding"), features.get("checkpoints")]).toEqual(["buckets", true]);
    await running.close();
    expect(phases.at(-1)).toBe("closed");
    await expect(get("/bundle")).rejects.toThrow("ENOENT");
  });

  it.each<[string, string[], string, (path: string, bytes: Uint8Array) => Uint8Array | null]>([
    ["no provisioning", ["boot"], "provision/status", () => null],
    ["provisioning cut short", ["boot"], "provisioning/structure", (_, b) => b.subarray(1)],
    ["16 MiB that are none", ["boot"], "provisioning/structure", () => new Uint8Array(16_777_216)],
    ["a byte more than 16 MiB", ["boot"], "provision/too-large", () => new Uint8Array(16_777_217)],
    [
      "another byte in a model",
      ["boot", "configured"],
      "model/hash",
      (path, bytes) => (path === "/provisioning" ? bytes : flipped(bytes)),
    ],
    [
      "a model it does not give",
      ["boot", "configured"],
      "provision/status",
      (path, bytes) => (path === "/provisioning" ? bytes : null),
    ],
  ])("closes on %s", async (_, before, code, lie) => {
    host = await startHost(encodeProvisioning(PROVISIONING), lie);
    await expect(start()).rejects.toThrow(code);
    expect(phases).toEqual([...before, "closed"]);
  });

  it("closes where the models register was used before", async () => {
    host = await startHost(encodeProvisioning(PROVISIONING));
    for (const misuse of ["extendPcr", "lockPcr"] as const) {
      const nsm = new SimulatedNsm(vendor, IMAGE, systemClock.nowMs);
      nsm[misuse](16, new Uint8Array(32));
      await expect(start(nsm)).rejects.toThrow("nsm/register");
      expect(phases).toEqual(["boot", "configured", "models-verified", "closed"]);
    }
  });

  it("closes without a host", async () => {
    host = await startHost(encodeProvisioning(PROVISIONING));
    host.server.closeAllConnections();
    host.server.close();
    await expect(start()).rejects.toThrow("provision/unreachable");
  });
});

describe("an enclave that closes", () => {
  it("ends connections, whatever goes on there", { timeout: 10_000 }, async () => {
    host = await startHost(encodeProvisioning(PROVISIONING));
    running = await start();
    const begun = "POST /gateway HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab";
    const open = await Promise.all(["", "POST /gat", begun].map((bytes) => dial(bytes)));
    const ended = Promise.all(open.map(closed));
    await running.close();
    await ended;
    expect(phases.at(-1)).toBe("closed");
  });

  it("does so by itself when its engine ends", { timeout: 10_000 }, async () => {
    host = await startHost(encodeProvisioning(PROVISIONING));
    // Its worker is the one that is made next.
    const made = new Promise<Worker>((resolve) => process.once("worker", resolve));
    running = await start();
    const worker = await made;
    const socket = await dial("");
    const ended = closed(socket);
    await worker.terminate();
    expect((await running.failure).code).toBe("engine/failed");
    await ended;
    expect(phases.at(-1)).toBe("closed");
  });
});

describe("the simulated entry", () => {
  const run = (
    args: readonly string[],
    options: readonly string[] = [],
  ): { readonly done: Promise<Ended>; stop: () => void } => {
    const program = [...options, `${CODE_ROOT}enclave/simulated.ts`];
    const child = spawn(process.execPath, [...program, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const pieces: string[] = [];
    let errors = "";
    child.stderr.on("data", (piece: Buffer) => (errors += piece.toString()));
    const done = new Promise<Ended>((resolve) => {
      child.stdout.on("data", (piece: Buffer) => {
        pieces.push(piece.toString());
        const served = pieces.join("").includes('"serving"');
        if (served && options.length === 0) child.kill("SIGTERM");
      });
      child.on("close", (code) => {
        resolve({ code, out: pieces.join(""), errors });
      });
    });
    return { done, stop: () => child.kill() };
  };

  it("measures, serves as a process, and stops when told to", async () => {
    host = await startHost(encodeProvisioning(PROVISIONING));
    const key = join(folder, "vendor.pem");
    const measured = await run(["--measure", "--vendor-key", key]).done;
    expect(measured.code).toBe(0);
    expect(JSON.parse(measured.out)).toMatchObject({
      pcr0: expect.stringMatching(/^[0-9a-f]{96}$/u) as unknown,
      rootCertificate: expect.stringContaining("BEGIN CERTIFICATE") as unknown,
      rootSha256: expect.stringMatching(/^[0-9a-f]{64}$/u) as unknown,
    });
    const sockets = ["--listen", join(folder, "enclave"), "--provision", join(folder, "host")];
    const served = await run([...sockets, "--vendor-key", key]).done;
    expect(served.code).toBe(0);
    const lines = served.out.trim().split("\n").map(parseLine);
    expect(lines.map(({ phase }) => phase).filter((phase) => phase !== undefined)).toEqual([
      ...SERVING,
      "closed",
    ]);
    expect(lines.at(-1)).toMatchObject({ event: "closed", code: "SIGTERM" });
  });

  it("measures the key services that it is given, and then has no others", async () => {
    const [row] = PROVISIONING.models;
    if (row === undefined) throw new Error("no model");
    const sealed = { ...row, envelope: encodeEnvelope(ENVELOPE) };
    host = await startHost(encodeProvisioning({ ...PROVISIONING, models: [sealed] }));
    const key = join(folder, "vendor.pem");
    const services = join(folder, "services.json");
    const broker = { kind: "broker", key: "*", endpoint: "http://broker.example", roots: [] };
    const file = { version: 1, services: [broker], rootCertificates: [] };
    await writeFile(services, JSON.stringify({ ...file, services: [] }));
    const given = ["--vendor-key", key, "--key-services", services];
    const measured = async (args: readonly string[]): Promise<Readonly<Record<string, unknown>>> =>
      parseLine((await run(["--measure", ...args]).done).out);
    const committed = await measured(["--vendor-key", key]);
    const none = await measured(given);
    expect(none["pcr0"]).not.toBe(committed["pcr0"]);
    expect(none["pcr1"]).toBe(committed["pcr1"]);
    expect(none["pcr2"]).not.toBe(committed["pcr2"]);
    expect(await measured(["--vendor-key", key, "--key-services", KEY_SERVICES_FILE])).toEqual(
      committed,
    );
    const sockets = ["--listen", join(folder, "enclave"), "--provision", join(folder, "host")];
    expect(lastCode(await run([...sockets, ...given]).done)).toBe("key-services/none");
    await writeFile(services, JSON.stringify(file));
    expect((await measured(given))["pcr2"]).not.toBe(none["pcr2"]);
    // A host that relays nothing. The enclave asks it, and only it.
    const asked: string[] = [];
    host.server.on("connect", (request, client) => {
      asked.push(request.url ?? "");
      client.end("HTTP/1.1 403 Forbidden\r\n\r\n");
    });
    expect(lastCode(await run([...sockets, ...given]).done)).toBe("key/unreachable");
    expect(new Set(asked)).toEqual(new Set(["broker.example:80"]));
    expect(host.asked).toEqual(["/provisioning", "/provisioning"]);
  });

  it("says nothing of what an error quotes that nobody caught", async () => {
    host = await startHost(encodeProvisioning(PROVISIONING));
    const sockets = ["--listen", join(folder, "enclave"), "--provision", join(folder, "host")];
    const args = [...sockets, "--vendor-key", join(folder, "vendor.pem")];
    for (const bug of [
      "throw new RangeError('a secret')",
      "Promise.reject(RangeError('a secret'))",
    ]) {
      // Once somebody is there to catch it: before that, nothing that is secret is.
      const ready = "process.listenerCount('uncaughtException')>0";
      const wait = `const timer=setInterval(()=>{if(${ready}){clearInterval(timer);${bug}}},9)`;
      const broken = `data:text/javascript,${wait}`;
      const ended = await run(args, ["--import", encodeURI(broken)]).done;
      expect([ended.code, ended.errors]).toEqual([1, ""]);
      expect(ended.out).not.toContain("secret");
      expect(parseLine(ended.out.trim().split("\n").at(-1) ?? "")).toMatchObject({
        event: "closed",
        code: "RangeError",
      });
    }
  });

  it("says why it does not start", async () => {
    host = await startHost(new Uint8Array(0));
    const broken = join(folder, "broken.pem");
    await writeFile(broken, "nothing", { mode: 0o600 });
    const key = ["--vendor-key", join(folder, "new.pem")];
    const sockets = ["--listen", join(folder, "enclave"), "--provision", join(folder, "host")];
    const cases: readonly (readonly [string, readonly string[]])[] = [
      ["boot/arguments", []],
      ["boot/arguments", ["--vendor-key", broken, "--surplus"]],
      ["simulation/vendor-key", [...sockets, "--vendor-key", broken]],
      ["provisioning/structure", [...sockets, ...key]],
      ["key-services/structure", [...sockets, ...key, "--key-services", broken]],
      ["key-services/structure", ["--measure", ...key, "--key-services", broken]],
      ["key/services", [...sockets, ...key, "--key-services", join(folder, "missing.json")]],
    ];
    for (const [code, args] of cases) {
      const ended = await run(args).done;
      expect(ended.code).toBe(1);
      expect(lastCode(ended)).toBe(code);
    }
  });
});

/** Of the last line, which says that it closed. */
function lastCode({ out }: Ended): unknown {
  const line = parseLine(out.trim().split("\n").at(-1) ?? "");
  expect(line["event"]).toBe("closed");
  return line["code"];
}

function parseLine(line: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(line);
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function flipped(bytes: Uint8Array): Uint8Array {
  const changed = bytes.slice();
  changed[9] = (changed[9] ?? 0) ^ 1;
  return changed;
}

async function dial(bytes: string): Promise<Socket> {
  const socket = connect(join(folder, "enclave"));
  await once(socket, "connect");
  socket.on("error", () => undefined);
  socket.resume();
  socket.write(bytes);
  return socket;
}

/** Unlike `once`, also where it is reset. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("close", () => {
      resolve();
    });
  });
}

async function get(path: string): Promise<Uint8Array> {
  const { request } = await import("node:http");
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { socketPath: join(folder, "enclave"), path, agent: false },
      (answer) => {
        const pieces: Buffer[] = [];
        answer.on("data", (piece: Buffer) => pieces.push(piece));
        answer.on("end", () => {
          resolve(new Uint8Array(Buffer.concat(pieces)));
        });
      },
    );
    outgoing.on("error", reject);
    outgoing.end();
  });
}
