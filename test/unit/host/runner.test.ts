/** Enclaves that a program of the operator's runs. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { EnclaveContact } from "../../../host/contact.ts";
import { enclaveCommand } from "../../../host/enclave-command.ts";
import { startEnclave } from "../../../host/enclave-process.ts";
import { serveProvisioning } from "../../../host/provision.ts";
import { DEFAULT_TIMING, Supervisor, type SupervisorTiming } from "../../../host/supervisor.ts";
import { readProvision, tell } from "../../fakes/fake-enclave.ts";
import type { RunnerPlan, RunnerTemper } from "../../fakes/fake-runner.ts";
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

const FAKE_RUNNER = fileURLToPath(new URL("../../fakes/fake-runner.ts", import.meta.url));

const FAST: SupervisorTiming = {
  ...DEFAULT_TIMING,
  statusIntervalMs: 50,
  statusTimeoutMs: 500,
  backoffFirstMs: 20,
  backoffMaxMs: 80,
  stopMs: 1000,
};

interface Supervised {
  readonly supervisor: Supervisor;
  readonly plan: RunnerPlan;
  readonly lines: Recorded[];
  readonly events: () => string[];
  readonly command: ReturnType<typeof enclaveCommand>;
  readonly contact: EnclaveContact;
}

async function supervise(
  temper: RunnerTemper,
  timing: SupervisorTiming = FAST,
): Promise<Supervised> {
  const directory = scratch();
  const at = (name: string): string => join(directory, name);
  const [monitor, inner, services] = [at("vm"), at("e"), at("vm_7000")];
  const plan = { monitor, inner, services, temper, pids: at("pids"), words: at("words") };
  writeFileSync(at("image"), JSON.stringify(plan));
  const { log, lines } = memoryLog();
  const contact = new EnclaveContact(log);
  const address = { kind: "unix", path: services } as const;
  const server = await serveProvisioning(address, await oneModel(), CHOICE, contact, NO_KEYS);
  onTestEnd(() => server.close());
  const command = enclaveCommand({
    tee: {
      kind: "nitro",
      enclave: { kind: "vsock-uds", path: monitor, port: 5000 },
      services: address,
      cpus: 2,
      memoryMib: 64,
      cid: 16,
      run: { kind: "runner", image: at("image"), program: FAKE_RUNNER },
    },
    enclaveSocket: "",
    provisionSocket: "",
    vendorKey: "",
    keyServices: null,
    contact,
  });
  const supervisor = new Supervisor(command, timing, log);
  onTestEnd(() => supervisor.stop());
  const events = (): string[] => lines.map(({ event }) => event);
  return { supervisor, plan, lines, events, command, contact };
}

/** The runner's processes that still run. */
function living({ pids }: RunnerPlan): number[] {
  if (!existsSync(pids)) return [];
  return readFileSync(pids, "utf8").split("\n").map(Number).filter(isRunning);
}

/** Not one that has ended and waits for its parent to ask: proc_pid_stat(5). */
function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !== "Z";
  } catch {
    return false;
  }
}

describe("an enclave that a runner runs", () => {
  it("is known to serve by its own word, and is started again when it ends", async () => {
    const { supervisor, plan, lines, events } = await supervise("good");
    await supervisor.start();
    expect([supervisor.serving, supervisor.status?.phase]).toEqual([true, "serving"]);
    const words = ["--cpus", "2", "--memory", "64", "--cid", "16"];
    expect(JSON.parse(readFileSync(plan.words, "utf8"))).toEqual(
      expect.arrayContaining(["--image", ...words]),
    );
    const told = lines.filter(({ event }) => event === "enclave").map(({ fields }) => fields);
    expect(told.map(({ phase }) => phase)).toEqual(["boot", "serving"]);
    expect(JSON.stringify(lines)).not.toContain("secret");
    expect(lines).toContainEqual({ event: "runner", fields: { what: "launched", cid: 16 } });
    await tell(plan.inner, "/test/crash");
    await until("it is seen", () => !supervisor.serving);
    await until("another one serves", () => supervisor.serving);
    expect(supervisor.generation).toBe(2);
    expect(lines.find(({ event }) => event === "enclave-exited")?.fields).toMatchObject({
      code: 7,
      signal: null,
      reason: null,
    });
    expect(events()).toContain("enclave-restarted");
    await supervisor.stop();
    expect(lines.at(-1)?.fields).toMatchObject({ code: 0, reason: "SIGTERM" });
    expect(living(plan)).toEqual([]);
  });

  it("is another one once its machine was reset below its runner", async () => {
    const { supervisor, plan, events } = await supervise("good");
    await supervisor.start();
    // What boots asks for its models.
    await readProvision(plan.services, "/provisioning");
    await until("it is seen", () => !supervisor.serving);
    await until("another one serves", () => supervisor.serving);
    expect(supervisor.generation).toBe(2);
    expect(events().filter((event) => event.startsWith("enclave-"))).toEqual([
      "enclave-reset",
      "enclave-exited",
      "enclave-restarting",
      "enclave-restarted",
    ]);
  });

  it("is known to serve by its answer where its log does not come", async () => {
    const { supervisor, lines } = await supervise("quiet");
    await supervisor.start();
    expect(supervisor.serving).toBe(true);
    expect(lines.filter(({ event }) => event === "enclave")).toEqual([]);
  });

  it("is not what another host's leftover says of itself", async () => {
    const { supervisor, plan } = await supervise("stray", { ...FAST, bootTimeoutMs: 1500 });
    const refusal = await refusalOf(() => supervisor.start());
    expect(refusal.code).toBe("enclave/timeout");
    expect(living(plan)).toEqual([]);
  });

  it("says why it closed, and which model it refused", async () => {
    const { supervisor } = await supervise("refuse");
    const refusal = await refusalOf(() => supervisor.start());
    expect(refusal.code).toBe("enclave/boot");
    expect(refusal.message).toContain(
      "the enclave ended with status 1: model/hash (digits/1). The model's files are not",
    );
  });

  it("says how much memory it wants", async () => {
    const { supervisor, lines } = await supervise("poor");
    const refusal = await refusalOf(() => supervisor.start());
    expect(refusal.message).toContain(
      "ended with status 1: boot/memory. The models need 811 MiB, and the enclave has 382: give it",
    );
    const fields = { what: "memory", needBytes: 850_000_000, haveBytes: 400_000_000 };
    expect(lines).toContainEqual({ event: "enclave", fields });
  });

  it("is reported with its runner's last words where there is none", async () => {
    const { supervisor } = await supervise("fail");
    const refusal = await refusalOf(() => supervisor.start());
    expect(refusal.code).toBe("enclave/boot");
    expect(refusal.message).toContain("ended with status 1: first line\n[ E27 ] Insufficient");
  });

  it("leaves nothing behind when its runner does", async () => {
    const { supervisor, plan } = await supervise("orphan");
    expect((await refusalOf(() => supervisor.start())).code).toBe("enclave/boot");
    expect(readFileSync(plan.pids, "utf8").split("\n")).toHaveLength(2);
    await until("nothing is left", () => living(plan).length === 0);
  });

  it("is given up when it does not serve in time", async () => {
    const { supervisor, plan } = await supervise("silent", { ...FAST, bootTimeoutMs: 1000 });
    expect((await refusalOf(() => supervisor.start())).code).toBe("enclave/timeout");
    expect(living(plan)).toEqual([]);
  });

  it("ends with its whole group when its runner heeds no signal", async () => {
    const { supervisor, plan } = await supervise("deaf");
    await supervisor.start();
    expect(living(plan)).toHaveLength(2);
    await supervisor.stop();
    await until("nothing is left", () => living(plan).length === 0);
  });

  it("ends when its host does, which a runner sees by its standard input", async () => {
    const { plan, command, lines } = await supervise("good");
    const started = startEnclave(command, memoryLog().log);
    expect(await started.served).toBe(true);
    started.kill();
    // Told by signal and by the closed input: whichever it heeds first.
    const exit = await started.exited;
    expect([exit.code, exit.signal]).toEqual([0, null]);
    expect(exit.reason).toMatch(/^(?:SIGTERM|host-gone)$/u);
    expect(living(plan)).toEqual([]);
    expect(lines.at(-1)?.fields["what"]).toBe("closed");
  });
});
