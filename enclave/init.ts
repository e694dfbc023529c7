/**
 * What an image of ours runs as PID 1: a machine with nothing mounted becomes one that main.ts can run
 * in. When this process ends, the kernel panics and the machine ends with it: so an enclave ends.
 */
import { existsSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { errorCode } from "./answers.ts";
import { jsonLog } from "./log.ts";
import { NSM_DEVICE } from "./nsm/ioctl.ts";
import { clearEnvironment } from "./system/environment.ts";
import { sendHeartbeat } from "./system/heartbeat.ts";
import { loadModules, type Mount, mountAll } from "./system/kernel.ts";

const MOUNTS: readonly Mount[] = [
  { type: "proc", target: "/proc", options: "" },
  { type: "sysfs", target: "/sys", options: "" },
  { type: "devtmpfs", target: "/dev", options: "mode=0755" },
  // For libraries that look for it; nothing of ours writes there.
  { type: "tmpfs", target: "/tmp", options: "mode=1777,size=1m" },
];
const MODULES = "/lib/modules";
/** A driver makes its device a moment after it is loaded. */
const DEVICE_TIMEOUT_MS = 5_000;
const DEVICE_POLL_MS = 10;
/** Of ours; all other arguments are main.ts's. */
const HEARTBEAT = "--heartbeat";
const STDOUT = 1;

export async function init(args: readonly string[]): Promise<never> {
  try {
    clearEnvironment();
    mountAll(MOUNTS);
    if (loadModules(MODULES) > 0) await deviceMade();
    if (args.includes(HEARTBEAT)) await sendHeartbeat();
  } catch (error) {
    // Only the console is there to hear it.
    jsonLog((line) => writeSync(STDOUT, line), Date.now)("closed", { code: errorCode(error) });
    process.exit(1);
  }
  // Only now: what it loads finds /proc and /dev.
  const { main } = await import("./main.ts");
  return await main(args.filter((arg) => arg !== HEARTBEAT));
}

/** Where it is not made in time, main.ts says that there is none. */
async function deviceMade(): Promise<void> {
  const lastMs = performance.now() + DEVICE_TIMEOUT_MS;
  while (!existsSync(NSM_DEVICE) && performance.now() < lastMs) await sleep(DEVICE_POLL_MS);
}

await init(process.argv.slice(2));
