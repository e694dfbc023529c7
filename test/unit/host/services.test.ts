import {
  type ClientRequest,
  createServer as createHttpServer,
  type IncomingMessage,
  request,
} from "node:http";
import { renameSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { EnclaveContact } from "../../../host/contact.ts";
import type { ServicesAddress } from "../../../host/enclave-address.ts";
import { type ProvisionServer, serveProvisioning } from "../../../host/provision.ts";
import { bindServices } from "../../../host/services.ts";
import { readProvision } from "../../fakes/fake-enclave.ts";
import {
  CHOICE,
  memoryLog,
  NO_KEYS,
  oneModel,
  onTestEnd,
  type Recorded,
  refusalOf,
  scratch,
  until,
} from "./support.ts";

interface Services {
  readonly path: string;
  readonly contact: EnclaveContact;
  readonly lines: Recorded[];
}

async function start(): Promise<Services> {
  const path = join(scratch(), "s.sock");
  const { log, lines } = memoryLog();
  const contact = new EnclaveContact(log);
  const server = await serveProvisioning(
    { kind: "unix", path },
    await oneModel(),
    CHOICE,
    contact,
    NO_KEYS,
  );
  onTestEnd(() => server.close());
  return { path, contact, lines };
}

interface OpenLog {
  readonly sent: ClientRequest;
  readonly answer: Promise<IncomingMessage | Error>;
}

function openLog(path: string): OpenLog {
  const sent = request({ socketPath: path, method: "POST", path: "/log", agent: false });
  const answer = new Promise<IncomingMessage | Error>((resolve) => {
    sent.on("response", (incoming) => {
      incoming.resume();
      resolve(incoming);
    });
    sent.on("error", resolve);
  });
  sent.flushHeaders();
  return { sent, answer };
}

function phases(lines: readonly Recorded[]): unknown[] {
  return lines.map(({ fields }) => fields["phase"]);
}

const line = (phase: string): string => `${JSON.stringify({ event: "phase", phase })}\n`;

describe("the log that an enclave sends", () => {
  it("is read as it comes, and answered at its end", async () => {
    const { path, lines } = await start();
    const { sent, answer } = openLog(path);
    sent.write(line("boot"));
    await until("it is read", () => lines.length === 1);
    sent.write(line("configured").slice(0, 10));
    await delay(20);
    expect(phases(lines)).toEqual(["boot"]);
    sent.end(line("configured").slice(10));
    const answered = await answer;
    if (answered instanceof Error) throw answered;
    expect(answered.statusCode).toBe(204);
    expect(phases(lines)).toEqual(["boot", "configured"]);
  });

  it("goes to whoever listens, and so does the fetching of the configuration", async () => {
    const { path, contact } = await start();
    const told: unknown[] = [];
    const stop = contact.listen({
      provisioned: () => told.push("provisioned"),
      line: (read) => told.push(read.get("phase")),
    });
    const { sent } = openLog(path);
    sent.write(line("boot"));
    await until("it is told", () => told.length === 1);
    expect((await readProvision(path, "/provisioning")).status).toBe(200);
    expect(told).toEqual(["boot", "provisioned"]);
    stop();
    sent.end(line("serving"));
    await readProvision(path, "/provisioning");
    expect(told).toHaveLength(2);
    sent.destroy();
  });

  it("is the latest one's alone", async () => {
    const { path, lines } = await start();
    const first = openLog(path);
    first.sent.write(line("one"));
    await until("it is read", () => lines.length === 1);
    const second = openLog(path);
    second.sent.write(line("two"));
    expect(await first.answer).toBeInstanceOf(Error);
    await until("it is read", () => lines.length === 2);
    second.sent.end(line("three"));
    await second.answer;
    expect(phases(lines)).toEqual(["one", "two", "three"]);
  });

  it("may break off, and begin anew", async () => {
    const { path, contact, lines } = await start();
    const first = openLog(path);
    first.sent.write(line("one"));
    await until("it is read", () => lines.length === 1);
    first.sent.write('{"event":"phase","phase":"cut');
    first.sent.destroy();
    await contact.drained(5000);
    const second = openLog(path);
    second.sent.end(line("two"));
    await second.answer;
    expect(phases(lines)).toEqual(["one", "two"]);
  });

  it("is waited for until its end, or for a while", async () => {
    const { path, contact, lines } = await start();
    await contact.drained(5000);
    const { sent } = openLog(path);
    sent.write(line("one"));
    await until("it is read", () => lines.length === 1);
    await contact.drained(50);
    setTimeout(() => sent.end(line("last")), 50);
    await contact.drained(5000);
    expect(phases(lines)).toEqual(["one", "last"]);
  });

  it("is broken off for an enclave that is about to start", async () => {
    const { path, contact, lines } = await start();
    const { sent, answer } = openLog(path);
    sent.write(line("one"));
    await until("it is read", () => lines.length === 1);
    contact.forget();
    sent.write(line("late"));
    expect(await answer).toBeInstanceOf(Error);
    expect(phases(lines)).toEqual(["one"]);
  });
});

async function bindTwice(address: ServicesAddress): Promise<string> {
  const contact = new EnclaveContact(memoryLog().log);
  const bound: ProvisionServer[] = [];
  onTestEnd(async () => {
    for (const server of bound) await server.close();
  });
  const refusal = await refusalOf(async () => {
    for (let i = 0; i < 2; i++) {
      bound.push(await serveProvisioning(address, await oneModel(), CHOICE, contact, NO_KEYS));
    }
  });
  return `${refusal.code} ${refusal.message}`;
}

describe("where the host listens for its enclave", () => {
  it("is a socket of its own user, taken over from a node that died", async () => {
    const path = join(scratch(), "s.sock");
    const dead = createServer();
    await new Promise<void>((resolve) => {
      dead.listen(path, resolve);
    });
    // Closing removes the file; a copy of it stays, as after a kill.
    renameSync(path, `${path}.kept`);
    await new Promise((resolve) => dead.close(resolve));
    renameSync(`${path}.kept`, path);
    const contact = new EnclaveContact(memoryLog().log);
    const server = await serveProvisioning(
      { kind: "unix", path },
      await oneModel(),
      CHOICE,
      contact,
      NO_KEYS,
    );
    onTestEnd(() => server.close());
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect((await readProvision(path, "/provisioning")).status).toBe(200);
  });

  it("is nobody else's from the moment that it is there, whatever the umask", async () => {
    const path = join(scratch(), "s.sock");
    const server = createHttpServer();
    let mode = 0;
    server.once("listening", () => (mode = statSync(path).mode & 0o777));
    const before = process.umask(0);
    onTestEnd(() => void process.umask(before));
    const bound = await bindServices(server, { kind: "unix", path });
    onTestEnd(() => bound.close());
    expect([mode, process.umask()]).toEqual([0o600, 0]);
  });

  it("is not another node's, and no file", async () => {
    const path = join(scratch(), "s.sock");
    expect(await bindTwice({ kind: "unix", path })).toMatch(/^socket\/path .*EADDRINUSE/u);
    const file = join(scratch(), "file");
    writeFileSync(file, "kept");
    expect(await bindTwice({ kind: "unix", path: file })).toMatch(/^socket\/path .*EADDRINUSE/u);
  });

  it("is in a directory that is there", async () => {
    const refusal = await bindTwice({ kind: "unix", path: join(scratch(), "none", "s.sock") });
    expect(refusal).toMatch(/^socket\/path .*EACCES: name a file in a directory that is there/u);
  });

  it("is a vsock port that one node has, on a machine that has vsock", async () => {
    const port = 0x4000_0000 + process.pid;
    const refusal = await bindTwice({ kind: "vsock", port, cid: 16 });
    expect(refusal.split(" ", 1)).toEqual(["services/vsock"]);
    expect(refusal).toMatch(
      / .*(?:vsock\/address-in-use\): another node|vsock\/unavailable\): load)/u,
    );
  });
});
