/** Enclaves that somebody else runs. */
import { request } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { EnclaveContact } from "../../../host/contact.ts";
import { serveProvisioning } from "../../../host/provision.ts";
import { DEFAULT_TIMING, Supervisor } from "../../../host/supervisor.ts";
import { readProvision, startFakeEnclave } from "../../fakes/fake-enclave.ts";
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

interface Attached {
  readonly supervisor: Supervisor;
  readonly inner: string;
  readonly services: string;
  readonly lines: Recorded[];
  readonly ends: () => unknown[];
}

async function attach(): Promise<Attached> {
  const directory = scratch();
  const inner = join(directory, "e");
  const services = join(directory, "s");
  const { log, lines } = memoryLog();
  const contact = new EnclaveContact(log);
  const at = { kind: "unix", path: services } as const;
  const server = await serveProvisioning(at, await oneModel(), CHOICE, contact, NO_KEYS);
  onTestEnd(() => server.close());
  const supervisor = new Supervisor(
    { kind: "attached", address: { kind: "unix", path: inner }, contact },
    {
      ...DEFAULT_TIMING,
      bootTimeoutMs: 100,
      statusIntervalMs: 30,
      statusTimeoutMs: 200,
      backoffFirstMs: 20,
      backoffMaxMs: 60_000,
    },
    log,
  );
  onTestEnd(() => supervisor.stop());
  const ends = (): unknown[] =>
    lines.filter(({ event }) => event === "enclave-exited").map(({ fields }) => fields["reason"]);
  return { supervisor, inner, services, lines, ends };
}

/** Says one thing as an enclave does, and leaves. */
function say(services: string, ...lines: readonly object[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const path = { socketPath: services, method: "POST", path: "/log", agent: false } as const;
    const sent = request(path, (answer) => {
      answer.resume().on("end", resolve);
    });
    sent.on("error", reject);
    sent.end(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  });
}

describe("an enclave that somebody else runs", () => {
  it("is waited for, for longer than one of our own", async () => {
    const { supervisor, inner, lines } = await attach();
    const started = supervisor.start();
    await delay(400);
    expect(supervisor.serving).toBe(false);
    const enclave = await startFakeEnclave(inner);
    onTestEnd(() => enclave.close());
    await started;
    expect([supervisor.serving, supervisor.generation, supervisor.restarts]).toEqual([true, 1, 0]);
    expect(lines.map(({ event }) => event)).toEqual(["enclave-awaited"]);
  });

  it("may have served before we came, and goes on when we go", async () => {
    const { supervisor, inner } = await attach();
    const enclave = await startFakeEnclave(inner);
    onTestEnd(() => enclave.close());
    await supervisor.start();
    await supervisor.stop();
    expect(supervisor.serving).toBe(false);
    const again = await attach();
    expect(again.supervisor.serving).toBe(false);
    expect(enclave.statistics.connections).toBeGreaterThan(0);
  });

  it("is reported when it no longer answers, and the next one is waited for", async () => {
    const { supervisor, inner, ends } = await attach();
    const enclave = await startFakeEnclave(inner);
    await supervisor.start();
    await enclave.close();
    await until("it is seen", () => !supervisor.serving);
    await until("it is said", () => ends().length === 1);
    // Longer than any pause of ours, which do not grow here.
    await delay(300);
    const next = await startFakeEnclave(inner);
    onTestEnd(() => next.close());
    await until("the next one serves", () => supervisor.serving);
    expect(supervisor.generation).toBe(2);
  });

  it("is reported with its own reason when it closes", async () => {
    const { supervisor, inner, services, ends, lines } = await attach();
    const enclave = await startFakeEnclave(inner);
    onTestEnd(() => enclave.close());
    await supervisor.start();
    await say(services, { event: "closed", code: "clock/jumped" });
    await until("it is said", () => ends().length === 1);
    expect(ends()).toEqual(["clock/jumped"]);
    expect(lines).toContainEqual({
      event: "enclave",
      fields: { what: "closed", code: "clock/jumped" },
    });
  });

  it("has ended when another one fetches its configuration", async () => {
    const { supervisor, inner, services } = await attach();
    const enclave = await startFakeEnclave(inner);
    onTestEnd(() => enclave.close());
    await supervisor.start();
    await readProvision(services, "/provisioning");
    await until("the next one serves", () => supervisor.generation === 2);
    expect(supervisor.serving).toBe(true);
  });

  it("may refuse its models as often as it likes: its keeper will start it again", async () => {
    const { supervisor, inner, services, lines } = await attach();
    const started = supervisor.start();
    const refused = { event: "model-refused", id: "digits", version: "1", code: "model/hash" };
    for (let i = 0; i < 3; i++) {
      await say(services, refused, { event: "closed", code: "model/hash" });
      await until(
        "it is said",
        () => lines.filter(({ event }) => event === "enclave-exited").length === i + 1,
      );
      await until(
        "the next one is awaited",
        () => lines.filter(({ event }) => event === "enclave-awaited").length === i + 2,
      );
    }
    const exited = lines.find(({ event }) => event === "enclave-exited");
    expect(exited?.fields).toMatchObject({ reason: "model/hash", model: "digits/1" });
    const enclave = await startFakeEnclave(inner);
    onTestEnd(() => enclave.close());
    await started;
    expect(supervisor.serving).toBe(true);
  });

  it("is waited for no more after a stop", async () => {
    const { supervisor, lines } = await attach();
    const started = refusalOf(() => supervisor.start());
    await delay(50);
    supervisor.kill();
    expect((await started).code).toBe("enclave/stopped");
    const before = lines.length;
    await delay(200);
    expect(lines.length).toBe(before);
  });
});
