/** A model that changes between the host's look and the enclave's, with the enclave's own program. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { EnclaveContact } from "../../../host/contact.ts";
import { simulatedEnclave } from "../../../host/enclave-command.ts";
import { serveProvisioning } from "../../../host/provision.ts";
import { scanModels } from "../../../host/store.ts";
import { DEFAULT_TIMING, Supervisor } from "../../../host/supervisor.ts";
import { identityModel } from "../../fakes/onnx-proto.ts";
import { memoryLog, NO_KEYS, onTestEnd, plant, refusalOf, scratch } from "./support.ts";

const GRAPH = identityModel("FP32", [1, 2]);

async function startChanged(change: (file: string) => void): Promise<string> {
  const directory = scratch();
  const run = join(directory, "run");
  mkdirSync(run);
  await plant(directory, { "models/echo/1/model.onnx": GRAPH });
  const { models } = await scanModels(join(directory, "models"));
  change(join(directory, "models/echo/1/model.onnx"));
  const provisionSocket = join(run, "p");
  const choice = {
    epochSeconds: 3600,
    maxBodyBytes: 65_536,
    cacheBytes: 1 << 24,
    maxSequences: 4,
    cpus: 1,
  };
  const { log } = memoryLog();
  const services = { kind: "unix", path: provisionSocket } as const;
  const contact = new EnclaveContact(log);
  const server = await serveProvisioning(services, models, choice, contact, NO_KEYS);
  onTestEnd(() => server.close());
  const command = simulatedEnclave({
    enclaveSocket: join(run, "e"),
    provisionSocket,
    vendorKey: join(directory, "vendor.pem"),
    keyServices: null,
    simulateDebug: false,
  });
  const supervisor = new Supervisor(command, DEFAULT_TIMING, log);
  onTestEnd(() => supervisor.stop());
  const refusal = await refusalOf(() => supervisor.start());
  expect(refusal.code).toBe("enclave/boot");
  return refusal.message;
}

describe("a model that changed after it was hashed", () => {
  it.each<[string, string, (file: string) => void]>([
    [
      "another byte",
      "model/hash",
      (file) => {
        const bytes = readFileSync(file);
        bytes[9] = (bytes[9] ?? 0) ^ 1;
        writeFileSync(file, bytes);
      },
    ],
    [
      "another length",
      "provision/status",
      (file) => {
        writeFileSync(file, "short");
      },
    ],
  ])("is not served, and its operator told which it is (%s)", async (_, code, change) => {
    const message = await startChanged(change);
    expect(message).toContain(`ended with status 1: ${code} (echo/1). The model's files are not`);
  });

  it("is served where nothing but its mode changed", async () => {
    await expect(startChanged((file) => chmodSync(file, 0o400))).rejects.toThrow("not refused");
  });
});
