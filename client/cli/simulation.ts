import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { CommandError } from "./exit.ts";
import { systemCode } from "./files.ts";
import { hashRepository } from "./models.ts";
import { requireObject, requireText } from "./model-metadata.ts";
import { SIMULATION_PROGRAM } from "./paths.ts";
import { composePolicy, type PlatformEntry, type PolicyFile } from "./policies.ts";
import { runProgram } from "./process.ts";

/** The simulated vendor's key lies here in a node's state directory; `openState` of the host says so. */
export const VENDOR_KEY_NAME = "simulated-vendor.pem";
/** What verdicts call the code of this checkout. */
const MEASUREMENT_NAME = "development";
const PRIVATE_DIRECTORY = 0o700;

/**
 * The policy for the simulated TEE of this checkout: its code as it lies here, the vendor key of
 * `state`, and the models of a repository.
 *
 * All of it comes from local files. Nothing is asked of a node.
 *
 * @param keyServices - the file of key services that the node is given; null is this checkout's own.
 */
export async function developmentPolicy(
  state: string,
  models: string,
  nowMs: number,
  keyServices: string | null = null,
): Promise<PolicyFile> {
  const [entry, hashed] = await Promise.all([
    measureSimulation(state, keyServices),
    hashRepository(models),
  ]);
  return composePolicy("simulated", entry, hashed, nowMs);
}

/** Reference values of the simulated enclave. Makes the vendor's key where there is none yet. */
export async function measureSimulation(
  state: string,
  keyServices: string | null,
): Promise<PlatformEntry> {
  await mkdir(state, { recursive: true, mode: PRIVATE_DIRECTORY }).catch((error: unknown) => {
    throw new CommandError(
      `cannot make ${state}: ${systemCode(error)}`,
      "the simulated vendor's key lies there: go to a directory that you may write",
    );
  });
  const vendorKey = join(state, VENDOR_KEY_NAME);
  const chosen = keyServices === null ? [] : ["--key-services", keyServices];
  const words = ["--measure", "--vendor-key", vendorKey, ...chosen];
  const output = await runProgram(SIMULATION_PROGRAM, words);
  const line = output.trim().split("\n").at(-1) ?? "";
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new CommandError(`${SIMULATION_PROGRAM} --measure printed no JSON`);
  }
  const measured = requireObject(value, "the simulation's measurement");
  const text = (name: string): string => requireText(measured[name], name);
  return {
    roots: [text("rootSha256")],
    rootCertificates: [text("rootCertificate")],
    measurements: [
      { name: MEASUREMENT_NAME, pcr0: text("pcr0"), pcr1: text("pcr1"), pcr2: text("pcr2") },
    ],
    debug: false,
  };
}
