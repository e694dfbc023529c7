import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { MAX_LOG_LINE_BYTES, MAX_STDERR_BYTES } from "./limits.ts";
import { splitLines } from "./lines.ts";
import type { Log } from "./log.ts";

/** What runs as the enclave, and where it listens. */
export interface EnclaveCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly socketPath: string;
}

/** How an enclave ended. */
export interface EnclaveExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** The enclave's own reason, such as `manifest/digest`, if it gave one. */
  readonly reason: string | null;
  /** The model that it refused, as `id/version`, if that was why. */
  readonly model: string | null;
  /** The end of its standard error: a crash at start says why only there. */
  readonly stderr: string;
}

/** A started enclave. */
export interface EnclaveProcess {
  /** Settles with true in phase "serving", with false when the process ended before. */
  readonly served: Promise<boolean>;
  readonly exited: Promise<EnclaveExit>;
  /** Asks it to end, and makes it end after `graceMs`. */
  stop(graceMs: number): Promise<EnclaveExit>;
  /** Ends it at once. Synchronous, so that an exit handler can. */
  kill(): void;
}

/** The simulated TEE: the enclave's own entry as a process of this machine, and nothing more. */
export function simulatedEnclave(paths: {
  readonly enclaveSocket: string;
  readonly provisionSocket: string;
  readonly vendorKey: string;
  readonly simulateDebug: boolean;
}): EnclaveCommand {
  const entry = fileURLToPath(new URL("../enclave/simulated.ts", import.meta.url));
  const sockets = ["--listen", paths.enclaveSocket, "--provision", paths.provisionSocket];
  const debug = paths.simulateDebug ? ["--debug"] : [];
  return {
    file: process.execPath,
    args: [entry, ...sockets, "--vendor-key", paths.vendorKey, ...debug],
    socketPath: paths.enclaveSocket,
  };
}

/** The enclave's environment, whole: what the host has in its own is none of its business. */
const ENVIRONMENT = { ORT_DISABLE_TELEMETRY: "1", NODE_ENV: "production" };

/**
 * Fields of the enclave's log lines that the host writes to its own log, when they hold a number,
 * a boolean or a short word. It writes nothing else: the log is no way out for content.
 */
const FORWARDED: readonly string[] = [
  "phase",
  "code",
  "id",
  "version",
  "bytes",
  "models",
  "sequence",
  "notBefore",
  "notAfter",
  "exchanges",
  "index",
  "status",
];
const WORD = /^[A-Za-z0-9._:/-]{1,64}$/u;
/** Of an aborted exchange: nobody else has its receipt, and the epoch's indices have no gaps. */
const RECEIPT = /^[A-Za-z0-9+/]{1,2048}={0,2}$/u;

/** Starts the enclave. A failure to start is an exit like any other. */
export function startEnclave(command: EnclaveCommand, log: Log): EnclaveProcess {
  rmSync(command.socketPath, { force: true });
  const child = spawn(command.file, command.args, {
    env: ENVIRONMENT,
    // The channel carries no messages. It closes when this process dies, however it dies: a
    // "disconnect" tells the enclave at once.
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    // Its own process group: Ctrl-C on a terminal is for the host, which stops the enclave last.
    detached: true,
  });
  const serving = Promise.withResolvers<boolean>();
  let reason: string | null = null;
  let model: string | null = null;
  const readLine = (text: string): void => {
    const line = parseLine(text);
    if (line === null) return;
    const phase = line.get("phase");
    if (line.get("event") === "phase" && phase === "serving") serving.resolve(true);
    if (line.get("event") === "closed") reason = word(line.get("code")) ?? reason;
    if (line.get("event") === "model-refused") {
      model = `${word(line.get("id")) ?? ""}/${word(line.get("version")) ?? ""}`;
    }
    forward(line, log);
  };
  const dropped = (): void => {
    log("enclave-line-dropped");
  };
  child.stdout?.on("data", splitLines(MAX_LOG_LINE_BYTES, readLine, dropped));
  const stderr = keepEnd(child);
  const exited = exitOf(child, () => ({ reason, model, stderr: stderr() }));
  void exited.then(() => {
    serving.resolve(false);
  });
  const kill = (): void => {
    child.kill("SIGKILL");
  };
  return {
    served: serving.promise,
    exited,
    kill,
    stop: async (graceMs) => {
      child.kill("SIGTERM");
      const timer = setTimeout(kill, graceMs);
      const exit = await exited;
      clearTimeout(timer);
      return exit;
    },
  };
}

const CHANGED =
  ". The model's files are not those that were hashed a moment ago: let them be, and start again";
const ADVICE: ReadonlyMap<string, string> = new Map([
  ["model/hash", CHANGED],
  ["model/size", CHANGED],
  ["provision/status", CHANGED],
]);

/** One line for a person: how it ended, and why if it said so. */
export function describeExit(exit: EnclaveExit): string {
  const how = exit.signal === null ? `with status ${exit.code ?? "unknown"}` : `by ${exit.signal}`;
  if (exit.reason !== null) {
    if (exit.model === null) return `ended ${how}: ${exit.reason}`;
    return `ended ${how}: ${exit.reason} (${exit.model})${ADVICE.get(exit.reason) ?? ""}`;
  }
  const detail = exit.stderr.trim();
  return detail === "" ? `ended ${how}` : `ended ${how}: ${detail}`;
}

/** Its output may outlive it in a child of its own: after this the exit counts without it. */
const OUTPUT_DRAIN_MS = 1000;

function exitOf(
  child: ChildProcess,
  rest: () => Pick<EnclaveExit, "reason" | "model" | "stderr">,
): Promise<EnclaveExit> {
  return new Promise((resolve) => {
    child.on("error", (error) => {
      if (child.pid !== undefined) return;
      resolve({ code: null, signal: null, ...rest(), stderr: error.message });
    });
    child.on("exit", (code, signal) => {
      const done = (): void => {
        clearTimeout(timer);
        resolve({ code, signal, ...rest() });
      };
      const timer = setTimeout(done, OUTPUT_DRAIN_MS);
      child.on("close", done);
    });
  });
}

function keepEnd(child: ChildProcess): () => string {
  let kept = Buffer.alloc(0);
  child.stderr?.on("data", (chunk: Uint8Array) => {
    kept = Buffer.concat([kept, chunk]).subarray(-MAX_STDERR_BYTES);
  });
  return () => kept.toString("utf8");
}

function parseLine(text: string): ReadonlyMap<string, unknown> | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  return typeof value === "object" && value !== null ? new Map(Object.entries(value)) : null;
}

/** An event of one exchange is told apart, so that the log's level can leave it out. */
function forward(line: ReadonlyMap<string, unknown>, log: Log): void {
  const what = word(line.get("event"));
  if (what === null) return;
  const fields: Record<string, string | number | boolean> = { what };
  for (const name of FORWARDED) {
    const value = line.get(name);
    if (typeof value === "number" || typeof value === "boolean") fields[name] = value;
    const text = word(value);
    if (text !== null) fields[name] = text;
  }
  const receipt = line.get("receipt");
  if (typeof receipt === "string" && RECEIPT.test(receipt)) fields["receipt"] = receipt;
  log(line.has("index") ? "enclave-exchange" : "enclave", fields);
}

function word(value: unknown): string | null {
  return typeof value === "string" && WORD.test(value) ? value : null;
}
