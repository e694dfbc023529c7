/** Streams: events and ticks, readers that are slow or leave, and engines that fail. */
import type { APIError } from "openai";
import type { ChatCompletionChunk } from "openai/resources";
import { describe, expect, it } from "vitest";
import { EnclaveError } from "../../../enclave/errors.ts";
import { openAiApp, readEvents } from "../../fakes/openai-app.ts";
import { TestClock } from "../../fakes/ring.ts";
import { createFakeText, type FakeText } from "../../fakes/text-model.ts";

const ASK = { model: "fake", messages: [{ role: "user" as const, content: "Hello" }] };
const STREAM = JSON.stringify({ ...ASK, stream: true });
const LONG = "word ".repeat(60);

function long(failAfter = Infinity): FakeText {
  return createFakeText({ script: () => [{ pieces: [LONG] }], failAfter });
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Takes the next event, moving the clock on until there is one. */
async function nextEvent(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  clock: TestClock,
): Promise<string> {
  const pending = reader.read();
  let done = false;
  void pending.then(() => {
    done = true;
  });
  while (!done) {
    await turns(1);
    await clock.advance(25);
  }
  return new TextDecoder().decode((await pending).value);
}

function contentOf(event: string): string {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the client's own type of what it reads
  const { choices } = JSON.parse(event.slice(6)) as ChatCompletionChunk;
  return choices[0]?.delta.content ?? "";
}

describe("events", () => {
  it("come at once for the first token, then once a tick", async () => {
    const clock = new TestClock(Date.now());
    const app = openAiApp([long().model], clock);
    const response = await app.fetch("/v1/chat/completions", { method: "POST", body: STREAM });
    const reader = response.body?.getReader();
    if (reader === undefined) throw new TypeError("no body");
    // No time passes here: this one waits for none.
    const first = new TextDecoder().decode((await reader.read()).value);
    expect(contentOf(first)).toBe("w");
    await turns(20);
    let second: string | null = null;
    const pending = reader.read().then(({ value }) => {
      second = new TextDecoder().decode(value);
    });
    await turns(20);
    expect(second).toBeNull();
    await clock.advance(25);
    await pending;
    // All that came in the meantime is one event.
    expect(contentOf(second ?? "").length).toBeGreaterThan(20);
    await reader.cancel();
  });

  it("lose nothing with a reader that is slow, and are never too large for one chunk", async () => {
    const text = "🜁 long word ".repeat(1000);
    const fake = createFakeText({
      contextLength: 65_536,
      words: [text],
      script: () => [{ pieces: [text, "!"] }],
    });
    const app = openAiApp([fake.model]);
    const response = await app.fetch("/v1/chat/completions", { method: "POST", body: STREAM });
    await turns(100);
    const { chunks, failure } = await readEvents(response);
    expect(failure).toBeNull();
    const contents = chunks.slice(0, -1).map(contentOf);
    expect(contents.join("")).toBe(`${text}!`);
    for (const content of contents) expect(content.isWellFormed()).toBe(true);
    for (const chunk of chunks) expect(Buffer.byteLength(chunk)).toBeLessThanOrEqual(16_384);
  });
});

describe("a reader that leaves", () => {
  it("stops the engine within two steps", async () => {
    const fake = createFakeText({
      contextLength: 65_536,
      script: () => [{ pieces: [LONG.repeat(50)] }],
    });
    const app = openAiApp([fake.model]);
    const response = await app.fetch("/v1/chat/completions", {
      method: "POST",
      body: JSON.stringify({ ...ASK, stream: true, max_tokens: 10_000 }),
    });
    const reader = response.body?.getReader();
    await reader?.read();
    const before = fake.steps;
    await reader?.cancel();
    await turns(20);
    expect(fake.steps - before).toBeLessThanOrEqual(2);
    expect(fake.aborted).toBe(1);
    expect(app.exchange().outcome.finishReason).toBeUndefined();
    expect(app.exchange().outcome.completionTokens).toBeGreaterThan(0);
  });

  it.each([true, false])("stops it by the exchange's signal too; a stream: %j", async (stream) => {
    const fake = createFakeText({ contextLength: 65_536, script: () => [{ pieces: [LONG] }] });
    const app = openAiApp([fake.model]);
    const abort = new AbortController();
    const pending = app.fetch("/v1/chat/completions", {
      method: "POST",
      body: JSON.stringify({ ...ASK, stream }),
      signal: abort.signal,
    });
    await turns(10);
    const before = fake.steps;
    expect(before).toBeGreaterThan(0);
    abort.abort();
    await turns(20);
    expect(fake.steps - before).toBeLessThanOrEqual(2);
    const response = await pending;
    expect(response.status).toBe(stream ? 200 : 503);
    const { chunks, failure } = await readEvents(response);
    expect(failure instanceof EnclaveError).toBe(stream);
    expect(chunks.join("")).toContain("inference/aborted");
    expect(chunks.join("")).not.toContain("[DONE]");
  });
});

describe("an engine that fails", () => {
  it("ends the stream with an event that says so, and never as if it were complete", async () => {
    const app = openAiApp([long(5).model]);
    const response = await app.fetch("/v1/chat/completions", { method: "POST", body: STREAM });
    const { chunks, failure } = await readEvents(response);
    expect(failure).toBeInstanceOf(EnclaveError);
    expect(chunks.join("")).not.toContain("[DONE]");
    expect(JSON.parse(chunks.at(-1)?.slice(6) ?? "")).toEqual({
      error: {
        message: "inference/failed: as the script says",
        type: "server_error",
        param: null,
        code: "inference/failed",
      },
    });
    expect(app.exchange().outcome).toMatchObject({ completionTokens: 5 });
    expect(app.exchange().outcome.finishReason).toBeUndefined();
  });

  it("lets that event be seen before the stream breaks", async () => {
    const clock = new TestClock(Date.now());
    const app = openAiApp([long(3).model], clock);
    const response = await app.fetch("/v1/chat/completions", { method: "POST", body: STREAM });
    const reader = response.body?.getReader();
    if (reader === undefined) throw new TypeError("no body");
    let event = "";
    while (!event.includes('"error"')) event = await nextEvent(reader, clock);
    const broken = reader.read();
    const outcome = broken.then(
      () => "more",
      () => "broken",
    );
    await turns(20);
    expect(await Promise.race([outcome, Promise.resolve("waiting")])).toBe("waiting");
    await clock.advance(25);
    expect(await outcome).toBe("broken");
  });

  it("is an error to the official client, in the middle and before", async () => {
    const inTheMiddle = openAiApp([long(5).model]);
    const stream = await inTheMiddle.client.chat.completions.create({ ...ASK, stream: true });
    const reading = (async () => {
      for await (const chunk of stream) expect(chunk.choices).toHaveLength(1);
    })();
    await expect(reading).rejects.toThrow("as the script says");

    const before = openAiApp([long(0).model]);
    const whole = before.client.chat.completions.create(ASK);
    await expect(whole).rejects.toMatchObject<Partial<APIError>>({
      status: 500,
      code: "inference/failed",
      type: "server_error",
    });
  });
});
