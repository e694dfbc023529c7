/** The official client over `node.fetch`, against a real node: host, enclave and engine. */
import { parseProof, parseReceipt } from "@countersign/attestation";
import { OpenAI } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decoderExport, DEFAULT_SPEC, specialIds } from "../fakes/decoder/index.ts";
import { type RealNode, startRealNode } from "../fakes/real-node.ts";
import { DIMENSIONS, encoderExport, rowOf } from "../fakes/table-encoder.ts";

const ASK = {
  model: "tiny",
  messages: [{ role: "user" as const, content: "Say something" }],
  temperature: 1,
  max_tokens: 16,
};
/** So that it says as much as it may. */
const { endOfText, turnEnd } = specialIds(DEFAULT_SPEC.vocabulary);
const LONG = { ...ASK, max_tokens: 3000, logit_bias: { [endOfText]: -100, [turnEnd]: -100 } };

/** In table-encoder's vocabulary. */
const [BEGIN, END, HELLO] = [2, 3, 66];

/** The mean of the tokens' rows, of length one: as that export says. */
function meanOf(tokens: readonly number[]): readonly number[] {
  const sums = Array.from({ length: DIMENSIONS }, (_, d) =>
    tokens.reduce((sum, token) => sum + (rowOf(token)[d] ?? NaN), 0),
  );
  return sums.map((sum) => sum / Math.hypot(...sums));
}

let node: RealNode;
let client: OpenAI;

beforeAll(async () => {
  const files = Object.fromEntries(decoderExport({ context: 4096 }));
  node = await startRealNode([
    { id: "tiny", files },
    { id: "vectors", files: encoderExport() },
  ]);
  client = new OpenAI({
    baseURL: "http://countersign/v1",
    apiKey: "unused",
    maxRetries: 0,
    fetch: node.connection.fetch,
  });
});
afterAll(() => node.close());

async function text(changes: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming>) {
  const { choices } = await client.chat.completions.create({ ...ASK, ...changes });
  return choices.map(({ message }) => message.content ?? "");
}

describe("the official client over node.fetch", () => {
  it("lists the models", async () => {
    const { data } = await client.models.list();
    expect(data).toMatchObject([
      { id: "tiny", kind: "generation", chat: true },
      { id: "vectors", kind: "embedding", dimensions: DIMENSIONS, context_length: 16 },
    ]);
  });

  it("chats, streams the same, and repeats it by its seed", async () => {
    const [whole = ""] = await text({ seed: 7 });
    expect(whole.length).toBeGreaterThan(0);
    expect(await text({ seed: 7 })).toEqual([whole]);
    expect(await text({ seed: 8 })).not.toEqual([whole]);
    const stream = client.chat.completions.stream({ ...ASK, seed: 7 });
    let all = "";
    for await (const { choices } of stream) all += choices[0]?.delta.content ?? "";
    expect(all).toBe(whole);
    const final = await stream.finalChatCompletion();
    expect(final.choices[0]?.message.content).toBe(whole);
  });

  it("gets JSON that its own helper parses", async () => {
    const schema = {
      type: "object",
      properties: { degrees: { enum: [1, 2, 3] } },
      required: ["degrees"],
      additionalProperties: false,
    };
    const answer = await client.chat.completions.parse({
      ...ASK,
      seed: 1,
      max_tokens: 200,
      response_format: { type: "json_schema", json_schema: { name: "w", strict: true, schema } },
    });
    const parsed: unknown = JSON.parse(answer.choices[0]?.message.content ?? "");
    expect(parsed).toEqual({ degrees: expect.toBeOneOf([1, 2, 3]) as unknown });
  });

  it("completes", async () => {
    const answer = await client.completions.create({
      model: "tiny",
      prompt: ["Once", "upon"],
      max_tokens: 4,
      seed: 1,
    });
    expect(answer.choices).toHaveLength(2);
    expect(answer.usage?.completion_tokens).toBeLessThanOrEqual(8);
  });

  it("embeds: in base64, which it asks for unasked, and as numbers", async () => {
    const ask = { model: "vectors", input: ["hello", "hello hello"] };
    const expected = [[HELLO], [HELLO, HELLO]].map((words) => meanOf([BEGIN, ...words, END]));
    for (const format of [{}, { encoding_format: "float" as const }]) {
      const { data, usage } = await client.embeddings.create({ ...ask, ...format });
      expect(data).toHaveLength(2);
      for (const [index, { embedding }] of data.entries()) {
        expect(embedding).toHaveLength(DIMENSIONS);
        for (const [d, value] of embedding.entries()) {
          expect(value).toBeCloseTo(expected[index]?.[d] ?? NaN, 6);
        }
      }
      expect(usage).toEqual({ prompt_tokens: 7, total_tokens: 7 });
    }
    const long = client.embeddings.create({ model: "vectors", input: "hello ".repeat(20) });
    await expect(long).rejects.toMatchObject({ code: "prompt/too-long", param: "input" });
    const unknown = client.embeddings.create({ model: "vectors", input: [[2, 9999]] });
    await expect(unknown).rejects.toMatchObject({ code: "request/parameter", param: "input" });
  });

  it("sees refusals as its own errors, and they are receipted", async () => {
    await expect(text({ model: "other" })).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(text({ temperature: 3 })).rejects.toMatchObject({
      status: 400,
      code: "request/parameter",
      param: "temperature",
    });
    await expect(client.embeddings.create({ model: "tiny", input: "x" })).rejects.toMatchObject({
      status: 400,
      param: "model",
    });
  });
});

describe("the receipt", () => {
  it("says how the answer ended: whole, in a stream, and refused", async () => {
    const outcomes: unknown[] = [];
    for (const changes of [{}, { stream: true }, { temperature: 3 }]) {
      const response = await node.connection.fetch("/v1/chat/completions", {
        method: "POST",
        body: JSON.stringify({ ...ASK, seed: 7, max_tokens: 4, ...changes }),
      });
      await response.text();
      expect((await response.verdict()).result).toBe("verified");
      const { claims } = parseReceipt(parseProof(await response.proof()).receipt);
      expect(claims.model?.id).toBe("tiny");
      outcomes.push(claims.outcome);
    }
    const [whole, streamed, refused] = outcomes;
    expect(whole).toMatchObject({
      status: 200,
      finishReason: "length",
      seed: 7,
      completionTokens: 4,
    });
    expect(streamed).toEqual(whole);
    expect(refused).toEqual({ status: 400 });
  });
});

describe("a client that leaves", () => {
  it("stops by its own controller, and the next one is served", async () => {
    const stream = await client.chat.completions.create({ ...LONG, stream: true });
    let chunks = 0;
    for await (const { choices } of stream) {
      expect(choices).toHaveLength(1);
      if (++chunks === 3) stream.controller.abort();
    }
    expect(chunks).toBeLessThan(100);
    expect(await text({ seed: 7 })).toHaveLength(1);
  });

  it("stops a whole answer by a signal", async () => {
    const abort = new AbortController();
    const pending = client.chat.completions.create(LONG, { signal: abort.signal });
    setTimeout(() => {
      abort.abort();
    }, 200);
    await expect(pending).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
  });
});
