/** Fetches the packages before the first test, and says so where the tests cannot run. */
import type { TestProject } from "vitest/node";
import { Unavailable } from "./archive.ts";
import { cacheFolder, preparePackages } from "./packages.ts";

declare module "vitest" {
  // oxlint-disable-next-line typescript/consistent-type-definitions -- vitest's is an interface, to be merged with
  interface ProvidedContext {
    /** Where the packages lie; null where they cannot be had. */
    readonly emulation: string | null;
  }
}

export async function setup(project: TestProject): Promise<void> {
  const startedMs = performance.now();
  try {
    const { folder } = await preparePackages(cacheFolder());
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
    console.log(`packages of the emulation: ${folder}, after ${seconds} s`);
    project.provide("emulation", folder);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    // Whoever relies on these tests asks for them; elsewhere a machine without them may go on.
    if (process.env["COUNTERSIGN_EMULATION"] === "required") throw error;
    console.warn(`skipped: no emulation on this machine: ${error.message}`);
    project.provide("emulation", null);
  }
}
