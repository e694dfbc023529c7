import { describe, expect, it } from "vitest";
import { CODE_ROOT, codeFiles } from "../../../enclave/simulation/measure.ts";
import {
  moduleGraph,
  PRODUCTION_ENTRY,
  SIMULATED_ENTRY,
  simulationIn,
  tcbText,
} from "../../tcb.ts";

const production = moduleGraph([PRODUCTION_ENTRY]);
const simulated = moduleGraph([SIMULATED_ENTRY]);

describe("the module graph", () => {
  it("of the production entry holds the enclave, and nothing of the simulation", () => {
    expect(production.modules).toContain("enclave/gateway.ts");
    expect(production.modules).toContain("enclave/engine/worker.ts");
    expect(production.modules).toContain("attestation/receipt.ts");
    expect(production.modules).toContain("protocol/native/index.ts");
    expect(simulationIn(production)).toEqual([]);
  });

  it("of the simulated entry holds the simulation: the test above can fail", () => {
    expect(simulationIn(simulated)).toContain("enclave/simulation/nsm.ts");
    for (const path of production.modules) expect(simulated.modules).toContain(path);
  });

  it("holds neither host, client, tests nor the browser's fallback", () => {
    const foreign = simulated.modules.filter((path) =>
      /^(?:host|client|test|bench|protocol\/fallback)\//u.test(path),
    );
    expect(foreign).toEqual([]);
  });

  it("is measured, and of packages holds the known ones", async () => {
    const measured = await codeFiles(CODE_ROOT);
    expect(simulated.modules.filter((path) => !measured.includes(path))).toEqual([]);
    expect(simulated.packages).toEqual([
      "@huggingface/jinja",
      "@huggingface/tokenizers",
      "hono",
      "onnxruntime-common",
      "onnxruntime-node",
    ]);
    expect(await tcbText()).toContain("  hono 4.");
  });
});
