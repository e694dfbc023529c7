import { describe, expect, it } from "vitest";
import { CODE_ROOT, codeFiles } from "../../../enclave/simulation/measure.ts";
import {
  INIT_ENTRY,
  moduleGraph,
  PRODUCTION_ENTRY,
  SIMULATED_ENTRY,
  simulationIn,
  tcbText,
} from "../../tcb.ts";

const production = moduleGraph([PRODUCTION_ENTRY, INIT_ENTRY]);
const simulated = moduleGraph([SIMULATED_ENTRY]);

describe("the module graph", () => {
  it("of the production entry holds the enclave, and nothing of the simulation", () => {
    expect(production.modules).toContain("enclave/gateway.ts");
    expect(production.modules).toContain("enclave/engine/worker.ts");
    expect(production.modules).toContain("attestation/receipt.ts");
    expect(production.modules).toContain("protocol/native/index.ts");
    expect(production.modules).toContain("enclave/nsm/device.ts");
    expect(production.modules).toContain("enclave/system/kernel.ts");
    expect(production.modules).toContain("vsock/index.ts");
    expect(simulationIn(production)).toEqual([]);
  });

  it("of the simulated entry holds the simulation: the test above can fail", () => {
    expect(simulationIn(simulated)).toContain("enclave/simulation/nsm.ts");
  });

  it("of both entries holds the same from boot.ts on", () => {
    const shared = moduleGraph(["enclave/boot.ts"]).modules;
    expect(shared).toContain("enclave/epoch.ts");
    for (const path of shared) {
      expect(production.modules).toContain(path);
      expect(simulated.modules).toContain(path);
    }
  });

  it("of the simulated entry holds no device, no vsock and nothing native but the engine", () => {
    const native = simulated.modules.filter((path) => /^(?:vsock|enclave\/system)\//u.test(path));
    expect([...native, ...simulated.packages.filter((name) => name === "koffi")]).toEqual([]);
  });

  it("holds neither host, client, tests nor the browser's fallback", () => {
    const foreign = [...production.modules, ...simulated.modules].filter((path) =>
      /^(?:host|client|test|bench|protocol\/fallback)\//u.test(path),
    );
    expect(foreign).toEqual([]);
  });

  it("is measured, and of packages holds the known ones", async () => {
    const measured = await codeFiles(CODE_ROOT);
    const loaded = [...production.modules, ...simulated.modules];
    expect(loaded.filter((path) => !measured.includes(path))).toEqual([]);
    expect(production.packages).toEqual([
      "@aws-sdk/client-kms",
      "@aws-sdk/core",
      "@aws-sdk/credential-provider-env",
      "@aws-sdk/credential-provider-node",
      "@aws-sdk/xml-builder",
      "@aws/lambda-invoke-store",
      "@huggingface/jinja",
      "@huggingface/tokenizers",
      "@smithy/core",
      "@smithy/node-http-handler",
      "@smithy/signature-v4",
      "@smithy/types",
      "hono",
      "koffi",
      "node-forge",
      "onnxruntime-common",
      "onnxruntime-node",
    ]);
    expect(await tcbText()).toContain("  hono 4.");
  });
});
