import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { GATEWAY_PATH, MEDIA_REQUEST } from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { EnclaveContact } from "../../../host/contact.ts";
import { serveProvisioning } from "../../../host/provision.ts";
import { openState } from "../../../host/state.ts";
import { askStatus, parseStatus } from "../../../host/status.ts";
import { scanModels } from "../../../host/store.ts";
import { DEFAULT_TIMING, Supervisor, type SupervisorTiming } from "../../../host/supervisor.ts";
import { tell } from "../../fakes/fake-enclave.ts";
import { launch, MAIN, models, type Node, startNode } from "./launch.ts";
import {
  memoryLog,
  NO_KEYS,
  onTestEnd,
  type Recorded,
  refusalOf,
  scratch,
  send,
  until,
} from "./support.ts";

const FAKE_ENCLAVE = fileURLToPath(new URL("../../fakes/fake-enclave.ts", import.meta.url));

function enclaveSocket(node: Node): string {
  return join(node.state, "run", "enclave.sock");
}

/** Processes whose command line names the state directory, by /proc. */
function processesOf(state: string): string[] {
  return readdirSync("/proc").filter((name) => {
    if (!/^\d+$/u.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, "utf8").includes(`${state}/run`);
    } catch {
      return false;
    }
  });
}

async function expectNothingLeft(node: Node): Promise<void> {
  await until("no process is left", () => processesOf(node.state).length === 0);
  expect(readdirSync(node.state)).toEqual([]);
  await expect(send(`${node.url}/livez`)).rejects.toThrow("ECONNREFUSED");
}

describe("a node's life", () => {
  it("boots, says where it listens, and leaves nothing after SIGINT", async () => {
    const node = await startNode();
    expect((await send(`${node.url}/readyz`)).status).toBe(200);
    expect(statSync(node.state).mode & 0o777).toBe(0o700);
    expect(statSync(join(node.state, "run")).mode & 0o777).toBe(0o700);
    const lock: unknown = JSON.parse(readFileSync(join(node.state, "node.json"), "utf8"));
    expect(lock).toMatchObject({ pid: node.child.pid, listen: node.url });
    expect(processesOf(node.state)).toHaveLength(1);
    node.child.kill("SIGINT");
    expect(await node.exit).toBe(0);
    await expectNothingLeft(node);
  });

  it("forwards the enclave's log by whitelist", async () => {
    const node = await startNode();
    const forwarded = node.events().filter(({ event }) => event === "enclave");
    expect(forwarded.map(({ what, phase, models: count }) => [what, phase, count])).toEqual([
      ["phase", "boot", undefined],
      ["phase", "configured", 1],
      ["phase", "serving", undefined],
    ]);
    expect(JSON.stringify(node.events())).not.toContain("secret");
    expect(JSON.stringify(node.events())).not.toContain("enclave-exchange");
    expect(node.events().map(({ event }) => event)).toContain("enclave-line-dropped");
  });

  it("lets an exchange finish after SIGTERM, and takes no other", async () => {
    const node = await startNode();
    await tell(enclaveSocket(node), "/test/temper", "slow");
    const headers = { "content-type": MEDIA_REQUEST };
    const pending = send(node.url + GATEWAY_PATH, { method: "POST", headers, body: "x" });
    await delay(300);
    node.child.kill("SIGTERM");
    await until("it is stopping", () => node.events().some(({ event }) => event === "stopping"));
    await expect(send(`${node.url}/livez`)).rejects.toThrow("ECONNREFUSED");
    const reply = await pending;
    expect([reply.status, reply.body.toString()]).toEqual([200, "slow"]);
    expect(await node.exit).toBe(0);
    await expectNothingLeft(node);
  });

  it("ends at once after a second signal, and leaves nothing either", async () => {
    const node = await startNode();
    await tell(enclaveSocket(node), "/test/temper", "hold");
    const headers = { "content-type": MEDIA_REQUEST };
    const pending = send(node.url + GATEWAY_PATH, { method: "POST", headers, body: "x" });
    const lost = pending.catch((error: unknown) => error);
    await delay(300);
    node.child.kill("SIGINT");
    await until("it is stopping", () => node.events().some(({ event }) => event === "stopping"));
    node.child.kill("SIGINT");
    expect(await node.exit).toBe(1);
    expect(await lost).toBeInstanceOf(Error);
    await expectNothingLeft(node);
  });

  it("ends an enclave that ignores SIGTERM", async () => {
    const node = await startNode([], { env: { FAKE_BOOT: "deaf" } });
    node.child.kill("SIGTERM");
    expect(await node.exit).toBe(0);
    await expectNothingLeft(node);
  });

  it("ends when the process that started it lets go", async () => {
    const node = await startNode([], { ipc: true });
    node.child.disconnect();
    expect(await node.exit).toBe(0);
    await expectNothingLeft(node);
  });

  it("takes its enclave along when it is killed", async () => {
    const node = await startNode();
    node.child.kill("SIGKILL");
    await node.exit;
    await until("the enclave is gone", () => processesOf(node.state).length === 0);
    expect(readdirSync(node.state).toSorted()).toEqual(["node.json", "run"]);
    openState(node.state, "the next node").close();
    expect(readdirSync(node.state)).toEqual([]);
  });

  it("stops while the enclave boots", async () => {
    const state = join(scratch(), "state");
    const argv = ["--models", await models(), "--state", state, "--listen", "127.0.0.1:0"];
    const running = launch(argv, { env: { FAKE_BOOT: "silent" } });
    await until("it boots", () => running.events().some(({ event }) => event === "enclave"));
    running.child.kill("SIGINT");
    expect(await running.exit).toBe(0);
    expect(running.stderr()).toBe("");
    expect(processesOf(state)).toEqual([]);
  });

  it("writes nothing with --log none, and a line a request with --log json", async () => {
    const state = join(scratch(), "state");
    const socket = join(scratch(), "node.sock");
    const argv = ["--models", await models(), "--state", state, "--listen", socket];
    const silent = launch([...argv, "--log", "none"]);
    await until("it is bound", () => existsSync(socket));
    silent.child.kill("SIGTERM");
    expect(await silent.exit).toBe(0);
    expect(silent.events()).toEqual([]);
    expect(existsSync(socket)).toBe(false);
    const node = await startNode(["--log", "json"]);
    await send(`${node.url}/livez`);
    const request = (): unknown => node.events().find(({ event }) => event === "request");
    await until("the request is logged", () => request() !== undefined);
    expect(request()).toMatchObject({ route: "other", outcome: "completed", status: 200 });
    const exchange = node.events().find(({ event }) => event === "enclave-exchange");
    expect(exchange).toMatchObject({
      what: "aborted",
      index: 7,
      sequence: 1,
      code: "exchange/aborted",
      receipt: "0oRDoQEm+/=",
    });
  });
});

describe("a node that cannot start", () => {
  const oneLine = /^countersign: [^\n]+\n$/u;

  it.each([
    ["refuse", /ended with status 3: manifest\/digest/u],
    ["crash", /ended with status 1: [^]*crashed at start/u],
  ])("ends with 1 when the enclave's first start fails (%s)", async (boot, message) => {
    const state = join(scratch(), "state");
    const argv = ["--models", await models(), "--state", state, "--listen", "127.0.0.1:0"];
    const running = launch(argv, { env: { FAKE_BOOT: boot } });
    expect(await running.exit).toBe(1);
    expect(running.stderr()).toMatch(/^countersign: enclave\/boot/u);
    expect(running.stderr()).toMatch(message);
    expect(readdirSync(state)).toEqual([]);
  });

  it("names the port that is taken", async () => {
    const other: Server = createServer();
    await new Promise<void>((resolve) => {
      other.listen(0, "127.0.0.1", resolve);
    });
    onTestEnd(() => {
      other.close();
    });
    const address = other.address();
    const port = typeof address === "object" ? address?.port : 0;
    const state = join(scratch(), "state");
    const argv = ["--models", await models(), "--state", state, "--listen", `127.0.0.1:${port}`];
    const running = launch(argv);
    expect(await running.exit).toBe(1);
    expect(running.stderr()).toMatch(oneLine);
    expect(running.stderr()).toContain(`listen/taken: http://127.0.0.1:${port}`);
    expect(readdirSync(state)).toEqual([]);
  });

  it("names the node that has the state directory", async () => {
    const node = await startNode();
    const argv = ["--models", await models(), "--state", node.state, "--listen", "127.0.0.1:0"];
    const second = launch(argv);
    expect(await second.exit).toBe(1);
    expect(second.stderr()).toMatch(oneLine);
    expect(second.stderr()).toContain(`process ${node.child.pid} already runs a node`);
    expect(second.stderr()).toContain(node.url);
    expect((await send(`${node.url}/readyz`)).status).toBe(200);
  });

  it("gives a terminal nothing to act on, whatever the names of files", async () => {
    const state = join(scratch(), "state");
    const named = launch(["--models", "a\u001b[2Jb\rc", "--state", state], { program: MAIN });
    expect(await named.exit).toBe(1);
    expect(named.stderr()).toMatch(oneLine);
    expect(named.stderr()).toContain("a\u{fffd}[2Jb\u{fffd}c is not a directory");
  });

  it("refuses its arguments with status 2, and its models with 1", async () => {
    const tee = launch(["--tee", "intel-tdx"], { program: MAIN });
    expect(await tee.exit).toBe(2);
    expect(tee.stderr()).toMatch(oneLine);
    expect(tee.stderr()).toContain("want simulated or nitro");
    const state = join(scratch(), "state");
    const lost = launch(["--models", join(state, "none"), "--state", state], { program: MAIN });
    expect(await lost.exit).toBe(1);
    expect(lost.stderr()).toMatch(oneLine);
    expect(lost.stderr()).toContain("models/missing");
    expect(readdirSync(state)).toEqual([]);
  });
});

describe("the state directory", () => {
  const record = { listen: "http://127.0.0.1:1", run: "" };

  it.each([
    ["a process that is gone", { ...record, pid: 2 ** 22 + 1, startTicks: "1" }],
    ["a process id that came to be another's", { ...record, pid: process.ppid, startTicks: "1" }],
    ["this very process id", { ...record, pid: process.pid, startTicks: null }],
  ])("is taken over from %s", (_, stale) => {
    const directory = scratch();
    mkdirSync(join(directory, "run"));
    writeFileSync(join(directory, "run", "enclave.sock"), "left behind");
    writeFileSync(join(directory, "node.json"), JSON.stringify(stale));
    const state = openState(directory, "here");
    expect(state.lock.takenOver).toEqual(stale);
    expect(readdirSync(join(directory, "run"))).toEqual([]);
    state.close();
    state.close();
    expect(readdirSync(directory)).toEqual([]);
  });

  it.each(["", "{", "null", "[]", '{"pid":"1"}', '{"pid":0,"listen":"x","startTicks":null}'])(
    "is taken over from a lock file that says %j",
    (text) => {
      const directory = scratch();
      writeFileSync(join(directory, "node.json"), text);
      openState(directory, "here").close();
      expect(readdirSync(directory)).toEqual([]);
    },
  );

  it("is refused while its process lives", async () => {
    const directory = scratch();
    const alive = JSON.stringify({ ...record, pid: process.ppid, startTicks: null });
    writeFileSync(join(directory, "node.json"), alive);
    const refusal = await refusalOf(() => openState(directory, "here"));
    expect(refusal.code).toBe("state/locked");
    expect(refusal.message).toContain(`process ${process.ppid}`);
    expect(readFileSync(join(directory, "node.json"), "utf8")).toBe(alive);
  });

  it("has its sockets elsewhere when its path is long, and removes them", () => {
    const directory = join(scratch(), "d".repeat(120));
    const state = openState(directory, "here");
    expect(state.enclaveSocket.length).toBeLessThan(104);
    expect(statSync(join(state.enclaveSocket, "..")).mode & 0o777).toBe(0o700);
    state.close();
    expect(existsSync(join(state.enclaveSocket, ".."))).toBe(false);
  });

  it("is refused where no path is short enough for its sockets", async () => {
    const [root, own] = [scratch(), process.env["TMPDIR"]];
    const temporary = join(root, "t".repeat(100));
    mkdirSync(temporary);
    onTestEnd(() => {
      if (own === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = own;
    });
    process.env["TMPDIR"] = temporary;
    const directory = join(root, "d".repeat(120));
    const refusal = await refusalOf(() => openState(directory, "here"));
    expect(refusal.code).toBe("socket/path");
    expect(refusal.message).toContain("use a shorter --state, or a shorter TMPDIR");
    expect([readdirSync(directory), readdirSync(temporary)]).toEqual([[], []]);
  });

  it("loses nothing but what the node made", () => {
    const directory = scratch();
    chmodSync(directory, 0o755);
    mkdirSync(join(directory, "run"));
    writeFileSync(join(directory, "run", "mine"), "kept");
    openState(directory, "here").close();
    expect(readFileSync(join(directory, "run", "mine"), "utf8")).toBe("kept");
    expect(statSync(directory).mode & 0o777).toBe(0o755);
  });

  it("is refused where a file has its name", async () => {
    const directory = scratch();
    writeFileSync(join(directory, "file"), "");
    const state = join(directory, "state");
    mkdirSync(state);
    writeFileSync(join(state, "run"), "");
    expect((await refusalOf(() => openState(state, "x"))).code).toBe("state/unusable");
    expect(readdirSync(state)).toEqual(["run"]);
    expect((await refusalOf(() => openState(join(directory, "file"), "x"))).code).toBe(
      "state/unusable",
    );
  });
});

const FAST: SupervisorTiming = {
  ...DEFAULT_TIMING,
  statusIntervalMs: 50,
  statusTimeoutMs: 200,
  backoffFirstMs: 20,
  backoffMaxMs: 80,
  stopMs: 500,
};

interface Supervised {
  readonly supervisor: Supervisor;
  readonly socketPath: string;
  readonly lines: Recorded[];
  readonly events: () => string[];
}

async function supervise(boot: string, timing: SupervisorTiming = FAST): Promise<Supervised> {
  const directory = scratch();
  const socketPath = join(directory, "e.sock");
  const provision = join(directory, "p.sock");
  const store = await scanModels(await models());
  const choice = {
    epochSeconds: 60,
    maxBodyBytes: 4096,
    cacheBytes: 1 << 24,
    maxSequences: 4,
    cpus: 1,
  };
  const { log, lines } = memoryLog();
  const services = { kind: "unix", path: provision } as const;
  const contact = new EnclaveContact(log);
  const server = await serveProvisioning(services, store.models, choice, contact, NO_KEYS);
  onTestEnd(() => server.close());
  const args = [FAKE_ENCLAVE, "--listen", socketPath, "--provision", provision, "--boot", boot];
  const supervisor = new Supervisor(
    { kind: "process", file: process.execPath, args, address: { kind: "unix", path: socketPath } },
    timing,
    log,
  );
  onTestEnd(() => supervisor.stop());
  const events = (): string[] =>
    lines.map(({ event }) => event).filter((event) => event.startsWith("enclave-"));
  return { supervisor, socketPath, lines, events };
}

describe("supervisor", () => {
  it("starts a crashed enclave again, and knows when it serves", async () => {
    const { supervisor, socketPath, lines, events } = await supervise("good");
    expect(supervisor.serving).toBe(false);
    await supervisor.start();
    expect([supervisor.serving, supervisor.generation, supervisor.restarts]).toEqual([true, 1, 0]);
    expect(supervisor.status?.epoch?.sequence).toBe(1);
    await tell(socketPath, "/test/crash");
    await until("it is seen", () => !supervisor.serving);
    expect(supervisor.status).toBe(null);
    await until("it serves again", () => supervisor.serving);
    expect([supervisor.generation, supervisor.restarts]).toEqual([2, 1]);
    expect(lines.find(({ event }) => event === "enclave-exited")?.fields).toMatchObject({
      code: 7,
      signal: null,
    });
    await until("it says so", () => events().includes("enclave-restarted"));
    const supervision = ["enclave-exited", "enclave-restarting", "enclave-restarted"];
    expect(events().filter((event) => supervision.includes(event))).toEqual(supervision);
  });

  it("waits longer after each failure, up to a bound", async () => {
    const { supervisor, socketPath, lines } = await supervise("good");
    await supervisor.start();
    for (let i = 1; i <= 4; i++) {
      await tell(socketPath, "/test/crash");
      await until("it serves again", () => supervisor.serving && supervisor.generation === i + 1);
    }
    const pauses = lines
      .filter(({ event }) => event === "enclave-restarting")
      .map(({ fields }) => fields["afterMs"]);
    expect(pauses).toEqual([20, 40, 80, 80]);
  });

  it("ends an enclave that no longer answers, and starts another", async () => {
    const { supervisor, socketPath, events } = await supervise("good");
    await supervisor.start();
    await tell(socketPath, "/test/temper", "hang");
    await until("another one serves", () => supervisor.generation === 2);
    expect(events()).toContain("enclave-hung");
  });

  it("fails when the first start does", async () => {
    const { supervisor } = await supervise("refuse");
    const refusal = await refusalOf(() => supervisor.start());
    expect(refusal.code).toBe("enclave/boot");
    expect(refusal.message).toContain("manifest/digest");
    expect(supervisor.restarts).toBe(0);
  });

  it("fails when the first start takes too long", async () => {
    const { supervisor } = await supervise("silent", { ...FAST, bootTimeoutMs: 1000 });
    expect((await refusalOf(() => supervisor.start())).code).toBe("enclave/timeout");
  });

  it("fails when there is no such program", async () => {
    const { log } = memoryLog();
    const address = { kind: "unix", path: join(scratch(), "e.sock") } as const;
    const command = { kind: "process", file: "/nonexistent", args: [], address } as const;
    const refusal = await refusalOf(() => new Supervisor(command, FAST, log).start());
    expect(refusal.code).toBe("enclave/boot");
    expect(refusal.message).toContain("ENOENT");
  });

  it("starts nothing after a stop", async () => {
    const { supervisor, socketPath, lines } = await supervise("good");
    await supervisor.start();
    await tell(socketPath, "/test/crash");
    await until("it is seen", () => !supervisor.serving);
    await supervisor.stop();
    const before = lines.length;
    await delay(200);
    expect(lines.length).toBe(before);
    expect(supervisor.serving).toBe(false);
  });

  it("refuses a start after a stop", async () => {
    const { supervisor } = await supervise("good");
    await supervisor.stop();
    expect((await refusalOf(() => supervisor.start())).code).toBe("enclave/stopped");
  });
});

describe("the host's end of the provisioning socket", () => {
  it("is refused at a path that no socket can have, and by name", async () => {
    const store = await scanModels(await models());
    const choice = {
      epochSeconds: 60,
      maxBodyBytes: 4096,
      cacheBytes: 1 << 24,
      maxSequences: 4,
      cpus: 1,
    };
    const taken = join(scratch(), "p.sock");
    writeFileSync(taken, "");
    for (const path of [join(scratch(), "p".repeat(120)), taken]) {
      const refusal = await refusalOf(() =>
        serveProvisioning(
          { kind: "unix", path },
          store.models,
          choice,
          new EnclaveContact(memoryLog().log),
          NO_KEYS,
        ),
      );
      expect(refusal.code).toBe("socket/path");
      expect(refusal.message).toContain(`cannot listen at ${path}: E`);
    }
  });
});

describe("an enclave that does not take a connection", () => {
  it("is unreachable, whether nobody listens, or it hangs up", async () => {
    const path = join(scratch(), "e.sock");
    expect((await refusalOf(() => askStatus({ kind: "unix", path }, 1000))).code).toBe(
      "enclave/unreachable",
    );
    const rude = createTcpServer((socket) => socket.destroy()).listen(path);
    onTestEnd(() => {
      rude.close();
    });
    await once(rude, "listening");
    const refusal = await refusalOf(() => askStatus({ kind: "unix", path }, 1000));
    expect(refusal.code).toBe("enclave/unreachable");
    expect(refusal.message).toMatch(/GET \/status: (?:ECONNRESET|EPIPE)$/u);
  });
});

describe("the enclave's status", () => {
  it("is read as far as it goes", () => {
    expect(parseStatus('{"phase":"boot","epoch":null,"more":1}')).toEqual({
      phase: "boot",
      epoch: null,
      queue: null,
    });
    expect(parseStatus('{"phase":"x","queue":{"depth":-1,"limit":2}}').queue).toBe(null);
  });

  it.each(["", "[]", "null", '"x"', '{"phase":1}'])("is refused as %j", async (text) => {
    expect((await refusalOf(() => parseStatus(text))).code).toBe("enclave/answer");
  });
});
