/**
 * Process 1 of a guest that runs programs of the tests, named by its arguments, one after another.
 *
 * The machine ends with it; each program's end is a line on the console.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { NSM_DEVICE } from "../../enclave/nsm/ioctl.ts";
import { loadModules, type Mount, mountAll } from "../../enclave/system/kernel.ts";

const MOUNTS: readonly Mount[] = [
  { type: "proc", target: "/proc", options: "" },
  { type: "sysfs", target: "/sys", options: "" },
  { type: "devtmpfs", target: "/dev", options: "mode=0755" },
  { type: "tmpfs", target: "/tmp", options: "mode=1777,size=16m" },
];
const DEVICE_TIMEOUT_MS = 5_000;
const POLL_MS = 10;

mountAll(MOUNTS);
loadModules("/lib/modules");
const lastMs = performance.now() + DEVICE_TIMEOUT_MS;
while (!existsSync(NSM_DEVICE) && performance.now() < lastMs) await sleep(POLL_MS);
for (const program of process.argv.slice(2)) {
  const child = spawn(process.execPath, [`/app/${program}`], {
    stdio: "inherit",
    env: { NO_COLOR: "1" },
  });
  await once(child, "exit");
  console.log(`ended ${program} ${child.signalCode ?? child.exitCode ?? "unknown"}`);
}
process.exit(0);
