import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readDecoderGraph } from "../../../../../enclave/engine/graph/decoder.ts";
import { decoderExport } from "../../../../fakes/decoder/index.ts";
import { ORACLE_SPECS } from "../../../../fakes/decoder/oracle-specs.ts";
import { DecoderRun } from "../../../../fakes/decoder/run.ts";

// Our made-up decoders are what they say: with the same weights, transformers answers the same. What
// it answered is in expected.json (see oracle.py), so that no test needs Python.

/** Of logits whose deviation is 3; both sides compute in 32 bits, in another order. */
const TOLERANCE = 2e-3;

interface Expectation {
  readonly prompt: readonly number[];
  readonly tokens: readonly number[];
  readonly firstLogits: readonly number[];
  readonly lastLogits: readonly number[];
}

const file = new URL("../../../../fakes/decoder/expected.json", import.meta.url);
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own file, written by oracle.py
const expected = JSON.parse(readFileSync(file, "utf8")) as Record<string, Expectation>;

it("has an expectation of every decoder", () => {
  expect(Object.keys(expected).sort()).toEqual(Object.keys(ORACLE_SPECS).sort());
});

describe.each(Object.entries(ORACLE_SPECS))("%s", (name, spec) => {
  const { prompt, tokens, firstLogits, lastLogits } = expected[name] ?? {
    prompt: [],
    tokens: [],
    firstLogits: [],
    lastLogits: [],
  };

  it.each(["concat", "gqa"] as const)("answers as transformers does, as %s", async (form) => {
    const graph = new Uint8Array(decoderExport({ ...spec, form }).get("onnx/model.onnx") ?? []);
    const run = await DecoderRun.open(readDecoderGraph(graph), [], 1, form === "gqa" ? 32 : null);
    const found: number[] = [];
    const logits: Float32Array[] = [];
    let next = [...prompt];
    while (found.length < tokens.length) {
      const step = await run.step([next]);
      next = [...step.tokens];
      found.push(...step.tokens);
      logits.push(...step.logits);
    }
    await run.close();
    expect(found).toEqual(tokens);
    expectClose(logits[0], firstLogits);
    expectClose(logits.at(-1), lastLogits);
  });
});

function expectClose(found: Float32Array | undefined, wanted: readonly number[]): void {
  expect(wanted.length).toBeGreaterThan(0);
  const differences = wanted.map((value, i) => Math.abs(value - (found?.[i] ?? Number.NaN)));
  expect(Math.max(...differences)).toBeLessThan(TOLERANCE);
}
