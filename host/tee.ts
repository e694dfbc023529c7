/** What kind of enclave the node has, as the command line says. */
import { resolve } from "node:path";
import {
  type EnclaveAddress,
  parseEnclaveAddress,
  parseServicesAddress,
  type ServicesAddress,
} from "./enclave-address.ts";
import { HostError } from "./errors.ts";
import { parseCount, requireText } from "./flags.ts";
import {
  DEFAULT_CID,
  DEFAULT_CPUS,
  DEFAULT_ENCLAVE_PORT,
  DEFAULT_MEMORY_MIB,
  DEFAULT_SERVICES_PORT,
  MAX_CID,
  MAX_CPUS,
  MAX_MEMORY_MIB,
  MIN_CID,
  MIN_MEMORY_MIB,
} from "./limits.ts";

export type Tee =
  /** `debug`: it measures as one that a debugger may read, and no client should accept it. */
  { readonly kind: "simulated"; readonly debug: boolean } | NitroTee;

/** An AWS Nitro Enclave, or a machine that stands for one. */
export interface NitroTee {
  readonly kind: "nitro";
  readonly enclave: EnclaveAddress;
  readonly services: ServicesAddress;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly cid: number;
  readonly run:
    | { readonly kind: "runner"; readonly program: string | null; readonly image: string }
    | { readonly kind: "attached" };
}

/** Flags that only a TEE of hardware has. */
export interface TeeFlags {
  readonly tee?: string | undefined;
  readonly "simulate-debug"?: boolean | undefined;
  readonly image?: string | undefined;
  readonly cpus?: string | undefined;
  readonly memory?: string | undefined;
  readonly cid?: string | undefined;
  readonly enclave?: string | undefined;
  readonly services?: string | undefined;
  readonly runner?: string | undefined;
  readonly attach?: boolean | undefined;
}

const NITRO_ONLY = [
  "image",
  "cpus",
  "memory",
  "cid",
  "enclave",
  "services",
  "runner",
  "attach",
] as const satisfies readonly (keyof TeeFlags)[];

/** Platforms that clients verify and this release cannot run. */
const OTHER_PLATFORMS: readonly string[] = ["aws-nitrotpm", "amd-sev-snp", "intel-tdx"];

/** @throws {@link HostError} `arguments/usage`, `arguments/tee`. */
export function parseTee(flags: TeeFlags, directory: string): Tee {
  const tee = flags.tee ?? "simulated";
  switch (tee) {
    case "simulated":
      for (const name of NITRO_ONLY) {
        if (flags[name] !== undefined) throw usage(`--${name} is for --tee nitro`);
      }
      return { kind: "simulated", debug: flags["simulate-debug"] === true };
    case "nitro":
      return parseNitro(flags, directory);
    default: {
      const cannot = OTHER_PLATFORMS.includes(tee)
        ? `${tee} is verified by clients but cannot be run yet`
        : JSON.stringify(tee);
      throw new HostError("arguments/tee", `--tee ${cannot}: want simulated or nitro`);
    }
  }
}

function parseNitro(flags: TeeFlags, directory: string): NitroTee {
  if (flags["simulate-debug"] === true) throw usage("--simulate-debug is for --tee simulated");
  const asked = parseCount("--cid", flags.cid, DEFAULT_CID, MIN_CID, MAX_CID);
  const at = `vsock:${asked}:${DEFAULT_ENCLAVE_PORT}`;
  const enclave = parseEnclaveAddress(flags.enclave ?? at, directory);
  const cid = enclave.kind === "vsock" && flags.cid === undefined ? enclave.cid : asked;
  if (enclave.kind === "vsock" && enclave.cid !== cid) {
    throw usage(`--cid ${cid} is not the id in --enclave ${flags.enclave ?? at}: leave one out`);
  }
  const run = parseRun(flags, directory);
  // On a machine of one's own an attached enclave may be on the machine itself.
  if (cid < MIN_CID && run.kind === "runner") {
    throw usage(`--enclave ${flags.enclave ?? at}: a runner is given an id from ${MIN_CID}`);
  }
  // A monitor's guest comes to a socket of the monitor's, whose path is nobody's to guess.
  if (enclave.kind !== "vsock" && flags.services === undefined) {
    throw usage(
      `--enclave ${flags.enclave ?? at} wants --services: where the enclave finds its host`,
    );
  }
  const { services = `vsock::${DEFAULT_SERVICES_PORT}` } = flags;
  return {
    kind: "nitro",
    enclave,
    services: parseServicesAddress(services, directory, cid),
    cpus: parseCount("--cpus", flags.cpus, DEFAULT_CPUS, 1, MAX_CPUS),
    memoryMib: parseCount(
      "--memory",
      flags.memory,
      DEFAULT_MEMORY_MIB,
      MIN_MEMORY_MIB,
      MAX_MEMORY_MIB,
    ),
    cid,
    run,
  };
}

function parseRun(flags: TeeFlags, directory: string): NitroTee["run"] {
  const { image, runner, attach } = flags;
  if (attach === true) {
    if (image !== undefined || runner !== undefined) {
      throw usage(
        "--attach is for an enclave that somebody else runs: leave out --image, --runner",
      );
    }
    return { kind: "attached" };
  }
  if (image === undefined) {
    throw usage("--tee nitro wants --image FILE.eif, or --attach where somebody else runs it");
  }
  return {
    kind: "runner",
    image: resolve(directory, requireText("--image", image)),
    program: runner === undefined ? null : resolve(directory, requireText("--runner", runner)),
  };
}

function usage(found: string): HostError {
  return new HostError("arguments/usage", found);
}
