/** What the main thread promises, the worker keeps to: requests that were let in never lack memory. */
import { describe, expect, it } from "vitest";
import {
  type DecoderPlan,
  generationBytes,
  promisableBytes,
} from "../../../enclave/engine/generation/plan.ts";
import type { GenerationRequest } from "../../../enclave/text/generation.ts";
import type { DecoderSpec } from "../../fakes/decoder/index.ts";
import { scheduled, type ScheduledOptions } from "../../fakes/scheduled.ts";
import { LIVELY, promptOf } from "../../fakes/text-engine.ts";

const ALONE = { least: 1, most: 1 } as const;
const PAIRS = { least: 2, most: 8 } as const;

type Setting = readonly [name: string, Partial<DecoderSpec>, ScheduledOptions];

const SETTINGS: readonly Setting[] = [
  ["append", { form: "concat" }, {}],
  ["append in pairs", { form: "concat" }, { rows: PAIRS }],
  ["append alone", { form: "concat" }, { rows: ALONE }],
  ["in place", { form: "gqa" }, {}],
  ["in place in pairs", { form: "gqa" }, { rows: PAIRS }],
  ["in place alone", { form: "gqa" }, { rows: ALONE }],
  ["exact", { form: "concat", architecture: "gemma2", window: 16 }, {}],
  ["exact, twofold", { form: "gqa" }, { mode: "exact" }],
];

/** Prompts, answers and choices around the sizes of caches and pieces. */
const REQUESTS: readonly (readonly [prompt: number, maxTokens: number, choices: number])[] = [
  [1, 140, 1],
  [127, 3, 2],
  [128, 2, 1],
  [100, 200, 3],
  [300, 1, 2],
  [250, 20, 4],
];

function request(prompt: number, maxTokens: number, choices: number): Partial<GenerationRequest> {
  const seeds = Array.from({ length: choices }, (_, seed) => ({ seed }));
  return { prompt: promptOf(prompt), maxTokens, choices: seeds, sampling: LIVELY };
}

function promised(plan: DecoderPlan, all: readonly (readonly [number, number, number])[]): number {
  return all.reduce((sum, [p, t, n]) => sum + generationBytes(plan, p, t, n), 0);
}

/** The least limit out of which `bytes` can be promised. */
function limitFor(bytes: number, arrays: number): number {
  return Math.ceil((bytes * (arrays + 1)) / arrays);
}

describe.each(SETTINGS)("%s", (_, spec, options) => {
  it("has enough in what one request is promised", async () => {
    const { plan } = (await scheduled(spec, options)).decoder;
    for (const each of REQUESTS) {
      const cacheBytes = limitFor(promised(plan, [each]), plan.arrays);
      expect(promisableBytes(cacheBytes, plan.arrays)).toBeGreaterThanOrEqual(
        promised(plan, [each]),
      );
      const worker = await scheduled(spec, { ...options, plan, cacheBytes });
      const { tokens, failure } = await worker.generate(request(...each));
      expect([each, failure]).toEqual([each, null]);
      expect(tokens.every((choice) => choice.length === each[1])).toBe(true);
      expect(worker.pool.usedBytes).toBe(0);
    }
  });

  it("has enough for all of them at once, again and again", async () => {
    const { plan } = (await scheduled(spec, options)).decoder;
    const cacheBytes = limitFor(promised(plan, REQUESTS), plan.arrays);
    const worker = await scheduled(spec, { ...options, plan, cacheBytes });
    for (let round = 0; round < 3; round++) {
      // Another order each time: what is kept for later use has other sizes than what comes.
      const order = REQUESTS.map((__, i) => REQUESTS[(i * 5 + round) % REQUESTS.length]);
      const ended = await Promise.all(
        order.flatMap((each) => (each === undefined ? [] : [worker.generate(request(...each))])),
      );
      expect(ended.map(({ failure }) => failure)).toEqual(REQUESTS.map(() => null));
      expect(worker.pool.usedBytes).toBe(0);
      expect(worker.pool.totalBytes).toBeLessThanOrEqual(cacheBytes);
    }
  });
});
