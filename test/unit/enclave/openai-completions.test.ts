/** Completions, as the official client sees them. */
import { describe, expect, it } from "vitest";
import { EnclaveError } from "../../../enclave/errors.ts";
import { openAiApp } from "../../fakes/openai-app.ts";
import { createFakeEmbedding, createFakeText } from "../../fakes/text-model.ts";

/** Says the prompt again, and which choice it is. */
function echo() {
  return createFakeText({
    words: ["Once ", "upon"],
    script: ({ choices }, prompt) =>
      choices.map((_, index) => ({ pieces: [`${prompt}#${index}`], logprob: -1 })),
  });
}

describe("a completion", () => {
  it("has one answer for each prompt and choice, in order, each with a seed of its own", async () => {
    const fake = echo();
    const { client, exchange } = openAiApp([fake.model]);
    const answer = await client.completions.create({
      model: "fake",
      prompt: ["a", "bc"],
      n: 2,
      best_of: 2,
      seed: 10,
    });
    expect(answer.object).toBe("text_completion");
    expect(answer.id).toMatch(/^cmpl-[0-9a-f]{32}$/u);
    expect(answer.choices.map(({ index, text }) => [index, text])).toEqual([
      [0, "a#0"],
      [1, "a#1"],
      [2, "bc#0"],
      [3, "bc#1"],
    ]);
    expect(answer.choices.map((choice) => choice.finish_reason)).toEqual(Array(4).fill("stop"));
    expect(fake.requests.map(({ choices }) => choices.map(({ seed }) => seed))).toEqual([
      [10, 11],
      [12, 13],
    ]);
    expect(answer.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 14 });
    expect(exchange().outcome).toMatchObject({ promptTokens: 3, completionTokens: 14, seed: 10 });
  });

  it.each([
    ["text", "Hi", ["Hi"]],
    ["tokens", [72, 105], ["Hi"]],
    ["several texts", ["Hi", "Ho"], ["Hi", "Ho"]],
    ["several arrays of tokens", [[72], [105, 105]], ["H", "ii"]],
  ])("continues %s", async (_, prompt, prompts) => {
    const fake = echo();
    await openAiApp([fake.model]).client.completions.create({ model: "fake", prompt });
    expect(fake.prompts).toEqual(prompts);
  });

  it("streams every choice", async () => {
    const { client } = openAiApp([echo().model]);
    const stream = await client.completions.create({
      model: "fake",
      prompt: ["a", "b"],
      n: 2,
      stream: true,
      stream_options: { include_usage: true },
    });
    const texts = ["", "", "", ""];
    const finished: number[] = [];
    let total = 0;
    for await (const { choices, usage } of stream) {
      for (const choice of choices) {
        texts[choice.index] += choice.text;
        // Null in all events but a choice's last.
        if (typeof choice.finish_reason === "string") finished.push(choice.index);
      }
      total = usage?.total_tokens ?? total;
    }
    expect(texts).toEqual(["a#0", "a#1", "b#0", "b#1"]);
    expect(finished.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3]);
    expect(total).toBe(2 + 12);
  });

  it("stops what it has begun where a later prompt is refused", async () => {
    const fake = createFakeText({
      script: (_, prompt) => {
        if (prompt === "b") throw new EnclaveError("queue/full", "as the script says");
        return [{ pieces: ["word ".repeat(80)] }];
      },
    });
    const app = openAiApp([fake.model]);
    const members = { model: "fake", prompt: ["a", "b"], max_tokens: 400 };
    const { status, body } = await app.post("/v1/completions", members);
    expect(status).toBe(429);
    expect(body).toMatchObject({ error: { code: "queue/full", type: "rate_limit_error" } });
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(fake.aborted).toBe(1);
    expect(fake.steps).toBeLessThanOrEqual(2);
  });

  it("gives probabilities in its own form", async () => {
    const { client } = openAiApp([echo().model]);
    const answer = await client.completions.create({
      model: "fake",
      prompt: "upon",
      logprobs: 2,
      max_tokens: 3,
    });
    expect(answer.choices[0]?.logprobs).toEqual({
      tokens: ["upon", "#", "0"],
      token_logprobs: [-1, -1, -1],
      top_logprobs: [expect.anything(), { "#": -1, $: -2 }, { 0: -1, 1: -2 }],
      text_offset: [0, 4, 5],
    });
  });
});

describe("a completion that is refused", () => {
  it.each([
    ["prompt", {}],
    ["prompt", { prompt: null }],
    ["prompt", { prompt: [] }],
    ["prompt", { prompt: 3 }],
    ["prompt", { prompt: "" }],
    ["prompt[1]", { prompt: ["a", ""] }],
    ["prompt[1]", { prompt: ["a", 7] }],
    ["prompt[1]", { prompt: [65, "a"] }],
    ["prompt[0]", { prompt: [[]] }],
    ["prompt[1][0]", { prompt: [[65], [258]] }],
    ["prompt[0]", { prompt: [-1] }],
    ["prompt[0]", { prompt: [0.5] }],
    ["prompt", { prompt: Array(17).fill("a") }],
    ["prompt", { prompt: "a".repeat(512) }],
    ["n", { prompt: Array(9).fill("a"), n: 8 }],
    ["best_of", { prompt: "a", best_of: 2 }],
    ["best_of", { prompt: "a", best_of: 2, n: 1 }],
    ["echo", { prompt: "a", echo: true }],
    ["suffix", { prompt: "a", suffix: "b" }],
    ["logprobs", { prompt: "a", logprobs: 6 }],
    ["max_tokens", { prompt: "a", max_tokens: 512 }],
    ["max_completion_tokens", { prompt: "a", max_completion_tokens: 2 }],
    ["model", { prompt: "a", model: "vectors" }],
  ])("%s: %j", async (param, members) => {
    const fake = createFakeText({ script: () => [] });
    const app = openAiApp([fake.model, createFakeEmbedding("vectors")]);
    const { status, body } = await app.post("/v1/completions", { model: "fake", ...members });
    expect(status).toBe(400);
    expect(body).toMatchObject({ error: { param } });
    expect(fake.requests).toEqual([]);
  });
});
