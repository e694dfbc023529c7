/** An enclave that runs, however it came to: when it serves, when and how it ended. */
import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { watchAttached } from "./attached.ts";
import type { EnclaveCommand } from "./enclave-command.ts";
import { EnclaveAccount, EnclaveLogReader, type MemoryNeed } from "./enclave-log.ts";
import { systemCode } from "./errors.ts";
import { LOG_DRAIN_MS, MAX_STDERR_BYTES, MIB, RUNNER_STOP_MS } from "./limits.ts";
import type { Log } from "./log.ts";
import { answersServing } from "./status.ts";

/** How an enclave ended. */
export interface EnclaveExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** The enclave's own reason, such as `manifest/digest`, if it gave one. */
  readonly reason: string | null;
  /** The model that it refused, as `id/version`, if that was why. */
  readonly model: string | null;
  /** What its models need, and what it found. */
  readonly memory: MemoryNeed | null;
  /** The end of its program's standard error: a crash at start says why only there. */
  readonly detail: string;
}

/** A started enclave. */
export interface EnclaveProcess {
  /** Settles with true in phase "serving", with false when it ended before. */
  readonly served: Promise<boolean>;
  readonly exited: Promise<EnclaveExit>;
  /** Asks it to end, and makes it end after `graceMs`. */
  stop(graceMs: number): Promise<EnclaveExit>;
  /** Ends it as soon as can be. Synchronous, so that an exit handler can. */
  kill(): void;
}

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
  contact.forget();
  const stopListening = contact.listen({
    provisioned: () => {
      boots = true;
      provisioned.resolve();
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
  return {
    served: Promise.race([serving, exited.then(() => false)]),
    exited,
    kill: () => {
      child.stdin?.destroy();
      child.kill("SIGTERM");
      setTimeout(kill, RUNNER_STOP_MS).unref();
    },
    stop: (graceMs) => stopChild(child, exited, graceMs, kill),
  };
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

const CHANGED =
  ". The model's files are not those that were hashed a moment ago: let them be, and start again";
/** For a reason that came with a model. */
const MODEL_ADVICE: ReadonlyMap<string, string> = new Map([
  ["model/hash", CHANGED],
  ["model/size", CHANGED],
  ["provision/status", CHANGED],
]);

/** One line for a person: how it ended, and why if it said so. */
export function describeExit(exit: EnclaveExit): string {
  const ended = `ended${howItEnded(exit)}`;
  if (exit.reason !== null) {
    if (exit.model === null) return `${ended}: ${exit.reason}${describeMemory(exit)}`;
    return `${ended}: ${exit.reason} (${exit.model})${MODEL_ADVICE.get(exit.reason) ?? ""}`;
  }
  const detail = exit.detail.trim();
  return detail === "" ? ended : `${ended}: ${detail}`;
}

function describeMemory({ reason, memory }: EnclaveExit): string {
  if (reason !== "boot/memory" || memory === null) return "";
  const [need, have] = [memory.needBytes, memory.haveBytes].map((bytes) => Math.ceil(bytes / MIB));
  return (
    `. The models need ${need} MiB, and the enclave has ${have}: give it more (--memory, with ` +
    "--tee nitro), or texts less (--cache-mib)"
  );
}

function howItEnded({ code, signal }: EnclaveExit): string {
  if (signal !== null) return ` by ${signal}`;
  return code === null ? "" : ` with status ${code}`;
}

/** Its output may outlive it in a child of its own: after this the exit counts without it. */
const OUTPUT_DRAIN_MS = 1000;

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
  child.on("exit", (code, signal) => {
    const done = (): void => {
      clearTimeout(timer);
      resolve({ code, signal });
    };
    const timer = setTimeout(done, OUTPUT_DRAIN_MS);
    child.on("close", done);
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
