/** Images for the emulated machine: this checkout, and Debian's kernel with its modules. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  buildImage,
  ENCLAVE_ENTRIES,
  type MeasuredImage,
  type SigningKey,
} from "@countersign/image";
import type { Packages } from "./packages.ts";

export const REPOSITORY: string = fileURLToPath(new URL("../..", import.meta.url));
const COUNTER = fileURLToPath(new URL("tsc.py", import.meta.url));
/** What vhost-device-vsock takes for the host; on AWS it is 3. */
const PARENT_CID = 2;
/** microvm has no i8042 to reset it by: a triple fault ends it. */
const CMDLINE = "console=ttyS0 reboot=t panic=-1 quiet no_timer_check tsc=reliable";

/**
 * Linux's command line for this machine. The emulated timers fall behind where the processor is busy;
 * its own counter does not, so the guest neither measures that by them nor judges it by them.
 */
async function commandLine(packages: Packages): Promise<string> {
  const { file, args, env } = packages.command("python3", [COUNTER]);
  const { stdout } = await promisify(execFile)(file, [...args], { env });
  const kilohertz = stdout.trim();
  if (!/^[1-9]\d{5,7}$/u.test(kilohertz)) throw new Error(`a counter of ${kilohertz} kHz`);
  return `${CMDLINE} tsc_early_khz=${kilohertz}`;
}

/**
 * The production enclave, told where its parent is.
 *
 * @param keyServices - in place of the checkout's file; null is that one.
 */
export async function buildEnclave(
  packages: Packages,
  out: string,
  keyServices: string | null = null,
): Promise<MeasuredImage> {
  const words = ["--parent-cid", `${PARENT_CID}`];
  return await build(packages, out, ENCLAVE_ENTRIES, words, null, keyServices);
}

/** A guest that runs programs of the tests in place of the enclave. */
export async function buildGuest(
  packages: Packages,
  out: string,
  programs: readonly string[],
  signingKey: SigningKey | null = null,
): Promise<MeasuredImage> {
  const entries = ["test/emulation/guest.ts", ...programs] as const;
  return await build(packages, out, entries, programs, signingKey);
}

async function build(
  packages: Packages,
  out: string,
  entries: readonly [string, ...string[]],
  words: readonly string[],
  signingKey: SigningKey | null = null,
  keyServices: string | null = null,
): Promise<MeasuredImage> {
  return await buildImage({
    root: REPOSITORY,
    architecture: "x86_64",
    kernel: packages.kernel,
    modules: packages.modules,
    libraries: ["/"],
    cmdline: await commandLine(packages),
    entries,
    arguments: words,
    keyServices,
    signingKey,
    out,
  });
}

export function imagePath(folder: string, name: string): string {
  return join(folder, `${name}.eif`);
}
