/** How QEMU is started: as a machine of its own making, or as one that reads the image itself. */
import { join } from "node:path";
import type { Packages, ProgramCommand } from "./packages.ts";

/** Virtio's device identifiers: 33 is the Nitro Secure Module. */
const NSM_DEVICE_ID = 33;

export interface GuestSetting {
  readonly cpus: number;
  readonly memoryMib: number;
  readonly folder: string;
}

export interface GuestParts {
  readonly kernel: string;
  readonly ramdisks: string;
  readonly cmdline: string;
}

/** Where in `folder` QEMU finds the backend of its vsock device. */
export function vsockDevicePath(folder: string): string {
  return join(folder, "vsock-device.sock");
}

/** Where in `folder` QEMU finds the backend of its security module. */
export function nsmDevicePath(folder: string): string {
  return join(folder, "nsm.sock");
}

/** Where in `folder` QEMU writes its process id. */
export function pidPath(folder: string): string {
  return join(folder, "qemu.pid");
}

/**
 * Debian's QEMU: a microvm with a vsock device and a security module. It has no PCI: devices are on
 * MMIO, and ACPI tells the kernel where.
 */
export function microvm(
  packages: Packages,
  setting: GuestSetting,
  { kernel, ramdisks, cmdline }: GuestParts,
): ProgramCommand {
  const { folder, memoryMib } = setting;
  // The command line is the image's, and no more: a register covers it. The backends serve their
  // queues in the guest's own memory.
  const machine = {
    M: "microvm,acpi=on,auto-kernel-cmdline=off,memory-backend=memory",
    object: `memory-backend-memfd,id=memory,size=${memoryMib}M,share=on`,
    kernel,
    initrd: ramdisks,
    append: cmdline,
  };
  const nsm = `vhost-user-test-device,chardev=nsm,virtio-id=${NSM_DEVICE_ID},num_vqs=1`;
  const nsmBackend = `socket,id=nsm,path=${nsmDevicePath(folder)}`;
  const vsock = "vhost-user-vsock-device,chardev=vsock";
  const devices = ["-device", vsock, "-chardev", nsmBackend, "-device", nsm];
  return packages.command("qemu-system-x86_64", [
    ...Object.entries(machine).flatMap(([name, value]) => [`-${name}`, value]),
    ...packages.firmware.flatMap((path) => ["-L", path]),
    ...commonArguments(setting),
    ...devices,
  ]);
}

/**
 * QEMU's own Nitro Enclave, of a build that has it: it reads the image, and measures it. Without ACPI
 * its devices are announced to kernels that take them from their command line; Debian's does not.
 */
export function nitroEnclave(
  packages: Packages,
  command: ProgramCommand,
  setting: GuestSetting,
  image: string,
): ProgramCommand {
  const machine = ["-M", "nitro-enclave,acpi=on,vsock=vsock,id=emulated", "-kernel", image];
  const firmware = packages.firmware.flatMap((path) => ["-L", path]);
  return {
    ...command,
    args: [...command.args, ...machine, ...firmware, ...commonArguments(setting)],
  };
}

function commonArguments({ cpus, memoryMib, folder }: GuestSetting): readonly string[] {
  const words = {
    display: "none",
    monitor: "none",
    serial: "stdio",
    accel: "tcg,thread=multi",
    cpu: "max",
    smp: `${cpus}`,
    m: `${memoryMib}`,
    chardev: `socket,id=vsock,path=${vsockDevicePath(folder)}`,
    pidfile: pidPath(folder),
  };
  const flags = ["-nodefaults", "-no-user-config", "-no-reboot"];
  return [...flags, ...Object.entries(words).flatMap(([name, value]) => [`-${name}`, value])];
}
