/**
 * What the emulation is made of, in a folder that lasts: QEMU, the two backends' programs, Debian's
 * kernel with the modules that an emulated enclave needs.
 *
 * QEMU and vhost-device-vsock are newer than this machine's libraries, so each program is started by
 * the loader of its own tree.
 */
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  newestPackage,
  openArchive,
  requireProgram,
  Unavailable,
  unpackClosure,
  unpackPackage,
} from "./archive.ts";

const run = promisify(execFile);

/** Grows when what lies in the folder changes; an older folder is left alone. */
const LAYOUT = "v2";
const SUITE = "forky";
const KERNEL_SUITE = "bookworm-backports";
const PROGRAMS = ["qemu-system-x86", "vhost-device-vsock", "python3", "python3-cryptography"];
/** Linux has a driver of its own for the module since 6.8, and Debian's cloud kernel builds it. */
const KERNEL = /^linux-image-6\.12\.\d+\+deb12(?:\.\d+)?-cloud-amd64$/u;
/** In the order in which they are loaded. The first finds the devices, which microvm has by MMIO. */
const MODULES: readonly string[] = [
  "drivers/virtio/virtio_mmio",
  "net/vmw_vsock/vsock",
  "net/vmw_vsock/vmw_vsock_virtio_transport_common",
  "net/vmw_vsock/vmw_vsock_virtio_transport",
  "net/vmw_vsock/vsock_loopback",
  "drivers/misc/nsm",
];
const MAX_MODULE_BYTES = 8 << 20;

/** A program of the unpacked tree, as `spawn` takes it. */
export interface ProgramCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export class Packages {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  get kernel(): string {
    return join(this.folder, "kernel", "vmlinuz");
  }

  /** Uncompressed, in the order in which they are loaded. */
  get modules(): readonly string[] {
    const folder = join(this.folder, "kernel", "modules");
    return readdirSync(folder)
      .toSorted()
      .map((name) => join(folder, name));
  }

  /** Folders of firmware, for QEMU's -L. */
  get firmware(): readonly string[] {
    return ["seabios", "qemu"].map((name) => join(this.folder, "tree", "usr", "share", name));
  }

  command(program: string, args: readonly string[]): ProgramCommand {
    const user = join(this.folder, "tree", "usr");
    const libraries = join(user, "lib", "x86_64-linux-gnu");
    const loader = join(libraries, "ld-linux-x86-64.so.2");
    const words = ["--inhibit-cache", "--library-path", libraries, join(user, "bin", program)];
    return {
      file: loader,
      args: [...words, ...args],
      // Python looks for its library beside the program that was started, which is the loader.
      env: {
        LC_ALL: "C.UTF-8",
        PYTHONHOME: user,
        PYTHONPATH: join(user, "lib", "python3", "dist-packages"),
        PYTHONDONTWRITEBYTECODE: "1",
      },
    };
  }
}

/** Where packages are kept between runs. */
export function cacheFolder(): string {
  const named = process.env["COUNTERSIGN_EMULATION_CACHE"];
  return named ?? join(homedir(), ".cache", "countersign-emulation");
}

/** The packages, fetched the first time. @throws {@link Unavailable} where they cannot be had. */
export async function preparePackages(cache: string): Promise<Packages> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Unavailable("the emulated machine is x86-64 under Linux");
  }
  requireProgram("setpriv");
  return new Packages(await filledOnce(cache, LAYOUT, fill));
}

/** The folder `name` of `cache`, which `fill` fills the first time; the path is the folder's. */
export async function filledOnce(
  cache: string,
  name: string,
  fillFolder: (draft: string) => Promise<void>,
): Promise<string> {
  const ready = join(cache, name);
  if (existsSync(ready)) return ready;
  await mkdir(cache, { recursive: true });
  const draft = await mkdtemp(join(cache, "draft-"));
  try {
    await fillFolder(draft);
    // Whole or not at all: a set-up that breaks off leaves nothing that looks ready.
    await rename(draft, ready).catch((error: unknown) => {
      if (!existsSync(ready)) throw error;
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return ready;
}

async function fill(folder: string): Promise<void> {
  const apt = join(folder, "apt");
  const archive = await openArchive(apt, [SUITE, KERNEL_SUITE]);
  await unpackClosure(archive, SUITE, [...PROGRAMS, "xz-utils"], join(folder, "tree"));
  const kernel = await newestPackage(archive, "^linux-image-6.12.*-cloud-amd64$", KERNEL);
  const unpacked = join(apt, "kernel");
  await unpackPackage(archive, kernel, unpacked);
  const release = kernel.replace("linux-image-", "");
  await mkdir(join(folder, "kernel", "modules"), { recursive: true });
  await copyFile(join(unpacked, "boot", `vmlinuz-${release}`), join(folder, "kernel", "vmlinuz"));
  const packages = new Packages(folder);
  for (const [index, module] of MODULES.entries()) {
    const packed = join(unpacked, "lib", "modules", release, "kernel", `${module}.ko.xz`);
    const name = `${10 * (index + 1)}-${module.slice(module.lastIndexOf("/") + 1)}.ko`;
    await writeFile(join(folder, "kernel", "modules", name), await unpackModule(packages, packed));
  }
  await rm(apt, { recursive: true });
}

async function unpackModule(packages: Packages, packed: string): Promise<Uint8Array> {
  const { file, args, env } = packages.command("xz", ["--decompress", "--stdout", packed]);
  const settings = { encoding: "buffer", env, maxBuffer: MAX_MODULE_BYTES } as const;
  return (await run(file, [...args], settings)).stdout;
}
