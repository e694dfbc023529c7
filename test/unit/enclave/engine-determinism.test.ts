/** Who shares a batch changes no token: alone, in company, while others come, go and are read in. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Engine, startEngine, type TextSession } from "../../../enclave/engine/engine.ts";
import { EnclaveError } from "../../../enclave/errors.ts";
import type { DecoderSpec } from "../../fakes/decoder/index.ts";
import {
  decoderConfig,
  decoderFiles,
  ENGINE_OPTIONS,
  generated,
  LIVELY,
  neverAborted,
  promptOf,
  requestOf,
  tokensOf,
} from "../../fakes/text-engine.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine(ENGINE_OPTIONS);
});
afterAll(async () => {
  await engine.close();
});

/** What is asked for again and again: it outgrows its first cache on the way. */
const ASKED = {
  prompt: promptOf(100, 9),
  choices: [{ seed: 42 }],
  maxTokens: 50,
  sampling: { ...LIVELY, topK: 40, frequencyPenalty: 0.5 },
};

function generateAsked(session: TextSession): Promise<number[]> {
  return generated(engine, session, ASKED);
}

/** Company: prompts and seeds of their own, and an end at another time. */
function generateOther(session: TextSession, i: number): Promise<number[]> {
  const request = { prompt: promptOf(90 + 4 * i, i), maxTokens: 20 + 9 * i, sampling: LIVELY };
  return generated(engine, session, { ...request, choices: [{ seed: i }] });
}

function codeOf(error: unknown): unknown {
  return error instanceof EnclaveError ? error.code : error;
}

const SHAPES: readonly (readonly [most: number, shape: Partial<DecoderSpec>])[] = [
  [8, { form: "concat", weights: "fp32" }],
  [8, { form: "gqa", weights: "fp32" }],
  [8, { form: "concat", weights: "q8" }],
  [8, { form: "gqa", weights: "q4" }],
  [8, { form: "gqa", weights: "q4f16" }],
  // Its quantisation takes one scale for a whole batch: the probe finds out, and nobody shares.
  [1, { form: "concat", weights: "int8" }],
];

describe.each(SHAPES)("with batches of at most %i, a decoder of shape %o", (most, shape) => {
  const context = 1024;
  let session: TextSession;
  let alone: number[];
  beforeAll(async () => {
    session = await engine.loadText(
      decoderFiles({ ...shape, context }),
      decoderConfig({ ...shape, context }),
    );
    alone = await generateAsked(session);
  });

  it("is proven for batches of that size", () => {
    expect(session.maxSequences).toBe(most);
    expect(alone).toHaveLength(50);
    expect(new Set(alone).size).toBeGreaterThan(20);
  });

  it.each([2, 4, 8])("gives the same tokens among %i", async (size) => {
    const others = Array.from({ length: size - 1 }, (_, i) => generateOther(session, i + 1));
    expect(await generateAsked(session)).toEqual(alone);
    await Promise.all(others);
  });

  it("gives the same tokens while others come and go, and a long prompt is read", async () => {
    const long = requestOf({ prompt: promptOf(900, 3), maxTokens: 4 });
    const asked = await engine.generate(session, requestOf(ASKED), neverAborted());
    const tokens = tokensOf(asked);
    const reading = engine.generate(session, long, neverAborted()).then(tokensOf);
    const leaving = new AbortController();
    const left = engine
      .generate(session, requestOf({ maxTokens: 400 }), leaving.signal)
      .then(tokensOf);
    const others = [1, 2, 3].map((i) => generateOther(session, i));
    const gone = left.catch(codeOf);
    await others[0];
    leaving.abort();
    expect(await tokens).toEqual([alone]);
    expect(await gone).toBe("inference/aborted");
    await Promise.all([reading, ...others]);
  });

  it("gives a choice the same tokens among the others of its request", async () => {
    const choices = [{ seed: 1 }, { seed: 42 }, { seed: 2 }];
    const request = requestOf({ ...ASKED, choices });
    const together = await tokensOf(await engine.generate(session, request, neverAborted()));
    expect(together[1]).toEqual(alone);
  });
});
