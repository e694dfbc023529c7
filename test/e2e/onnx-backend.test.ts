import { existsSync } from "node:fs";
import { basename } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EnclaveError } from "../../enclave/errors.ts";
import { type RealNode, startRealNode } from "../fakes/real-node.ts";
import { serveTestModels } from "../fakes/served.ts";
import { caseFiles, listCases, runCase, unservable } from "../onnx-backend.ts";

const ROOT = new URL("../../../shared/vectors/onnx-backend", import.meta.url).pathname;

/** What this ONNX Runtime has no kernel for. Everything else has to pass. */
const NO_KERNEL = new Map([
  ["test_gradient_of_add", "training: ai.onnx.preview.training Gradient"],
  ["test_gradient_of_add_and_mul", "training: ai.onnx.preview.training Gradient"],
  ["test_operator_add_broadcast", "Add of opset 6"],
  ["test_operator_add_size1_broadcast", "Add of opset 6"],
  ["test_operator_add_size1_right_broadcast", "Add of opset 6"],
  ["test_operator_add_size1_singleton_broadcast", "Add of opset 6"],
  ["test_operator_addconstant", "Add of opset 6"],
  ["test_operator_addmm", "Gemm of opset 6"],
  ["test_operator_basic", "Add of opset 6"],
  ["test_operator_mm", "Gemm of opset 6"],
  ["test_operator_non_float_params", "Add of opset 6"],
  ["test_operator_params", "Add of opset 6"],
  ["test_operator_pow", "Pow of opset 1"],
]);

/** StringNormalizer that folds case: it needs the locale en_US.UTF-8, which not every machine has. */
const NEEDS_LOCALE = new Set([
  "test_strnorm_model_monday_casesensintive_lower",
  "test_strnorm_model_monday_casesensintive_upper",
  "test_strnorm_model_monday_empty_output",
  "test_strnorm_model_monday_insensintive_upper_twodim",
]);

const present = existsSync(ROOT);
if (!present) console.warn("no conformance cases in ../shared/vectors/onnx-backend: skipped");
const cases = present ? listCases(ROOT) : [];

/** Why ONNX Runtime does not load a case's model, or null where it does. */
async function loadFailure(dir: string): Promise<string | null> {
  try {
    await (await serveTestModels([{ id: basename(dir), files: caseFiles(dir) }])).served.close();
    return null;
  } catch (error) {
    if (!(error instanceof EnclaveError) || error.code !== "model/load") throw error;
    return String(error.cause);
  }
}

const localeCase = cases.find((dir) => NEEDS_LOCALE.has(basename(dir)));
const localeFailure = localeCase === undefined ? null : await loadFailure(localeCase);
if (localeFailure !== null) {
  console.warn(`no locale en_US.UTF-8 here: ${[...NEEDS_LOCALE].join(", ")} skipped`);
}

function skipped(dir: string): boolean {
  const name = basename(dir);
  return (
    unservable(dir) !== null ||
    NO_KERNEL.has(name) ||
    (NEEDS_LOCALE.has(name) && localeFailure !== null)
  );
}

describe.skipIf(!present)("what ONNX Runtime here cannot load", () => {
  it.each(cases.filter((dir) => NO_KERNEL.has(basename(dir))))(
    "no kernel, so skipped below: %s",
    async (dir) => {
      expect(await loadFailure(dir)).toMatch(
        /is not a registered|Could not find an implementation/u,
      );
    },
  );

  it("skips what needs a locale only where the machine lacks it", () => {
    expect(localeFailure ?? "en_US.UTF-8").toContain("en_US.UTF-8");
  });
});

describe.skipIf(!present)("ONNX backend conformance through a real node and client", () => {
  let node: RealNode;

  beforeAll(async () => {
    const served = cases.filter((dir) => !skipped(dir));
    node = await startRealNode(served.map((dir) => ({ id: basename(dir), files: caseFiles(dir) })));
  });
  afterAll(() => node.close());

  for (const dir of cases) {
    for (const encoding of ["binary", "json"] as const) {
      it.skipIf(skipped(dir))(`${basename(dir)} (${encoding})`, async () => {
        const result = await runCase(dir, node.connection.fetch, encoding);
        expect(result).toEqual({ status: "passed", dataSets: 1 });
      });
    }
  }
});
