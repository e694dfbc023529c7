/**
 * The enclave of the production image: a Nitro Secure Module, vsock, and no file but the image's own.
 *
 * Where the image is ours, init.ts starts it as PID 1; where it is AWS's, its init does.
 */
import "./engine/environment.ts";
import { encodeHex } from "@countersign/attestation/attester";
import { writeSync } from "node:fs";
import { parseArgs } from "node:util";
import { errorCode } from "./answers.ts";
import { boot, type RunningEnclave } from "./boot.ts";
import { systemClock } from "./clock.ts";
import { EnclaveError } from "./errors.ts";
import { HostLog } from "./host-log.ts";
import { KEY_SERVICES_FILE, readKeyServices, requireKeyServices } from "./keys/services.ts";
import { jsonLog, type Log } from "./log.ts";
import { type NsmDevice, openNsmDevice } from "./nsm/device.ts";
import { endProcess } from "./system/end.ts";
import { dropRoot } from "./system/privileges.ts";
import { mixRandomness } from "./system/randomness.ts";
import type { Transport } from "./transport.ts";
import { vsockTransport } from "./vsock-transport.ts";

const USAGE =
  "usage: main.ts [--listen-port PORT] [--parent-cid CID] [--parent-port PORT] [--user UID]";
/** AWS Nitro Enclaves: an enclave's parent has context id 3. */
const DEFAULTS = { listenPort: 5000, parentCid: 3, parentPort: 7000, user: 65_532 };
const MAX_U32 = 0xff_ff_ff_ff;
/** A host may start after its enclave. */
const HOST_PATIENCE_MS = 60_000;
/** What closes, and then the last lines, have this long each. */
const END_MS = 1_000;
const STDOUT = 1;

interface Settings {
  readonly listenPort: number;
  readonly parentCid: number;
  readonly parentPort: number;
  /** Who runs it once the device is open. */
  readonly user: number;
}

/** Runs the enclave until it ends, and this process with it. */
export async function main(args: readonly string[]): Promise<never> {
  const settings = settingsOf(args);
  const { listenPort, parentCid, parentPort, user } = settings;
  const transport = vsockTransport({ listenPort, parentCid, parentPort });
  const hostLog = new HostLog(() => transport.dial(), systemClock);
  const log = jsonLog((line) => {
    writeConsole(line);
    hostLog.write(line);
  }, systemClock.nowMs);
  const life = new Life(log, hostLog);
  // A bug of ours. Node would print its text, which may quote what it was about; only its kind leaves.
  process.on("uncaughtException", (error) => void life.end(errorCode(error), 1));
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => void life.end(signal, 0));
  }
  try {
    // 1. What only root may open; then nobody is root any more, and nothing was read from outside.
    const nsm = openNsmDevice();
    dropRoot(user);
    hostLog.open();
    logModule(nsm, log);
    // 2. The phases, to the end.
    life.enclave = await boot(bootOptions(nsm, transport, log));
    throw await life.enclave.failure;
  } catch (error) {
    return await life.end(errorCode(error), 1);
  }
}

function bootOptions(nsm: NsmDevice, transport: Transport, log: Log): Parameters<typeof boot>[0] {
  return {
    platform: "aws-nitro",
    nsm,
    transport,
    clock: systemClock,
    log,
    keyServices: requireKeyServices(readKeyServices(KEY_SERVICES_FILE)),
    hostPatienceMs: HOST_PATIENCE_MS,
    mixRandomness,
    availableBytes: () => process.availableMemory(),
  };
}

/** PCR0 to PCR2 for the operator to compare with the image: clients have them from the document. */
function logModule(nsm: NsmDevice, log: Log): void {
  const { moduleId, versionMajor, versionMinor, versionPatch } = nsm.describe();
  const version = `${versionMajor}.${versionMinor}.${versionPatch}`;
  const pcr = (index: number): string => encodeHex(nsm.describePcr(index).value);
  log("module", { id: moduleId, version, pcr0: pcr(0), pcr1: pcr(1), pcr2: pcr(2) });
}

/** How this process ends: once, and not before its last line had its chance. */
class Life {
  enclave: RunningEnclave | null = null;
  readonly #log: Log;
  readonly #hostLog: HostLog;
  #end: Promise<never> | null = null;

  constructor(log: Log, hostLog: HostLog) {
    this.#log = log;
    this.#hostLog = hostLog;
  }

  end(code: string, status: number): Promise<never> {
    this.#end ??= this.#endOnce(code, status);
    return this.#end;
  }

  async #endOnce(code: string, status: number): Promise<never> {
    // A run that ONNX Runtime does not give up cannot hold up the end.
    await Promise.race([
      this.enclave?.close(),
      new Promise((resolve) => setTimeout(resolve, END_MS)),
    ]).catch(() => this.#log("close-failed"));
    this.#log("closed", { code });
    await this.#hostLog.flush(END_MS);
    endProcess(status);
  }
}

/** Ends the process where the arguments are none of ours. */
function settingsOf(args: readonly string[]): Settings {
  try {
    return parseArguments(args);
  } catch (error) {
    jsonLog(writeConsole, systemClock.nowMs)("closed", { code: errorCode(error) });
    process.stderr.write(`${USAGE}\n`);
    process.exit(1);
  }
}

/** @throws EnclaveError `boot/arguments`. */
export function parseArguments(args: readonly string[]): Settings {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        "listen-port": { type: "string" },
        "parent-cid": { type: "string" },
        "parent-port": { type: "string" },
        user: { type: "string" },
      },
    });
    return {
      listenPort: parseNumber(values["listen-port"], DEFAULTS.listenPort),
      parentCid: parseNumber(values["parent-cid"], DEFAULTS.parentCid),
      parentPort: parseNumber(values["parent-port"], DEFAULTS.parentPort),
      user: parseNumber(values.user, DEFAULTS.user),
    };
  } catch (cause) {
    throw new EnclaveError("boot/arguments", USAGE, { cause });
  }
}

/** None of these may be 0: no such port is listened at, the hypervisor is no parent, and 0 is root. */
function parseNumber(text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!/^[1-9][0-9]{0,9}$/u.test(text) || value >= MAX_U32) throw new TypeError(`no ${text}`);
  return value;
}

/** The console: empty in production, where nobody can read it, so that its failure changes nothing. */
function writeConsole(line: string): void {
  try {
    writeSync(STDOUT, line);
  } catch {
    // Nobody is there to be told.
    return;
  }
}

if (import.meta.main) await main(process.argv.slice(2));
