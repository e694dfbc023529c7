import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { readDecoderGraph } from "../../../../../enclave/engine/graph/decoder.ts";
import type { DecoderGraph } from "../../../../../enclave/engine/graph/decoder.ts";
import { type DecoderSpec, decoderExport, graphPath } from "../../../../fakes/decoder/index.ts";
import { DecoderRun, unconverted } from "../../../../fakes/decoder/run.ts";

// The graph that we make answers exactly as the graph that we were given: the same bits of the last
// logits and of every key and value, in every form, for several sequences, over several steps.

const ARCHITECTURES = [
  "llama",
  "mistral",
  "qwen2",
  "qwen3",
  "gemma",
  "gemma2",
  "gemma3_text",
  "phi",
  "phi3",
] as const;
const FORMS = ["concat", "gqa"] as const;
const WEIGHTS = ["fp32", "fp16", "q8", "q4", "q4f16", "int8"] as const;

const PROMPTS = [
  [10, 20, 30, 40, 50, 60, 70],
  [71, 61, 51, 41, 31, 21, 11],
];
const STEPS = 4;
/** Of logits whose deviation is 3. */
const FP16_TOLERANCE = 0.05;

interface Fixture {
  readonly original: Uint8Array<ArrayBuffer>;
  readonly graph: DecoderGraph;
  readonly external: readonly { readonly path: string; readonly data: Uint8Array }[];
}

function fixture(spec: Partial<DecoderSpec>): Fixture {
  const files = decoderExport(spec);
  const path = graphPath({ weights: spec.weights ?? "fp32" });
  const original = new Uint8Array(files.get(path) ?? []);
  const data = files.get(`${path}_data`);
  const external = data === undefined ? [] : [{ path: `${path.slice(5)}_data`, data }];
  return { original, graph: readDecoderGraph(original), external };
}

/** The bits of logits and cache after the prompts and after each of some greedy steps. */
async function transcript(
  graph: DecoderGraph,
  external: Fixture["external"],
  prompts: readonly (readonly number[])[],
  capacity: number | null,
): Promise<{ readonly tokens: number[][]; readonly logits: Float32Array[][]; bits: string[] }> {
  const run = await DecoderRun.open(graph, external, prompts.length, capacity);
  const [tokens, logits, bits]: [number[][], Float32Array[][], string[]] = [[], [], []];
  let rows: readonly (readonly number[])[] = prompts;
  for (let i = 0; i <= STEPS; i++) {
    const step = await run.step(rows);
    tokens.push([...step.tokens]);
    logits.push([...step.logits]);
    bits.push(...step.bits.map((row) => sha256(row)));
    rows = step.tokens.map((token) => [token]);
  }
  bits.push(...run.cacheBytes().map((part) => sha256(part)));
  await run.close();
  return { tokens, logits, bits };
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function largestDifference(a: readonly Float32Array[][], b: readonly Float32Array[][]): number {
  const [left, right] = [a, b].map((rows) => rows.flat().flatMap((row) => [...row]));
  expect(left?.length).toBe(right?.length);
  return Math.max(...(left ?? []).map((value, i) => Math.abs(value - (right?.[i] ?? Number.NaN))));
}

describe.each(ARCHITECTURES)("%s", (architecture) => {
  describe.each(FORMS)("written as %s", (form) => {
    it.each(WEIGHTS)("with %s weights: converted, and the same bits", async (weights) => {
      const window = architecture === "llama" ? null : 6;
      const { original, graph, external } = fixture({
        architecture,
        form,
        weights,
        window,
        external: weights === "q4",
        logitsToKeep: weights === "fp16",
      });
      expect(graph.form).toBe(form === "concat" ? "append" : "in-place");
      expect(graph.lastOnly).toBe(true);
      expect(graph.cacheType).toBe(
        weights === "fp16" || weights === "q4f16" ? "float16" : "float32",
      );
      const before = await transcript(unconverted(graph, original), external, PROMPTS, null);
      const after = await transcript(
        form === "gqa" ? { ...graph, form: "whole" } : graph,
        external,
        PROMPTS,
        null,
      );
      expect(after.tokens).toEqual(before.tokens);
      // In 16 bits a CPU's graph is not quite the same: ONNX Runtime multiplies in 32 bits, and where a
      // value is no output it leaves out the rounding between two products.
      const exact = form === "gqa" || graph.cacheType === "float32";
      expect(exact ? after.bits : []).toEqual(exact ? before.bits : []);
      expect(largestDifference(after.logits, before.logits)).toBeLessThanOrEqual(
        exact ? 0 : FP16_TOLERANCE,
      );
    });
  });
});

describe("a cache with room to spare", () => {
  it("gives what the exact one gives, in the form that appends", async () => {
    const { graph } = fixture({ form: "concat" });
    const exact = await transcript(graph, [], PROMPTS, null);
    const padded = await transcript(graph, [], PROMPTS, 32);
    expect(padded.tokens).toEqual(exact.tokens);
    expect(largestDifference(padded.logits, exact.logits)).toBeLessThan(1e-5);
  });

  it.each(["fp32", "fp16"] as const)("is written in place, %s", async (weights) => {
    const { graph } = fixture({ form: "gqa", weights, window: 6, architecture: "mistral" });
    const exact = await transcript({ ...graph, form: "whole" }, [], PROMPTS, null);
    const padded = await transcript(graph, [], PROMPTS, 32);
    expect(padded.tokens).toEqual(exact.tokens);
    expect(largestDifference(padded.logits, exact.logits)).toBeLessThan(1e-5);
  });
});

describe("the two forms of one model", () => {
  it.each(ARCHITECTURES)("agree: %s", async (architecture) => {
    const window = 6;
    const [concat, grouped] = FORMS.map((form) => fixture({ architecture, form, window }).graph);
    if (concat === undefined || grouped === undefined) throw new TypeError("no fixture");
    const left = await transcript(concat, [], PROMPTS, null);
    const right = await transcript({ ...grouped, form: "whole" }, [], PROMPTS, null);
    expect(right.tokens).toEqual(left.tokens);
    expect(largestDifference(left.logits, right.logits)).toBeLessThan(1e-4);
  });
});
