/**
 * A machine that stands for a Nitro Enclave: one of QEMU's, with a program beside it for each device.
 *
 * A microvm boots from the parts of an enclave image, and its module attests the registers that
 * `measureImage` computes of that very file, as the hardware would. QEMU's own enclave, where a build
 * of it is named, reads and measures the image itself, and signs nothing.
 */
import { createWriteStream, existsSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { encodeHex } from "@countersign/attestation";
import { measureImage, type MeasuredImage, sectionChunks } from "@countersign/image";
import { type Child, startChild } from "./child.ts";
import type { Packages, ProgramCommand } from "./packages.ts";
import { microvm, nitroEnclave, nsmDevicePath, pidPath, vsockDevicePath } from "./qemu.ts";

const BACKEND = fileURLToPath(new URL("nsm_backend.py", import.meta.url));
const MODULE = fileURLToPath(new URL("nsm_module.py", import.meta.url));
/** What a guest has under way to its host: the default is less than a write of ours. */
const TX_BUFFER_BYTES = 4 << 20;
const READY_MS = 10_000;
const POLL_MS = 20;

export interface MachineOptions {
  /** An enclave image. */
  readonly image: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly cid: number;
  /** For sockets, the root of the module's certificates, and what is unpacked of the image. */
  readonly folder: string;
  /** A QEMU with an enclave of its own, to be used in place of a microvm; else null. */
  readonly nitroQemu: ProgramCommand | null;
  /** Takes what the guest writes to its console. */
  readonly console: (chunk: Uint8Array) => void;
}

export interface Machine {
  /** Resolves with how it ended, null where the guest itself put an end to it; all is over then. */
  readonly ended: Promise<string | null>;
  /** Pulls the plug. What `ended` says after that is of no interest. */
  stop(): void;
}

/** Where in `folder` the host reaches the guest: hybrid vsock, `CONNECT <port>`. */
export function vsockPath(folder: string): string {
  return join(folder, "vsock.sock");
}

/** Where in `folder` a host listens for what the guest sends to `port` of context id 2. */
export function servicePath(folder: string, port: number): string {
  return `${vsockPath(folder)}_${port}`;
}

/** The certificate, in PEM, that documents of machines in `folder` chain to; made if there is none. */
export async function rootCertificate(packages: Packages, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const command = packages.command("python3", [MODULE, folder]);
  const ended = await startChild("the module's root", command).ended;
  if (ended !== null) throw new Error(ended);
  return await readFile(join(folder, "root.certificate.pem"), "utf8");
}

/** Starts the machine with its backends; it boots while the promise resolves. */
export async function startMachine(packages: Packages, options: MachineOptions): Promise<Machine> {
  const { folder, nitroQemu } = options;
  const image = await measureImage(options.image);
  const devices = [vsockDevicePath(folder), ...(nitroQemu === null ? [nsmDevicePath(folder)] : [])];
  for (const path of [...devices, vsockPath(folder), pidPath(folder)]) {
    await rm(path, { force: true });
  }
  const backends = [startChild("the vsock backend", vsockBackend(packages, options))];
  const stop = (): void => {
    for (const child of backends) child.kill();
  };
  try {
    let command: ProgramCommand;
    if (nitroQemu === null) {
      backends.push(startChild("the NSM backend", nsmBackend(packages, image, folder)));
      command = microvm(packages, options, await unpack(image, folder));
    } else {
      command = nitroEnclave(packages, nitroQemu, options, options.image);
    }
    await Promise.race([appear(devices), ...backends.map(tooEarly)]);
    const guest = startChild("QEMU", command, options.console);
    const all = [guest, ...backends];
    return {
      ended: endOfAll(guest, backends),
      stop: () => {
        for (const child of all) child.kill();
      },
    };
  } catch (error) {
    stop();
    throw error;
  }
}

/** How the guest ended. One whose device is gone is of no use, and is ended too. */
async function endOfAll(guest: Child, backends: readonly Child[]): Promise<string | null> {
  // A backend goes, and is well, when its guest has gone.
  const lost = backends.map(async ({ ended }) => (await ended) ?? (await guest.ended));
  const how = await Promise.race([guest.ended, ...lost]);
  const all = [guest, ...backends];
  for (const child of all) child.kill();
  await Promise.all(all.map(({ ended }) => ended));
  return how;
}

/** The image's parts. The ramdisks lie end to end, as the enclave's loader lays them. */
async function unpack(
  image: MeasuredImage,
  folder: string,
): Promise<Readonly<Record<"kernel" | "ramdisks" | "cmdline", string>>> {
  async function* chunks(type: "kernel" | "ramdisk" | "cmdline"): AsyncGenerator<Uint8Array> {
    for (const section of image.sections) {
      if (section.type === type) yield* sectionChunks(image, section);
    }
  }
  const [kernel, ramdisks] = [join(folder, "kernel"), join(folder, "ramdisks")];
  await pipeline(Readable.from(chunks("kernel")), createWriteStream(kernel));
  await pipeline(Readable.from(chunks("ramdisk")), createWriteStream(ramdisks));
  let cmdline = "";
  for await (const chunk of chunks("cmdline")) cmdline += Buffer.from(chunk).toString("latin1");
  return { kernel, ramdisks, cmdline };
}

function nsmBackend(packages: Packages, image: MeasuredImage, folder: string): ProgramCommand {
  const registers = [image.pcr0, image.pcr1, image.pcr2];
  const measured = registers.flatMap((value, index) => [`--pcr${index}`, encodeHex(value)]);
  const words = [BACKEND, "--socket", nsmDevicePath(folder), "--root", folder, ...measured];
  return packages.command("python3", words);
}

function vsockBackend(packages: Packages, { folder, cid }: MachineOptions): ProgramCommand {
  const paths = `socket=${vsockDevicePath(folder)},uds-path=${vsockPath(folder)}`;
  const device = `guest-cid=${cid},${paths},tx-buffer-size=${TX_BUFFER_BYTES}`;
  return packages.command("vhost-device-vsock", ["--vm", device]);
}

async function tooEarly({ ended }: Child): Promise<never> {
  throw new Error((await ended) ?? "a backend ended before the machine began");
}

async function appear(paths: readonly string[]): Promise<void> {
  const startedMs = performance.now();
  while (!paths.every((path) => existsSync(path))) {
    if (performance.now() - startedMs > READY_MS) throw new Error("the backends do not listen");
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
