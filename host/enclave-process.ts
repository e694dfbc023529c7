/** Starts an enclave, whatever kind it is of. */
import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { watchAttached } from "./attached.ts";
import type { EnclaveCommand } from "./enclave-command.ts";
import { whenEnded } from "./ended.ts";
import type { EnclaveExit, EnclaveProcess } from "./enclave-exit.ts";
import { EnclaveAccount, EnclaveLogReader } from "./enclave-log.ts";
import { systemCode } from "./errors.ts";
import { LOG_DRAIN_MS, MAX_STDERR_BYTES, RUNNER_STOP_MS } from "./limits.ts";
import type { Log } from "./log.ts";
import { answersServing } from "./status.ts";

/** The enclave's environment, whole: what the host has in its own is none of its business. */
const ENVIRONMENT = { ORT_DISABLE_TELEMETRY: "1", NODE_ENV: "production" };

/** Starts the enclave. A failure to start is an exit like any other. */
export function startEnclave(command: EnclaveCommand, log: Log): EnclaveProcess {
  switch (command.kind) {
    case "process":
      return startProcess(command, log);
    case "runner":
      return startRunner(command, log);
    case "attached":
      return watchAttached(command);
    default:
      return command satisfies never;
  }
}

function startProcess(
  command: Extract<EnclaveCommand, { kind: "process" }>,
  log: Log,
): EnclaveProcess {
  if (command.address.kind === "unix") rmSync(command.address.path, { force: true });
  const child = spawn(command.file, command.args, {
    env: ENVIRONMENT,
    // The channel carries no messages. It closes when this process dies, however it dies: a
    // "disconnect" tells the enclave at once.
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    // Its own process group: Ctrl-C on a terminal is for the host, which stops the enclave last.
    detached: true,
  });
  const account = new EnclaveAccount();
  readOutput(child, new EnclaveLogReader("enclave", log, (line) => account.read(line)));
  const exited = exitOf(child, () => Promise.resolve(account));
  const kill = (): void => {
    child.kill("SIGKILL");
  };
  return {
    served: Promise.race([account.serving.then(() => true), exited.then(() => false)]),
    exited,
    kill,
    stop: (graceMs) => stopChild(child, exited, graceMs, kill),
  };
}

/**
 * A runner ends its enclave when it gets SIGTERM, and when its standard input closes: that is how it
 * learns that this process died. Killed outright it would leave the enclave behind.
 */
function startRunner(
  command: Extract<EnclaveCommand, { kind: "runner" }>,
  log: Log,
): EnclaveProcess {
  const { contact, address } = command;
  const account = new EnclaveAccount();
  // Who asks for models is an enclave that boots: what another one's leftover says, or answers, must not
  // count as this one's.
  const provisioned = Promise.withResolvers<void>();
  let boots = false;
  let isServing = false;
  contact.forget();
  const stopListening = contact.listen({
    provisioned: () => {
      boots = true;
      provisioned.resolve();
      // Its machine was reset below a runner that goes on: other keys, and nothing here knows of them.
      if (!isServing) return;
      log("enclave-reset");
      end();
    },
    line: (line) => {
      if (boots || line.get("event") !== "phase") account.read(line);
    },
  });
  const child = spawn(command.file, command.args, {
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  child.stdin?.on("error", () => undefined);
  readOutput(child, new EnclaveLogReader("runner", log, () => undefined));
  // What it left behind of its own, a machine monitor above all, would be in the next one's way.
  child.on("exit", () => {
    killGroup(child);
  });
  const over = new AbortController();
  const exited = exitOf(child, async () => {
    over.abort();
    await contact.drained(LOG_DRAIN_MS);
    stopListening();
    return account;
  });
  const kill = (): void => {
    killGroup(child);
  };
  const serving = provisioned.promise.then(() =>
    Promise.race([account.serving.then(() => true), answersServing(address, over.signal)]),
  );
  const end = (): void => {
    child.stdin?.destroy();
    child.kill("SIGTERM");
    setTimeout(kill, RUNNER_STOP_MS).unref();
  };
  const served = Promise.race([serving, exited.then(() => false)]);
  void served.then((serves) => {
    isServing = serves;
  });
  return { served, exited, kill: end, stop: (graceMs) => stopChild(child, exited, graceMs, kill) };
}

async function stopChild(
  child: ChildProcess,
  exited: Promise<EnclaveExit>,
  graceMs: number,
  kill: () => void,
): Promise<EnclaveExit> {
  child.kill("SIGTERM");
  const timer = setTimeout(kill, graceMs);
  const exit = await exited;
  clearTimeout(timer);
  return exit;
}

/** A runner's own children are in its group. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if (systemCode(error) !== "ESRCH") throw error;
  }
}

/** @param lastWords - asked for once it has ended. */
function exitOf(
  child: ChildProcess,
  lastWords: () => Promise<EnclaveAccount>,
): Promise<EnclaveExit> {
  const stderr = keepEnd(child);
  const { promise, resolve } = Promise.withResolvers<Pick<EnclaveExit, "code" | "signal">>();
  let failure: string | null = null;
  child.on("error", (error) => {
    if (child.pid !== undefined) return;
    failure = error.message;
    resolve({ code: null, signal: null });
  });
  whenEnded(child, (code, signal) => {
    resolve({ code, signal });
  });
  return promise.then(async (how) => {
    const { reason, model, memory } = await lastWords();
    return { ...how, reason, model, memory, detail: failure ?? stderr() };
  });
}

function readOutput(child: ChildProcess, reader: EnclaveLogReader): void {
  child.stdout?.on("data", reader.stream());
  child.stdout?.on("close", () => {
    reader.flush();
  });
}

function keepEnd(child: ChildProcess): () => string {
  let kept = Buffer.alloc(0);
  child.stderr?.on("data", (chunk: Uint8Array) => {
    kept = Buffer.concat([kept, chunk]).subarray(-MAX_STDERR_BYTES);
  });
  return () => kept.toString("utf8");
}
