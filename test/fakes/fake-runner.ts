/**
 * A program for `--runner`: a fake enclave behind a fake machine monitor's socket, in one process.
 *
 * The file that `--image` names says in JSON where its sockets are and how it behaves.
 */
import { spawn } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { type ClientRequest, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { readProvision, startFakeEnclave } from "./fake-enclave.ts";
import { startHybridVsock } from "./hybrid-vsock.ts";

/**
 * `good` tells its log and serves; `quiet` serves and tells nothing; `refuse` tells why it closes; `fail`
 * starts no enclave; `silent` never serves; `deaf` heeds no signal and has a child; `stray` serves but
 * asks for no models, as one that another host started; `orphan` ends and leaves a child; `poor` has
 * too little memory.
 */
export type RunnerTemper =
  "good" | "quiet" | "refuse" | "fail" | "silent" | "deaf" | "stray" | "orphan" | "poor";

export interface RunnerPlan {
  /** The monitor's socket; the enclave is port 5000 behind it. */
  readonly monitor: string;
  /** The enclave's own socket. */
  readonly inner: string;
  readonly services: string;
  readonly temper: RunnerTemper;
  /** The process ids of the runner and of its child are written here, a line each. */
  readonly pids: string;
  /** The arguments as they came, in JSON. */
  readonly words: string;
}

function isPlan(value: unknown): value is RunnerPlan {
  return typeof value === "object" && value !== null && "monitor" in value && "temper" in value;
}

function openLog(services: string): ClientRequest {
  const outgoing = request({ socketPath: services, method: "POST", path: "/log", agent: false });
  outgoing.on("error", () => undefined);
  outgoing.flushHeaders();
  return outgoing;
}

async function end(log: ClientRequest, code: string, status: number): Promise<never> {
  const answered = new Promise((resolve) => {
    log.on("response", resolve).on("close", resolve);
  });
  log.end(`${JSON.stringify({ event: "closed", code })}\n`);
  await Promise.race([answered, delay(1000)]);
  process.exit(status);
}

async function serve(plan: RunnerPlan, log: ClientRequest): Promise<void> {
  const { temper } = plan;
  const say = (line: object): void => {
    if (temper !== "quiet") log.write(`${JSON.stringify(line)}\n`);
  };
  say({ event: "phase", phase: "boot", secret: "not for the host's log" });
  if (temper !== "stray") await readProvision(plan.services, "/provisioning");
  if (temper === "refuse") {
    say({ event: "model-refused", id: "digits", version: "1", code: "model/hash" });
    await end(log, "model/hash", 1);
  }
  if (temper === "poor") {
    say({ event: "memory", needBytes: 850_000_000, haveBytes: 400_000_000 });
    await end(log, "boot/memory", 1);
  }
  if (temper === "silent") await delay(60_000);
  // Of one that crashed before.
  for (const path of [plan.inner, plan.monitor]) rmSync(path, { force: true });
  await startFakeEnclave(plan.inner);
  await startHybridVsock(plan.monitor, (port) => (port === 5000 ? { to: plan.inner } : null));
  say({ event: "phase", phase: "serving" });
}

async function main(): Promise<void> {
  const words = process.argv.slice(2);
  const text = { type: "string" } as const;
  const options = { image: text, cpus: text, memory: text, cid: text };
  const { values } = parseArgs({ args: words, options });
  const plan: unknown = JSON.parse(readFileSync(values.image ?? "", "utf8"));
  if (!isPlan(plan)) throw new TypeError("no plan");
  writeFileSync(plan.words, JSON.stringify(words));
  process.stdout.write('{"event":"launched","cid":16,"secret":"kept"}\nsome console output\n');
  if (plan.temper === "fail") {
    process.stderr.write("first line\n[ E27 ] Insufficient memory available.\n");
    process.exit(1);
  }
  const pids = [process.pid];
  if (plan.temper === "deaf" || plan.temper === "orphan") {
    const child = spawn("sleep", ["60"], { stdio: "ignore" });
    if (child.pid !== undefined) pids.push(child.pid);
  }
  writeFileSync(plan.pids, pids.join("\n"));
  if (plan.temper === "orphan") process.exit(1);
  if (plan.temper === "deaf") process.on("SIGTERM", () => undefined);
  const log = openLog(plan.services);
  if (plan.temper !== "deaf") {
    process.on("SIGTERM", () => void end(log, "SIGTERM", 0));
    process.stdin.on("close", () => void end(log, "host-gone", 0)).resume();
  }
  await serve(plan, log);
}

await main();
