import { totalmem } from "node:os";
import { exitStatus, HostError } from "./errors.ts";
import { memoryLimit, parseArguments, USAGE } from "./args.ts";
import { jsonLog, logAt } from "./log.ts";
import { type EnclaveFactory, Node } from "./node.ts";
import type { SupervisorTiming } from "./supervisor.ts";

export interface RunOptions {
  readonly argv: readonly string[];
  readonly enclave: EnclaveFactory;
  readonly timing: SupervisorTiming;
}

/**
 * Runs a node as this process until a signal, or until the process that started it goes.
 *
 * Returns the exit status: 0 after a stop that was asked for, 2 for bad arguments, 1 otherwise.
 */
export async function runNode({ argv, enclave, timing }: RunOptions): Promise<number> {
  // A reader that closed the pipe ends the log, not the node.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  try {
    const invocation = parseArguments(
      argv,
      process.cwd(),
      memoryLimit(totalmem(), process.constrainedMemory()),
    );
    if (invocation.kind === "help") {
      process.stdout.write(USAGE);
      return 0;
    }
    const { options } = invocation;
    const print = (line: string): void => {
      process.stdout.write(line);
    };
    const node = new Node({
      options,
      enclave,
      timing,
      log: logAt(options.log, jsonLog(print, Date.now)),
    });
    return await serve(node);
  } catch (error) {
    process.stderr.write(`countersign: ${describe(error)}\n`);
    return exitStatus(error);
  }
}

async function serve(node: Node): Promise<number> {
  const asked = Promise.withResolvers<void>();
  let signals = 0;
  const onSignal = (): void => {
    signals += 1;
    if (signals === 1) {
      asked.resolve();
      return;
    }
    // A second Ctrl-C: now.
    node.kill();
    process.exit(1);
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);
  if (process.connected) process.once("disconnect", onSignal);
  // Whatever ends this process otherwise, an exception above all: no enclave outlives it.
  process.once("exit", () => {
    node.kill();
  });
  let stopped = false;
  const interrupted = asked.promise.then(() => {
    stopped = true;
    node.interrupt();
  });
  try {
    await node.start();
  } catch (error) {
    if (stopped && error instanceof HostError && error.code === "enclave/stopped") return 0;
    throw error;
  }
  await asked.promise;
  await node.stop();
  await interrupted;
  return 0;
}

/** Control characters but the line feed: the name of a file may hold what moves a terminal's cursor. */
const CONTROL = /[^\P{Cc}\n]/gu;

/** One line, for a person. A bug of ours keeps its stack. */
function describe(error: unknown): string {
  if (error instanceof HostError) return error.message.replaceAll(CONTROL, "\u{fffd}");
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
