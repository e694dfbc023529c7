/** Entry of the untrusted machine: `node host/main.ts --models DIR …`. */
import { simulatedEnclave } from "./enclave-process.ts";
import { runNode } from "./run.ts";
import { DEFAULT_TIMING } from "./supervisor.ts";

process.exit(
  await runNode({
    argv: process.argv.slice(2),
    enclave: simulatedEnclave,
    timing: DEFAULT_TIMING,
  }),
);
