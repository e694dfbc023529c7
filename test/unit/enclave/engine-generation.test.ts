import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Engine, startEngine } from "../../../enclave/engine/engine.ts";
import type { DecoderSpec } from "../../fakes/decoder/index.ts";
import {
  decoderConfig,
  decoderFiles,
  ENGINE_OPTIONS,
  eventsOf,
  generated,
  GREEDY,
  LIVELY,
  naiveTokens,
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

const SHAPES: readonly Partial<DecoderSpec>[] = [
  { form: "concat" },
  { form: "gqa" },
  { form: "concat", architecture: "qwen3", external: true },
  { form: "gqa", architecture: "gemma2", window: 16 },
  { form: "concat", architecture: "gemma2", window: 16 },
  { form: "concat", architecture: "phi3", logitsToKeep: true },
];

describe.each(SHAPES)("a decoder of shape %o", (shape) => {
  it("generates what a plain loop does, across pieces of prompts and sizes of caches", async () => {
    const session = await engine.loadText(decoderFiles(shape), decoderConfig(shape));
    for (const [length, count] of [
      [1, 140],
      [127, 4],
      [128, 4],
      [129, 4],
      [300, 100],
    ] as const) {
      const prompt = promptOf(length);
      const tokens = await generated(engine, session, { prompt, maxTokens: count });
      expect(tokens, `${length}`).toEqual(await naiveTokens(decoderFiles(shape), prompt, count));
    }
  });
});

describe("a generation", () => {
  it("goes to the last token of the context", async () => {
    const spec = { form: "concat", context: 200 } as const;
    const session = await engine.loadText(decoderFiles(spec), decoderConfig(spec));
    const prompt = promptOf(20);
    const tokens = await generated(engine, session, { prompt, maxTokens: 180 });
    expect(tokens).toEqual(await naiveTokens(decoderFiles(spec), prompt, 180));
  });

  it("ends with a token's worth of why: by length, by an end token, by a complete constraint", async () => {
    const prompt = promptOf(8);
    const files = (): ReturnType<typeof decoderFiles> => decoderFiles({});
    const session = await engine.loadText(files(), decoderConfig({}));
    const plain = await engine.generate(session, requestOf({ maxTokens: 3 }), neverAborted());
    const [events = []] = await eventsOf(plain);
    expect(events.map(({ finish }) => finish)).toEqual([null, null, "length"]);
    const tokens = events.map(({ token }) => token ?? -1);
    // The same with the second token as the one that ends.
    const ending = decoderConfig({}, { endTokens: [tokens[1] ?? -1] });
    const ended = await engine.loadText(files(), ending);
    const short = await engine.generate(ended, requestOf({ maxTokens: 9 }), neverAborted());
    expect(await eventsOf(short)).toEqual([
      [
        { choice: 0, token: tokens[0], logprob: null, top: [], finish: null },
        { choice: 0, token: null, logprob: null, top: [], finish: "end" },
      ],
    ]);
    const constraint = [{ kind: "literal", text: "ok" }] as const;
    const bound = await engine.generate(session, requestOf({ prompt, constraint }), neverAborted());
    const [said = []] = await eventsOf(bound);
    expect(said.at(-1)?.finish).toBe("complete");
    expect(said.map(({ token }) => String.fromCharCode(token ?? 0)).join("")).toBe("ok");
  });

  it("never samples an id that no token has", async () => {
    const spec = { form: "gqa" } as const;
    const all = await engine.loadText(decoderFiles(spec), decoderConfig(spec));
    const [first = -1] = await generated(engine, all, { maxTokens: 1 });
    const holed = decoderConfig(spec, { holes: [first] });
    const session = await engine.loadText(decoderFiles(spec), holed);
    const tokens = await generated(engine, session, { maxTokens: 60, sampling: LIVELY });
    expect(tokens).not.toContain(first);
    const few = { ...holed, tokens: holed.tokens.slice(0, 20), holes: [] };
    const small = await engine.loadText(decoderFiles(spec), few);
    const low = await generated(engine, small, { maxTokens: 60, sampling: LIVELY });
    expect(Math.max(...low)).toBeLessThan(20);
  });

  it("gives each choice the answer of its own seed, and the prompt is theirs alone", async () => {
    for (const form of ["concat", "gqa"] as const) {
      const session = await engine.loadText(decoderFiles({ form }), decoderConfig({ form }));
      const request = { prompt: promptOf(150), maxTokens: 130, sampling: LIVELY };
      const seeds = [5, 6, 7, 5];
      const choices = seeds.map((seed) => ({ seed }));
      const generation = await engine.generate(
        session,
        requestOf({ ...request, choices }),
        neverAborted(),
      );
      const together = await tokensOf(generation);
      for (const [i, seed] of seeds.entries()) {
        const alone = await generated(engine, session, { ...request, choices: [{ seed }] });
        expect(together[i]).toEqual(alone);
      }
      expect(together[0]).not.toEqual(together[1]);
    }
  });

  it("reports probabilities where they are asked for", async () => {
    const session = await engine.loadText(decoderFiles({}), decoderConfig({}));
    const sampling = { ...GREEDY, topLogprobs: 2 };
    const request = requestOf({ maxTokens: 2, sampling });
    const [events = []] = await eventsOf(await engine.generate(session, request, neverAborted()));
    for (const { token, logprob, top } of events) {
      expect(top).toHaveLength(2);
      expect(top[0]).toEqual({ token, logprob });
      expect(logprob).toBeLessThan(0);
    }
  });
});
