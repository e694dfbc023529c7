/** As set-up.ts, and the QEMU that boots images itself, which takes minutes the first time. */
import type { TestProject } from "vitest/node";
import { Unavailable } from "./archive.ts";
import { prepareNitroQemu } from "./nitro-qemu.ts";
import { cacheFolder } from "./packages.ts";
import { setup as setupPackages } from "./set-up.ts";

declare module "vitest" {
  // oxlint-disable-next-line typescript/consistent-type-definitions -- vitest's is an interface, to be merged with
  interface ProvidedContext {
    /** Where that QEMU lies; null where it cannot be had. */
    readonly nitroQemu: string | null;
  }
}

export async function setup(project: TestProject): Promise<void> {
  await setupPackages(project);
  try {
    const folder = await prepareNitroQemu(cacheFolder());
    console.log(`QEMU with a Nitro Enclave of its own: ${folder}`);
    project.provide("nitroQemu", folder);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    console.warn(`skipped: no QEMU with a Nitro Enclave of its own: ${error.message}`);
    project.provide("nitroQemu", null);
  }
}
