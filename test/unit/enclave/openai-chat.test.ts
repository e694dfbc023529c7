/** Chat completions, whole and streamed, as the official client sees them. */
import { describe, expect, it } from "vitest";
import { openAiApp, readEvents } from "../../fakes/openai-app.ts";
import { createFakeText, type FakeText, type Line } from "../../fakes/text-model.ts";

const HELLO = [{ role: "user" as const, content: "Hello" }];

function says(...lines: readonly Line[]): FakeText {
  return createFakeText({ words: ["Good", " day", "!"], script: () => lines });
}

const GOOD_DAY: Line = { pieces: ["Good", " day", "!"] };

describe("a chat completion", () => {
  it("answers as OpenAI's do", async () => {
    const fake = says(GOOD_DAY);
    const app = openAiApp([fake.model]);
    const answer = await app.client.chat.completions.create({ model: "fake", messages: HELLO });
    expect(answer).toMatchObject({
      object: "chat.completion",
      model: "fake",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "Good day!", refusal: null },
          logprobs: null,
          finish_reason: "stop",
        },
      ],
    });
    expect(answer.id).toMatch(/^chatcmpl-[0-9a-f]{32}$/u);
    expect(Math.abs(answer.created - Date.now() / 1000)).toBeLessThan(60);
    expect(answer.system_fingerprint).toMatch(/^fp_[0-9a-f]{16}_0\.0\.0$/u);
    expect(fake.prompts).toEqual(["<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"]);
    const tokens = fake.requests[0]?.prompt.length ?? 0;
    expect(answer.usage).toEqual({
      prompt_tokens: tokens,
      completion_tokens: 3,
      total_tokens: tokens + 3,
    });
    expect(app.exchange().model).toEqual(fake.model.ref);
    expect(app.exchange().outcome).toMatchObject({
      finishReason: "stop",
      promptTokens: tokens,
      completionTokens: 3,
      seed: fake.requests[0]?.choices[0]?.seed,
    });
    expect(app.exchange().outcome.parameters).toHaveLength(32);
  });

  it("has an id of its own", async () => {
    const app = openAiApp([says(GOOD_DAY).model]);
    const ask = async (): Promise<string> => {
      return (await app.client.chat.completions.create({ model: "fake", messages: HELLO })).id;
    };
    expect(await ask()).not.toBe(await ask());
  });

  it("streams the same text, and [DONE]", async () => {
    const app = openAiApp([says(GOOD_DAY).model]);
    const response = await app.fetch("/v1/chat/completions", {
      method: "POST",
      body: JSON.stringify({ model: "fake", messages: HELLO, stream: true }),
    });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const { chunks, failure } = await readEvents(response);
    expect(failure).toBeNull();
    for (const chunk of chunks) expect(chunk).toMatch(/^data: [^\n]+\n\n$/u);
    expect(chunks.at(-1)).toBe("data: [DONE]\n\n");
    const events = chunks.slice(0, -1).map((chunk): unknown => JSON.parse(chunk.slice(6)));
    expect(events[0]).toMatchObject({
      object: "chat.completion.chunk",
      choices: [{ index: 0, delta: { role: "assistant" }, finish_reason: null }],
    });
    expect(events.at(-1)).toMatchObject({ choices: [{ finish_reason: "stop" }] });
    for (const event of events) expect(event).not.toHaveProperty("usage");
    expect(app.exchange().outcome).toMatchObject({ finishReason: "stop", completionTokens: 3 });
  });

  it("counts the tokens in the last event, where that is asked for", async () => {
    const app = openAiApp([says(GOOD_DAY, GOOD_DAY).model]);
    const stream = await app.client.chat.completions.create({
      model: "fake",
      messages: HELLO,
      n: 2,
      stream: true,
      stream_options: { include_usage: true },
    });
    const texts = ["", ""];
    const usages: unknown[] = [];
    for await (const { choices, usage } of stream) {
      for (const { index, delta } of choices) texts[index] += delta.content ?? "";
      usages.push(usage);
    }
    expect(texts).toEqual(["Good day!", "Good day!"]);
    expect(usages.pop()).toMatchObject({ completion_tokens: 6 });
    expect(new Set(usages)).toEqual(new Set([null]));
  });

  it("splits no character between two events", async () => {
    const pieces = [...new TextEncoder().encode("né 🜁 end")].map((byte) => Uint8Array.of(byte));
    const app = openAiApp([says({ pieces }).model]);
    const stream = await app.client.chat.completions.create({
      model: "fake",
      messages: HELLO,
      stream: true,
    });
    const texts: string[] = [];
    for await (const { choices } of stream) texts.push(choices[0]?.delta.content ?? "");
    expect(texts.join("")).toBe("né 🜁 end");
    for (const text of texts) expect(text.isWellFormed()).toBe(true);
  });

  it("says when it was cut short", async () => {
    const app = openAiApp([says(GOOD_DAY).model]);
    const answer = await app.client.chat.completions.create({
      model: "fake",
      messages: HELLO,
      max_completion_tokens: 2,
    });
    expect(answer.choices[0]).toMatchObject({
      message: { content: "Good day" },
      finish_reason: "length",
    });
    expect(answer.usage?.completion_tokens).toBe(2);
    expect(app.exchange().outcome.finishReason).toBe("length");
  });

  it("tells a receipt of choices that ended differently", async () => {
    const app = openAiApp([says(GOOD_DAY, { pieces: ["Good", "Good", "Good", "Good"] }).model]);
    const answer = await app.client.chat.completions.create({
      model: "fake",
      messages: HELLO,
      n: 2,
      max_tokens: 4,
    });
    expect(answer.choices.map((choice) => choice.finish_reason)).toEqual(["stop", "length"]);
    expect(app.exchange().outcome.finishReason).toBe("mixed");
  });

  it("gives tokens with their probabilities", async () => {
    const app = openAiApp([says({ pieces: ["Good", "é"], logprob: -0.25 }).model]);
    const answer = await app.client.chat.completions.create({
      model: "fake",
      messages: HELLO,
      logprobs: true,
      top_logprobs: 2,
    });
    const content = answer.choices[0]?.logprobs?.content ?? [];
    expect(content.map(({ token, bytes }) => [token, bytes])).toEqual([
      ["Good", [71, 111, 111, 100]],
      ["\ufffd", [0xc3]],
      ["\ufffd", [0xa9]],
    ]);
    expect(content[0]?.logprob).toBe(-0.25);
    expect(content[0]?.top_logprobs.map(({ logprob }) => logprob)).toEqual([-0.25, -1.25]);
  });

  it("gives no probabilities of a stop string's tokens", async () => {
    const app = openAiApp([says(GOOD_DAY).model]);
    const answer = await app.client.chat.completions.create({
      model: "fake",
      messages: HELLO,
      logprobs: true,
      stop: "y!",
    });
    const [choice] = answer.choices;
    expect(choice?.message.content).toBe("Good da");
    expect(choice?.logprobs?.content?.map(({ token }) => token)).toEqual(["Good", " day"]);
  });
});
