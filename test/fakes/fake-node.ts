/** The host's own program with a fake enclave and short times. `FAKE_BOOT` is the fake's `--boot`. */
import { fileURLToPath } from "node:url";
import { runNode } from "../../host/run.ts";
import { DEFAULT_TIMING } from "../../host/supervisor.ts";

const entry = fileURLToPath(new URL("./fake-enclave.ts", import.meta.url));
const boot = process.env["FAKE_BOOT"] ?? "good";

process.exit(
  await runNode({
    argv: process.argv.slice(2),
    enclave: ({ enclaveSocket, provisionSocket, vendorKey }) => ({
      kind: "process",
      file: process.execPath,
      args: [
        entry,
        `--listen=${enclaveSocket}`,
        `--provision=${provisionSocket}`,
        `--vendor-key=${vendorKey}`,
        `--boot=${boot}`,
      ],
      address: { kind: "unix", path: enclaveSocket },
    }),
    timing: { ...DEFAULT_TIMING, statusIntervalMs: 100, backoffFirstMs: 50, bootTimeoutMs: 20_000 },
  }),
);
