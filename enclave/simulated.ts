/**
 * The enclave with a simulated module: for development, and for machines without the hardware.
 *
 * It is an entry point of its own and not part of the production image.
 */
import { encodeHex } from "@countersign/attestation/attester";
import { writeSync } from "node:fs";
import { parseArgs } from "node:util";
import { errorCode } from "./answers.ts";
import { boot, type RunningEnclave } from "./boot.ts";
import { systemClock } from "./clock.ts";
import { EnclaveError } from "./errors.ts";
import { KEY_SERVICES_FILE, readKeyServices, requireKeyServices } from "./keys/services.ts";
import { jsonLog, type Log } from "./log.ts";
import { CODE_ROOT, measureCode, thisRuntime } from "./simulation/measure.ts";
import { DEBUG_IMAGE, SimulatedNsm } from "./simulation/nsm.ts";
import { certificatePem, loadVendor, rootDigest } from "./simulation/vendor.ts";
import { unixTransport } from "./transport.ts";

const USAGE =
  "usage: simulated.ts --listen SOCKET --provision SOCKET --vendor-key FILE [--key-services FILE] [--debug] | --measure --vendor-key FILE [--key-services FILE]";
/** How often we look whether the host that started us is still there. */
const PARENT_POLL_MS = 1_000;

const STDOUT = 1;

type Arguments =
  | { readonly command: "measure"; readonly vendorKey: string; readonly keyServices: string }
  | {
      readonly command: "serve";
      readonly vendorKey: string;
      /** What is measured and used as enclave/key-services.json. */
      readonly keyServices: string;
      readonly listen: string;
      readonly provision: string;
      readonly debug: boolean;
    };

/** @throws EnclaveError `boot/arguments`. */
function parseArguments(args: readonly string[]): Arguments {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        listen: { type: "string" },
        provision: { type: "string" },
        "vendor-key": { type: "string" },
        "key-services": { type: "string" },
        measure: { type: "boolean" },
        debug: { type: "boolean" },
      },
    });
    const { listen, provision, measure, debug, "vendor-key": vendorKey } = values;
    const keyServices = values["key-services"] ?? KEY_SERVICES_FILE;
    if (vendorKey === undefined) throw new TypeError("no --vendor-key");
    if (measure === true) return { command: "measure", vendorKey, keyServices };
    if (listen === undefined || provision === undefined) throw new TypeError("no socket");
    return { command: "serve", vendorKey, keyServices, listen, provision, debug: debug === true };
  } catch (cause) {
    throw new EnclaveError("boot/arguments", USAGE, { cause });
  }
}

/** Prints what a policy needs to trust this code on this machine: PCR0 to PCR2 and the root. */
async function measure(vendorKey: string, keyServices: string): Promise<void> {
  const vendor = await loadVendor(vendorKey, systemClock.nowMs());
  const file = readKeyServices(keyServices);
  // One that no enclave starts with is not measured either.
  requireKeyServices(file);
  const { pcr0, pcr1, pcr2 } = await measureCode(CODE_ROOT, thisRuntime(), file);
  writeLine(
    `${JSON.stringify({
      pcr0: encodeHex(pcr0),
      pcr1: encodeHex(pcr1),
      pcr2: encodeHex(pcr2),
      rootCertificate: certificatePem(vendor.certificate),
      rootSha256: rootDigest(vendor),
    })}\n`,
  );
}

async function serve(args: Extract<Arguments, { command: "serve" }>, log: Log): Promise<void> {
  const { nowMs } = systemClock;
  const vendor = await loadVendor(args.vendorKey, nowMs());
  // Read once: what is measured is what is used.
  const file = readKeyServices(args.keyServices);
  const image = args.debug ? DEBUG_IMAGE : await measureCode(CODE_ROOT, thisRuntime(), file);
  const running: { enclave: RunningEnclave | null } = { enclave: null };
  stopWithHost(running, log);
  running.enclave = await boot({
    platform: "simulated",
    nsm: new SimulatedNsm(vendor, image, nowMs),
    transport: unixTransport(args.listen, args.provision),
    clock: systemClock,
    log,
    keyServices: requireKeyServices(file),
    // The host started us: it is there.
    hostPatienceMs: 0,
    // The simulated module's randomness is this process's own.
    mixRandomness: () => undefined,
    availableBytes: () => process.availableMemory(),
  });
  throw await running.enclave.failure;
}

/** Ends when asked to, or when the process that started us is gone. */
function stopWithHost(running: { readonly enclave: RunningEnclave | null }, log: Log): void {
  const parent = process.ppid;
  let stopping = false;
  const stop = (code: string): void => {
    if (stopping) return;
    stopping = true;
    const closed = running.enclave === null ? Promise.resolve() : running.enclave.close();
    void closed.finally(() => {
      log("closed", { code });
      process.exit(0);
    });
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  // Where the host gave us a channel, it closes when the host dies, and says nothing else.
  process.once("disconnect", () => {
    stop("host-gone");
  });
  setInterval(() => {
    if (process.ppid !== parent) stop("host-gone");
  }, PARENT_POLL_MS).unref();
}

/**
 * Without a buffer of ours, so that the last line is out before the process ends. Where nobody reads
 * it any more, the host is gone, and so are we.
 */
function writeLine(line: string): void {
  try {
    writeSync(STDOUT, line);
  } catch {
    process.exit(1);
  }
}

const log = jsonLog(writeLine, systemClock.nowMs);
// A bug of ours. Node would print its text, which may quote what it was about; only its kind leaves.
process.on("uncaughtException", (error) => {
  log("closed", { code: errorCode(error) });
  process.exit(1);
});
try {
  const args = parseArguments(process.argv.slice(2));
  if (args.command === "measure") await measure(args.vendorKey, args.keyServices);
  else await serve(args, log);
} catch (error) {
  log("closed", { code: errorCode(error) });
  if (error instanceof EnclaveError && error.code === "boot/arguments") {
    process.stderr.write(`${error.message}\n`);
  }
  // process.exit waits for the engine's thread, and this one does not come back.
  if (errorCode(error) === "engine/stalled") process.kill(process.pid, "SIGKILL");
  process.exit(1);
}
