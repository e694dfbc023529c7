/** OpenAI's API over the real engine, in one process: what it generates, and that it can be repeated. */
import { OpenAI } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createApp } from "../../../enclave/api/app.ts";
import type { ExchangeRecord } from "../../../enclave/exchange-record.ts";
import type { ServedModels } from "../../../enclave/models/served.ts";
import { decoderExport, DEFAULT_SPEC, specialIds } from "../../fakes/decoder/index.ts";
import { appFetch, type AppFetch, loadTestModels } from "../../fakes/served.ts";

let served: ServedModels;
let fetch: AppFetch;
let client: OpenAI;
let exchange: ExchangeRecord;

beforeAll(async () => {
  served = await loadTestModels([{ id: "tiny", files: Object.fromEntries(decoderExport()) }]);
  fetch = appFetch(createApp(served), (bindings) => {
    exchange = bindings.exchange;
  });
  client = new OpenAI({
    baseURL: "http://countersign/v1",
    apiKey: "unused",
    maxRetries: 0,
    fetch: (url, init) => fetch(new URL(url instanceof Request ? url.url : url).pathname, init),
  });
});
afterAll(() => served.close());

const ASK = {
  model: "tiny",
  messages: [{ role: "user" as const, content: "Say something" }],
  temperature: 1,
  max_tokens: 16,
};
const { endOfText, turnEnd } = specialIds(DEFAULT_SPEC.vocabulary);
const END_TOKEN_OFF = { logit_bias: { [endOfText]: -100, [turnEnd]: -100 } };

async function text(changes: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming>) {
  const { choices } = await client.chat.completions.create({ ...ASK, ...changes });
  return choices.map(({ message }) => message.content ?? "");
}

async function streamed(seed: number): Promise<string> {
  const stream = await client.chat.completions.create({ ...ASK, seed, stream: true });
  let all = "";
  for await (const { choices } of stream) all += choices[0]?.delta.content ?? "";
  return all;
}

describe("an answer", () => {
  it("is the same for the same seed: whole, streamed, as another's choice, beside others", async () => {
    const seeds = [1, 2, 3, 4, 5, 6];
    const alone: string[] = [];
    for (const seed of seeds) alone.push(...(await text({ seed })));
    expect(new Set(alone).size).toBeGreaterThan(4);
    expect(await text({ seed: 1, n: 6 })).toEqual(alone);
    const together = await Promise.all(seeds.map((seed) => streamed(seed)));
    expect(together).toEqual(alone);
  });

  it("can be asked for again by the seed in its receipt", async () => {
    const first = await text({});
    const { seed } = exchange.outcome;
    if (seed === undefined) throw new TypeError("no seed in the receipt");
    expect(await text({ seed })).toEqual(first);
  });

  it("is the likeliest text at temperature 0, whatever the seed", async () => {
    const [first] = await text({ temperature: 0, seed: 1 });
    expect(await text({ temperature: 0, seed: 2 })).toEqual([first]);
  });

  it("stops at a string that it would say", async () => {
    const [whole = ""] = await text({ seed: 4, ...END_TOKEN_OFF });
    expect(whole.length).toBeGreaterThan(6);
    const stop = whole.slice(3, 6);
    const [cut] = await text({ seed: 4, stop, ...END_TOKEN_OFF });
    expect(cut).toBe(whole.slice(0, whole.indexOf(stop)));
  });

  it("follows biases, and its probabilities are those of the model", async () => {
    const answer = await client.chat.completions.create({
      ...ASK,
      logit_bias: { 65: 100 },
      logprobs: true,
      top_logprobs: 3,
      temperature: 0,
    });
    const content = answer.choices[0]?.logprobs?.content ?? [];
    expect(content.map(({ token }) => token)).toEqual(Array(16).fill(content[0]?.token));
    for (const { logprob, top_logprobs: top } of content) {
      // Before the bias: it was not the likeliest.
      expect(logprob).toBeLessThanOrEqual(top[0]?.logprob ?? 0);
      expect(top).toHaveLength(3);
      expect(top.reduce((sum, each) => sum + Math.exp(each.logprob), 0)).toBeLessThanOrEqual(
        1.0001,
      );
    }
  });

  it("is JSON where that is asked for", async () => {
    const schema = {
      type: "object",
      properties: { city: { type: "string", maxLength: 8 }, degrees: { enum: [1, 2, 3] } },
      required: ["city", "degrees"],
      additionalProperties: false,
    };
    for (const seed of [1, 2, 3]) {
      const answers = await text({
        seed,
        max_tokens: 120,
        response_format: { type: "json_schema", json_schema: { name: "weather", schema } },
      });
      const parsed: unknown = JSON.parse(answers[0] ?? "");
      expect(Object.keys(parsed ?? {})).toEqual(["city", "degrees"]);
      expect(parsed).toHaveProperty("degrees", expect.toBeOneOf([1, 2, 3]));
    }
  });

  it("is refused where a schema asks for what cannot be promised, by the keyword's place", async () => {
    const schema = { type: "object", properties: { a: { type: "string", pattern: "^a+$" } } };
    const asked = text({
      response_format: { type: "json_schema", json_schema: { name: "x", schema } },
    });
    await expect(asked).rejects.toMatchObject({
      status: 400,
      code: "constraint/schema",
      param: "response_format.json_schema.schema#/properties/a/pattern",
    });
  });

  it("is refused where the prompt does not fit", async () => {
    const content = "long ".repeat(2000);
    const asked = text({ messages: [{ role: "user", content }] });
    await expect(asked).rejects.toMatchObject({ status: 400, code: "prompt/too-long" });
    const kept = text({ max_tokens: 512 });
    await expect(kept).rejects.toMatchObject({ code: "prompt/too-long", param: "max_tokens" });
  });
});

describe("an answer whose length is not asked for", () => {
  it("has what the memory leaves, never more than can be served", async () => {
    const { context, layers, kvHeads, headDim } = DEFAULT_SPEC;
    const tokenBytes = 2 * layers * kvHeads * headDim * 4;
    const small = await loadTestModels(
      [{ id: "tiny", files: Object.fromEntries(decoderExport()) }],
      {
        // A whole context takes one and a half, since it moves to a larger cache; one is too little.
        cacheBytes: context * tokenBytes,
      },
    );
    try {
      const app = appFetch(createApp(small));
      const ask = async (changes: object): Promise<unknown> => {
        const { max_tokens: _, ...rest } = ASK;
        const body = JSON.stringify({ ...rest, ...END_TOKEN_OFF, ...changes });
        return await (await app("/v1/chat/completions", { method: "POST", body })).json();
      };
      const most = await ask({});
      expect(most).toMatchObject({ choices: [{ finish_reason: "length" }] });
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its two counts are looked at
      const { usage } = most as { usage: { prompt_tokens: number; completion_tokens: number } };
      expect(usage.completion_tokens).toBeGreaterThan(0);
      expect(usage.prompt_tokens + usage.completion_tokens).toBeLessThan(context);
      expect(await ask({ max_tokens: usage.completion_tokens + 1 })).toMatchObject({
        error: { code: "prompt/too-long", param: "max_tokens" },
      });
    } finally {
      await small.close();
    }
  });
});

describe("a model of text at KServe's paths", () => {
  it("is ready, says what it is, and takes no tensors", async () => {
    expect(await (await fetch("/v2/models/tiny/ready")).json()).toEqual({
      name: "tiny",
      ready: true,
    });
    expect(await (await fetch("/v2/models/tiny")).json()).toMatchObject({
      name: "tiny",
      versions: ["1"],
      inputs: [],
      parameters: { kind: "generation", api: "openai" },
    });
    const response = await fetch("/v2/models/tiny/infer", { method: "POST", body: "{}" });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "request/unsupported" });
    expect(exchange.model?.id).toBe("tiny");
  });
});
