/** The host's own program around the plain enclave: `plain-node.ts TARGET [options of the host]`. */
import { fileURLToPath } from "node:url";
import { runNode } from "../host/run.ts";
import { DEFAULT_TIMING } from "../host/supervisor.ts";

const ENCLAVE = fileURLToPath(new URL("plain-enclave.ts", import.meta.url));
const [target = "", ...argv] = process.argv.slice(2);

process.exit(
  await runNode({
    argv,
    enclave: ({ enclaveSocket, provisionSocket }) => ({
      kind: "process",
      file: process.execPath,
      args: [
        ENCLAVE,
        "--target",
        target,
        "--listen",
        enclaveSocket,
        "--provision",
        provisionSocket,
      ],
      address: { kind: "unix", path: enclaveSocket },
    }),
    timing: DEFAULT_TIMING,
  }),
);
