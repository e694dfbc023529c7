/** The ways of having an enclave. */
import { fileURLToPath } from "node:url";
import type { EnclaveContact } from "./contact.ts";
import type { EnclaveAddress } from "./enclave-address.ts";
import type { NitroTee, Tee } from "./tee.ts";

/** A program and its arguments. */
export interface Program {
  readonly file: string;
  readonly args: readonly string[];
}

/** What makes the enclave, and where it is reached. */
export type EnclaveCommand =
  /** The program is the enclave itself: its standard output is its log. */
  | (Program & { readonly kind: "process"; readonly address: EnclaveAddress })
  /** The program runs in the foreground for exactly as long as its enclave. */
  | (Program & {
      readonly kind: "runner";
      readonly address: EnclaveAddress;
      readonly contact: EnclaveContact;
    })
  /** Somebody else runs it. */
  | {
      readonly kind: "attached";
      readonly address: EnclaveAddress;
      readonly contact: EnclaveContact;
    };

/** What a node gives whoever makes the command: its own paths, and what the command line said. */
export interface EnclaveSetting {
  readonly tee: Tee;
  /** The file of key services in place of the committed one; of an image, it is in the image. */
  readonly keyServices: string | null;
  readonly enclaveSocket: string;
  readonly provisionSocket: string;
  readonly vendorKey: string;
  readonly contact: EnclaveContact;
}

/** The command for the TEE that was asked for. */
export function enclaveCommand(setting: EnclaveSetting): EnclaveCommand {
  const { tee, contact } = setting;
  switch (tee.kind) {
    case "simulated":
      return simulatedEnclave({ ...setting, simulateDebug: tee.debug });
    case "nitro":
      return nitroEnclave(tee, contact);
    default:
      return tee satisfies never;
  }
}

/** The simulated TEE: the enclave's own entry as a process of this machine, and nothing more. */
export function simulatedEnclave(paths: {
  readonly enclaveSocket: string;
  readonly provisionSocket: string;
  readonly vendorKey: string;
  readonly keyServices: string | null;
  readonly simulateDebug: boolean;
}): EnclaveCommand {
  const entry = fileURLToPath(new URL("../enclave/simulated.ts", import.meta.url));
  const sockets = ["--listen", paths.enclaveSocket, "--provision", paths.provisionSocket];
  const { keyServices } = paths;
  const measured = keyServices === null ? [] : ["--key-services", keyServices];
  const debug = paths.simulateDebug ? ["--debug"] : [];
  return {
    kind: "process",
    file: process.execPath,
    args: [entry, ...sockets, "--vendor-key", paths.vendorKey, ...measured, ...debug],
    address: { kind: "unix", path: paths.enclaveSocket },
  };
}

const NITRO_RUNNER = fileURLToPath(new URL("nitro-runner.ts", import.meta.url));

/** Run by this Node, whatever another one the machine has. */
export function isScript(program: string): boolean {
  return /\.(?:js|mjs|ts)$/u.test(program);
}

function nitroEnclave(tee: NitroTee, contact: EnclaveContact): EnclaveCommand {
  const { enclave: address, run, cpus, memoryMib, cid } = tee;
  if (run.kind === "attached") return { kind: "attached", address, contact };
  const program = run.program ?? NITRO_RUNNER;
  const words = ["--image", run.image, "--cpus", `${cpus}`];
  const args = [...words, "--memory", `${memoryMib}`, "--cid", `${cid}`];
  if (!isScript(program)) return { kind: "runner", file: program, args, address, contact };
  return { kind: "runner", file: process.execPath, args: [program, ...args], address, contact };
}
