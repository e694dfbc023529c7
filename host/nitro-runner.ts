/**
 * A program that lives in the foreground for exactly as long as one Nitro Enclave: `nitro-runner.ts
 * --image FILE --cpus N --memory MIB --cid N`.
 *
 * `nitro-cli run-enclave` returns at once and leaves its enclave to itself; a supervisor wants a process.
 * It ends the enclave on SIGTERM, on SIGINT, and when a pipe at its standard input closes: whoever started
 * it is then gone.
 */
import { fstatSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { HostError, systemCode } from "./errors.ts";
import { parseCount, requireText } from "./flags.ts";
import {
  DEFAULT_CID,
  DEFAULT_CPUS,
  DEFAULT_MEMORY_MIB,
  DESCRIBE_FAILURES,
  DESCRIBE_INTERVAL_MS,
  MAX_CID,
  MAX_CPUS,
  MAX_MEMORY_MIB,
  MIN_CID,
  MIN_MEMORY_MIB,
} from "./limits.ts";
import { jsonLog } from "./log.ts";
import {
  describeEnclaves,
  NitroCliError,
  type NitroLaunch,
  runEnclave,
  terminateEnclave,
} from "./nitro-cli.ts";

const log = jsonLog((line) => {
  process.stdout.write(line);
}, Date.now);

// oxlint-disable-next-line typescript/explicit-function-return-type -- parseArgs infers it from the table
function readFlags(argv: readonly string[]) {
  const text = { type: "string" } as const;
  const options = { image: text, cpus: text, memory: text, cid: text };
  try {
    return parseArgs({ args: [...argv], strict: true, options }).values;
  } catch (error) {
    throw new HostError("arguments/usage", error instanceof Error ? error.message : USAGE);
  }
}

const USAGE = "want --image FILE --cpus N --memory MIB --cid N";

/** @throws {@link HostError} `arguments/usage`. */
function parseLaunch(argv: readonly string[]): NitroLaunch {
  const values = readFlags(argv);
  const cid = parseCount("--cid", values.cid, DEFAULT_CID, MIN_CID, MAX_CID);
  const { memory } = values;
  return {
    image: requireText("--image", values.image ?? ""),
    cpus: parseCount("--cpus", values.cpus, DEFAULT_CPUS, 1, MAX_CPUS),
    memoryMib: parseCount("--memory", memory, DEFAULT_MEMORY_MIB, MIN_MEMORY_MIB, MAX_MEMORY_MIB),
    cid,
    name: `countersign-${cid}`,
  };
}

/** Aborts when we are to end. */
function stopSignal(): AbortSignal {
  const stopping = new AbortController();
  const stop = (): void => {
    stopping.abort();
  };
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(name, stop);
  const input = fstatSync(process.stdin.fd);
  // Not /dev/null, which a service has there and which is always at its end.
  if (input.isFIFO() || input.isSocket()) {
    process.stdin.on("close", stop).on("error", stop).resume();
  }
  return stopping.signal;
}

/**
 * One runner a context id, on the whole machine. A name in Linux's abstract namespace, unix(7), goes with
 * the process that has it, however that ends.
 */
async function takeContextId(cid: number): Promise<void> {
  const server = createServer((connection) => connection.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      const taken = `another node's runner has an enclave with context id ${cid}`;
      const found = systemCode(error) === "EADDRINUSE" ? taken : error.message;
      reject(new NitroCliError(`${found}: stop it, or choose another id with --cid`));
    });
    server.listen(`\0countersign-nitro-${cid}`, resolve);
  });
  server.unref();
}

/** The id is ours alone: an enclave of our name is one whose runner was killed, any other is not ours. */
async function clearContextId({ cid, name }: NitroLaunch): Promise<void> {
  for (const found of await describeEnclaves()) {
    if (found.cid !== cid) continue;
    if (found.name !== name) {
      throw new NitroCliError(
        `context id ${cid} is that of enclave ${found.name ?? found.id}: end it with nitro-cli ` +
          `terminate-enclave --enclave-id ${found.id}, or choose another id with --cid`,
      );
    }
    await terminateEnclave(found.id);
    log("leftover-terminated", { id: found.id, cid });
  }
}

/** Resolves when the enclave is gone (false), or when we are to end (true). */
async function watch(id: string, stopping: AbortSignal): Promise<boolean> {
  let failures = 0;
  for (;;) {
    try {
      await delay(DESCRIBE_INTERVAL_MS, undefined, { signal: stopping });
    } catch {
      return true;
    }
    try {
      const found = (await describeEnclaves(stopping)).find((enclave) => enclave.id === id);
      if (found?.state !== "RUNNING") return false;
      failures = 0;
    } catch (error) {
      if (!(error instanceof NitroCliError)) throw error;
      if (stopping.aborted) return true;
      failures += 1;
      // It answers badly while another enclave ends; that passes.
      if (failures === DESCRIBE_FAILURES) throw error;
    }
  }
}

/** Where nobody can say whether it started, none may be left that did. */
async function startOne(launch: NitroLaunch): Promise<string> {
  try {
    return await runEnclave(launch);
  } catch (error) {
    await clearContextId(launch).catch((secondary: unknown) => {
      if (!(secondary instanceof NitroCliError)) throw secondary;
    });
    throw error;
  }
}

async function run(launch: NitroLaunch): Promise<number> {
  const stopping = stopSignal();
  await takeContextId(launch.cid);
  await clearContextId(launch);
  if (stopping.aborted) return 0;
  const id = await startOne(launch);
  const { cid, cpus, memoryMib } = launch;
  log("launched", { id, cid, cpus, memoryMib });
  let asked: boolean;
  try {
    asked = await watch(id, stopping);
  } catch (error) {
    // What we can no longer see must not go on alone.
    await terminateEnclave(id);
    throw error;
  }
  if (!asked) {
    process.stderr.write(`enclave ${id} ended by itself\n`);
    return 1;
  }
  await terminateEnclave(id);
  log("terminated", { id, cid });
  return 0;
}

try {
  process.exitCode = await run(parseLaunch(process.argv.slice(2)));
} catch (error) {
  const known = error instanceof NitroCliError || error instanceof HostError;
  if (error instanceof NitroCliError) log("failed", { code: error.code });
  process.stderr.write(`${known ? error.message : String(error)}\n`);
  process.exitCode = error instanceof HostError ? 2 : 1;
}
process.exit();
