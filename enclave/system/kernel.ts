import { closeSync, existsSync, openSync, readdirSync } from "node:fs";
import { EnclaveError } from "../errors.ts";
import { lastError, nativeFunction } from "./native.ts";

/** Linux include/uapi/linux/mount.h. */
const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;
/** finit_module(2), which the C library has no function for: its number by architecture. */
const FINIT_MODULE: ReadonlyMap<string, number> = new Map([
  ["x64", 313],
  ["arm64", 273],
]);
const MODULE = /\.ko$/u;

/** One file system without a disk behind it. */
export interface Mount {
  readonly type: "proc" | "sysfs" | "devtmpfs" | "tmpfs";
  readonly target: string;
  /** Options of the file system's own. */
  readonly options: string;
}

/** mount(2); the errno's name where it failed. */
export type MountCall = (mount: Mount, flags: number) => string | null;

/** Mounts each in turn; one that is mounted already stays. @throws EnclaveError `boot/mount`. */
export function mountAll(mounts: readonly Mount[], call: MountCall = systemMount): void {
  for (const mount of mounts) {
    // Devices are what /dev is for, and nowhere else.
    const flags = MS_NOSUID | MS_NOEXEC | (mount.type === "devtmpfs" ? 0 : MS_NODEV);
    const error = call(mount, flags);
    if (error === null || error === "EBUSY") continue;
    throw new EnclaveError("boot/mount", `${mount.type} at ${mount.target}: ${error}`);
  }
}

function systemMount({ type, target, options }: Mount, flags: number): string | null {
  const mount = nativeFunction(
    "int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *options)",
  );
  return mount(type, target, type, flags, options) === 0 ? null : lastError();
}

/**
 * Loads every module of `folder`, in the order of their names; says how many. Where there is no such
 * folder, the kernel has all it needs.
 *
 * @throws EnclaveError `boot/module`.
 */
export function loadModules(folder: string): number {
  if (!existsSync(folder)) return 0;
  try {
    const names = readdirSync(folder).filter((name) => MODULE.test(name));
    for (const name of names.toSorted()) loadModule(`${folder}/${name}`);
    return names.length;
  } catch (cause) {
    if (cause instanceof EnclaveError) throw cause;
    throw new EnclaveError("boot/module", `${folder} cannot be read`, { cause });
  }
}

function loadModule(path: string): void {
  const number = FINIT_MODULE.get(process.arch);
  if (number === undefined) throw new EnclaveError("boot/module", `no call on ${process.arch}`);
  const fd = openSync(path, "r");
  try {
    const load = nativeFunction(
      "long syscall(long number, int fd, const char *parameters, int flags)",
    );
    if (load(number, fd, "", 0) === 0) return;
    const error = lastError();
    // Built in, or loaded before.
    if (error !== "EEXIST") throw new EnclaveError("boot/module", `${path}: ${error}`);
  } finally {
    closeSync(fd);
  }
}
