/** The official client and curl through `countersign proxy`: nothing but the base URL tells them. */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { OpenAI } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decoderExport, DEFAULT_SPEC, specialIds } from "../fakes/decoder/index.ts";
import { type ProxyProcess, startProxy } from "../fakes/proxy-process.ts";
import { type RealNode, startRealNode } from "../fakes/real-node.ts";

const ASK = {
  model: "tiny",
  messages: [{ role: "user" as const, content: "Say something" }],
  temperature: 1,
  max_tokens: 16,
  seed: 7,
};
/** So that it says as much as it may. */
const { endOfText, turnEnd } = specialIds(DEFAULT_SPEC.vocabulary);
const LONG = { ...ASK, max_tokens: 3000, logit_bias: { [endOfText]: -100, [turnEnd]: -100 } };

const TOOL = {
  type: "function" as const,
  function: {
    name: "weather",
    strict: true,
    parameters: {
      type: "object",
      properties: { degrees: { enum: [1, 2, 3] } },
      required: ["degrees"],
      additionalProperties: false,
    },
  },
};

const HERMES = new URL("../fakes/chat-templates/hermes.jinja", import.meta.url);
const HAS_CURL = spawnSync("curl", ["--version"]).status === 0;

let node: RealNode;
let proxy: ProxyProcess;
let client: OpenAI;

beforeAll(async () => {
  const files = decoderExport({ context: 4096 });
  const withTools = new Map(files).set("chat_template.jinja", readFileSync(HERMES));
  node = await startRealNode([
    { id: "tiny", files: Object.fromEntries(files) },
    { id: "tools", files: Object.fromEntries(withTools) },
  ]);
  proxy = await startProxy(node);
  client = new OpenAI({ baseURL: `${proxy.url}/v1`, apiKey: "unused", maxRetries: 0 });
});
afterAll(async () => {
  await proxy.stop();
  await node.close();
});

async function streamed(): Promise<string> {
  const stream = await client.chat.completions.create({ ...ASK, stream: true });
  let all = "";
  for await (const { choices } of stream) all += choices[0]?.delta.content ?? "";
  return all;
}

describe("the official client through the proxy", () => {
  it("lists, chats and streams the same text", async () => {
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toEqual(["tiny", "tools"]);
    const whole = await client.chat.completions.create(ASK);
    expect(whole.choices[0]?.message.content?.length).toBeGreaterThan(0);
    expect(await streamed()).toBe(whole.choices[0]?.message.content);
    expect(await streamed()).toBe(whole.choices[0]?.message.content);
  });

  it("calls a tool, whole and streamed, with arguments that fit its schema", async () => {
    const ask = { ...ASK, model: "tools", max_tokens: 200, tools: [TOOL] };
    const answer = await client.chat.completions.create({ ...ask, tool_choice: "required" });
    const [call] = answer.choices[0]?.message.tool_calls ?? [];
    if (call?.type !== "function") throw new TypeError("no function was called");
    expect(call.function.name).toBe("weather");
    const parsed: unknown = JSON.parse(call.function.arguments);
    expect(parsed).toEqual({ degrees: expect.toBeOneOf([1, 2, 3]) as unknown });
    expect(answer.choices[0]?.finish_reason).toBe("tool_calls");
    const stream = client.chat.completions.stream({ ...ask, tool_choice: "required" });
    const final = await stream.finalChatCompletion();
    expect(final.choices[0]?.message.tool_calls?.[0]).toMatchObject({
      function: { name: "weather", arguments: call.function.arguments },
    });
  });

  it("sees refusals as its own errors", async () => {
    await expect(client.models.retrieve("none")).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(client.chat.completions.create({ ...ASK, tools: [TOOL] })).rejects.toMatchObject({
      status: 400,
      code: "request/unsupported",
      param: "tools",
    });
  });

  it("may leave in the middle, and is served again", async () => {
    const stream = await client.chat.completions.create({ ...LONG, stream: true });
    let chunks = 0;
    for await (const { choices } of stream) {
      expect(choices).toHaveLength(1);
      if (++chunks === 3) break;
    }
    expect((await streamed()).length).toBeGreaterThan(0);
  });
});

interface Curled {
  readonly code: number | null;
  /** Each part of the output as it came, with the time. */
  readonly parts: readonly { readonly text: string; readonly atMs: number }[];
}

function curl(body: object): Promise<Curled> {
  const url = `${proxy.url}/v1/chat/completions`;
  const words = ["-N", "-s", "--fail", url, "-H", "content-type: application/json", "-d", "@-"];
  const child = spawn("curl", words);
  const parts: { text: string; atMs: number }[] = [];
  child.stdout.on("data", (part: Buffer) => {
    parts.push({ text: part.toString(), atMs: performance.now() });
  });
  child.stdin.end(JSON.stringify(body));
  return new Promise((resolve) => {
    child.on("close", (code) => {
      resolve({ code, parts });
    });
  });
}

describe.skipIf(!HAS_CURL)("curl -N through the proxy", () => {
  it("shows events as they come, to the end", async () => {
    const { code, parts } = await curl({ ...LONG, max_tokens: 1500, stream: true });
    expect(code).toBe(0);
    const lines = parts
      .map((part) => part.text)
      .join("")
      .split("\n")
      .filter((line) => line.startsWith("data: "));
    expect(lines.at(-1)).toBe("data: [DONE]");
    expect(lines.length).toBeGreaterThan(5);
    expect(lines.at(-2)).toContain('"finish_reason":"length"');
    for (const line of lines.slice(0, -1)) {
      expect(JSON.parse(line.slice(6))).toMatchObject({ object: "chat.completion.chunk" });
    }
    // As they come: the first long before the last.
    expect((parts.at(-1)?.atMs ?? 0) - (parts[0]?.atMs ?? 0)).toBeGreaterThan(100);
  });

  it("fails where the request is refused", async () => {
    const { code } = await curl({ ...ASK, temperature: 3 });
    // "HTTP page not retrieved".
    expect(code).toBe(22);
  });
});
