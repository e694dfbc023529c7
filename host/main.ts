/** Entry of the untrusted machine: `node host/main.ts --models DIR …`. */
import { enclaveCommand } from "./enclave-command.ts";
import { runNode } from "./run.ts";
import { DEFAULT_TIMING } from "./supervisor.ts";

process.exit(
  await runNode({
    argv: process.argv.slice(2),
    enclave: enclaveCommand,
    timing: DEFAULT_TIMING,
  }),
);
