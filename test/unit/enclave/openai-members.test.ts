/** Every member of a request: the tables leave none of OpenAI's out, and each row does what it says. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { CHAT } from "../../../enclave/api/openai/chat-members.ts";
import { COMPLETION } from "../../../enclave/api/openai/completion-members.ts";
import { EMBEDDING } from "../../../enclave/api/openai/embeddings.ts";
import type { MemberTable } from "../../../enclave/api/openai/members.ts";
import type { GenerationRequest } from "../../../enclave/text/generation.ts";
import { openAiApp } from "../../fakes/openai-app.ts";
import { createFakeEmbedding, createFakeText } from "../../fakes/text-model.ts";

/** The members of an interface in the official client's declarations. */
function declared(file: string, name: string): readonly string[] {
  const path = fileURLToPath(import.meta.resolve(`openai/resources/${file}`));
  const source = readFileSync(path.replace(/\.m?js$/u, ".d.ts"), "utf8");
  const start = source.indexOf(`export interface ${name} {`);
  const text = source.slice(start, source.indexOf("\n}", start));
  return [...text.matchAll(/^ {4}([a-z_]+)\??:/gmu)].map(([, member = ""]) => member);
}

function tabled<T>(table: MemberTable<T>): readonly string[] {
  return [...Object.keys(table.honoured), ...Object.keys(table.others)];
}

describe("the tables", () => {
  it.each([
    ["chat/completions/completions.js", "ChatCompletionCreateParamsBase", tabled(CHAT)],
    ["completions.js", "CompletionCreateParamsBase", tabled(COMPLETION)],
    ["embeddings.js", "EmbeddingCreateParams", tabled(EMBEDDING)],
  ])("leave out nothing that %s has", (file, name, rows) => {
    const members = declared(file, name);
    expect(members.length).toBeGreaterThan(4);
    expect(members.filter((member) => !rows.includes(member))).toEqual([]);
  });
});

const ASK = { model: "fake", messages: [{ role: "user", content: "Hello" }] };

function fakeApp() {
  const fake = createFakeText({
    script: ({ choices }) => choices.map(() => ({ pieces: ["one STOP two"] })),
  });
  return { fake, app: openAiApp([fake.model, createFakeEmbedding("vectors")]) };
}

/** What the engine is asked where the request has these members. */
async function asked(changes: object, path = "chat/completions"): Promise<GenerationRequest> {
  const { fake, app } = fakeApp();
  const base = path === "completions" ? { model: "fake", prompt: "Hello" } : ASK;
  const { status, body } = await app.post(`/v1/${path}`, { ...base, ...changes });
  expect(body).not.toHaveProperty("error");
  expect(status).toBe(200);
  const [request] = fake.requests;
  if (request === undefined) throw new TypeError("nothing was generated");
  return request;
}

/** One example of each honoured member that reaches the engine, and what it asks for. */
const SAMPLING_ROWS: readonly (readonly [
  string,
  unknown,
  Partial<GenerationRequest["sampling"]>,
])[] = [
  ["temperature", 1.5, { temperature: 1.5 }],
  ["top_p", 0.5, { topP: 0.5 }],
  ["top_k", 7, { topK: 7 }],
  ["top_k", -1, { topK: 0 }],
  ["min_p", 0.1, { minP: 0.1 }],
  ["frequency_penalty", -0.5, { frequencyPenalty: -0.5 }],
  ["presence_penalty", 2, { presencePenalty: 2 }],
  ["repetition_penalty", 1.1, { repetitionPenalty: 1.1 }],
  [
    "logit_bias",
    { 65: -100, 7: 2.5 },
    {
      logitBias: [
        [7, 2.5],
        [65, -100],
      ],
    },
  ],
];

describe("a member that is honoured", () => {
  it.each(SAMPLING_ROWS)("%s: %j reaches the engine", async (name, value, expected) => {
    for (const path of ["chat/completions", "completions"]) {
      const { sampling } = await asked({ [name]: value }, path);
      expect(sampling).toMatchObject(expected);
    }
  });

  it("is the model's own default where it is not given, or null", async () => {
    const own = { temperature: 0.7, topP: 0.9, topK: 40, minP: 0, repetitionPenalty: 1 };
    const rest = { frequencyPenalty: 0, presencePenalty: 0, logitBias: [], topLogprobs: null };
    expect((await asked({})).sampling).toEqual({ ...own, ...rest });
    const nulls = Object.fromEntries(
      [...tabled(CHAT)].filter((name) => !(name in ASK)).map((name) => [name, null]),
    );
    expect((await asked(nulls)).sampling).toEqual({ ...own, ...rest });
  });

  it("seed: choice i has the seed + i; without one, another each time", async () => {
    const { choices } = await asked({ seed: 41, n: 3 });
    expect(choices).toEqual([{ seed: 41 }, { seed: 42 }, { seed: 43 }]);
    const [first, second] = [await asked({}), await asked({})];
    expect(first.choices[0]?.seed).not.toBe(second.choices[0]?.seed);
    expect(Number.isSafeInteger(first.choices[0]?.seed)).toBe(true);
  });

  it("max_tokens and max_completion_tokens: the answer's length, else what the context leaves", async () => {
    expect((await asked({ max_tokens: 3 })).maxTokens).toBe(3);
    expect((await asked({ max_completion_tokens: 4 })).maxTokens).toBe(4);
    expect((await asked({ max_completion_tokens: 4, max_tokens: 4 })).maxTokens).toBe(4);
    const { prompt, maxTokens } = await asked({});
    expect(maxTokens).toBe(512 - prompt.length);
    expect((await asked({}, "completions")).maxTokens).toBe(16);
  });

  it("logprobs and top_logprobs: how many alternatives", async () => {
    expect((await asked({ logprobs: true })).sampling.topLogprobs).toBe(0);
    expect((await asked({ logprobs: true, top_logprobs: 20 })).sampling.topLogprobs).toBe(20);
    expect((await asked({ logprobs: false })).sampling.topLogprobs).toBeNull();
    expect((await asked({ logprobs: 5 }, "completions")).sampling.topLogprobs).toBe(5);
  });

  it("response_format: what the answer is constrained to", async () => {
    const format = async (value: object) => (await asked({ response_format: value })).constraint;
    expect(await format({ type: "text" })).toBeNull();
    expect(await format({ type: "json_object" })).toEqual([{ kind: "json-object" }]);
    const schema = { type: "object", properties: {}, additionalProperties: false };
    for (const strict of [true, false, null]) {
      const named = { name: "nothing", strict, schema };
      expect(await format({ type: "json_schema", json_schema: named })).toEqual([
        { kind: "json-schema", schema },
      ]);
    }
  });

  it("chat_template_kwargs: what the template is rendered with", async () => {
    const { fake, app } = fakeApp();
    for (const thinking of [true, false]) {
      const kwargs = { enable_thinking: thinking };
      await app.post("/v1/chat/completions", { ...ASK, chat_template_kwargs: kwargs });
    }
    expect(fake.prompts.map((prompt) => prompt.endsWith("<think></think>"))).toEqual([false, true]);
  });

  it("messages: names where the template uses them, parts as one text, developers as system", async () => {
    const { fake, app } = fakeApp();
    const content = [
      { type: "text", text: "Hel" },
      { type: "text", text: "lo" },
    ];
    const messages = [
      { role: "developer", content: "Be kind" },
      { role: "user", name: "Ada", content },
      { role: "assistant", content: "Hm", refusal: null, tool_calls: null, annotations: [] },
    ];
    expect((await app.post("/v1/chat/completions", { ...ASK, messages })).status).toBe(200);
    expect(fake.prompts[0]).toBe(
      "<|im_start|>system\nBe kind<|im_end|>\n<|im_start|>user Ada\nHello<|im_end|>\n<|im_start|>assistant\nHm<|im_end|>\n<|im_start|>assistant\n",
    );
  });
});

describe("a member that changes nothing", () => {
  it.each([
    ["user", "u1"],
    ["safety_identifier", "u1"],
    ["metadata", { a: "b" }],
    ["store", false],
    ["service_tier", "auto"],
    ["service_tier", "default"],
    ["modalities", ["text"]],
    ["stream", false],
  ])("%s: %j is accepted", async (name, value) => {
    await expect(asked({ [name]: value })).resolves.toMatchObject({ constraint: null });
  });
});

const IMAGE = { type: "image_url", image_url: { url: "https://example.com/a.png" } };
const USER = { role: "user", content: "x" };
const CALL = { id: "c", type: "function", function: { name: "f", arguments: "{}" } };

/** The member at fault, the code, and the members that are sent. */
const REFUSED: readonly (readonly [param: string, code: string, changes: object])[] = [
  ...Object.entries(CHAT.others)
    .filter(([, row]) => row.rule === "refused")
    .map(([name]) => [name, "request/unsupported", { [name]: "x" }] as const),
  ["unheard_of", "request/unsupported", { unheard_of: 1 }],
  ["__proto__", "request/unsupported", JSON.parse('{"__proto__":{"a":1}}')],
  ["constructor", "request/unsupported", { constructor: 1 }],
  ["store", "request/unsupported", { store: true }],
  ["service_tier", "request/unsupported", { service_tier: "flex" }],
  ["service_tier", "request/structure", { service_tier: "gold" }],
  ["modalities[0]", "request/unsupported", { modalities: ["audio"] }],
  ["metadata.a", "request/structure", { metadata: { a: 1 } }],
  ["user", "request/structure", { user: 1 }],
  ["temperature", "request/parameter", { temperature: -0.1 }],
  ["temperature", "request/parameter", { temperature: 2.01 }],
  ["temperature", "request/structure", { temperature: "1" }],
  ["top_p", "request/parameter", { top_p: 0 }],
  ["top_p", "request/parameter", { top_p: 1.1 }],
  ["top_k", "request/parameter", { top_k: 1.5 }],
  ["top_k", "request/parameter", { top_k: -2 }],
  ["min_p", "request/parameter", { min_p: 1.1 }],
  ["frequency_penalty", "request/parameter", { frequency_penalty: 2.1 }],
  ["presence_penalty", "request/parameter", { presence_penalty: -2.1 }],
  ["repetition_penalty", "request/parameter", { repetition_penalty: 0 }],
  ["logit_bias.65", "request/parameter", { logit_bias: { 65: 101 } }],
  ["logit_bias.9999", "request/parameter", { logit_bias: { 9999: 1 } }],
  ["logit_bias", "request/structure", { logit_bias: { cat: 1 } }],
  ["logit_bias", "request/structure", { logit_bias: [1] }],
  ["seed", "request/parameter", { seed: -1 }],
  ["seed", "request/parameter", { seed: 2 ** 53 }],
  ["n", "request/parameter", { n: 0 }],
  ["n", "request/parameter", { n: 9 }],
  ["stop", "request/parameter", { stop: ["a", "b", "c", "d", "e"] }],
  ["stop[1]", "request/parameter", { stop: ["a", ""] }],
  ["stop", "request/structure", { stop: 1 }],
  ["max_tokens", "request/parameter", { max_tokens: 0 }],
  ["max_tokens", "request/parameter", { max_tokens: 1e300 }],
  ["max_tokens", "request/structure", { max_tokens: 3, max_completion_tokens: 4 }],
  ["max_tokens", "prompt/too-long", { max_tokens: 512 }],
  ["max_completion_tokens", "prompt/too-long", { max_completion_tokens: 512 }],
  ["logprobs", "request/structure", { logprobs: 1 }],
  ["top_logprobs", "request/parameter", { logprobs: true, top_logprobs: 21 }],
  ["top_logprobs", "request/structure", { top_logprobs: 2 }],
  ["stream_options", "request/structure", { stream_options: { include_usage: true } }],
  [
    "stream_options.include_obfuscation",
    "request/unsupported",
    { stream: true, stream_options: { include_obfuscation: true } },
  ],
  ["stream_options.every", "request/unsupported", { stream: true, stream_options: { every: 1 } }],
  ["response_format.type", "request/structure", { response_format: {} }],
  ["response_format.type", "request/unsupported", { response_format: { type: "grammar" } }],
  [
    "response_format.json_schema",
    "request/structure",
    { response_format: { type: "json_schema" } },
  ],
  [
    "response_format.json_schema",
    "request/structure",
    { response_format: { type: "text", json_schema: {} } },
  ],
  [
    "response_format.json_schema.schema",
    "request/structure",
    { response_format: { type: "json_schema", json_schema: { name: "a" } } },
  ],
  [
    "response_format.json_schema.description",
    "request/unsupported",
    {
      response_format: {
        type: "json_schema",
        json_schema: { name: "a", schema: {}, description: "b" },
      },
    },
  ],
  ["chat_template_kwargs.tools", "request/unsupported", { chat_template_kwargs: { tools: "x" } }],
  ["chat_template_kwargs.depth", "request/unsupported", { chat_template_kwargs: { depth: 3 } }],
  ["chat_template_kwargs.deep", "request/structure", { chat_template_kwargs: { deep: [] } }],
  ["messages", "request/structure", { messages: null }],
  ["messages", "request/parameter", { messages: [] }],
  ["messages[0]", "request/structure", { messages: ["x"] }],
  ["messages[0].role", "request/structure", { messages: [{ content: "x" }] }],
  ["messages[0].role", "request/structure", { messages: [{ role: "king", content: "x" }] }],
  ["messages[0].role", "request/unsupported", { messages: [{ role: "function", content: "x" }] }],
  ["messages[0].content", "request/structure", { messages: [{ role: "user" }] }],
  ["messages[1].content", "request/structure", { messages: [USER, { role: "assistant" }] }],
  [
    "messages[0].content[0].type",
    "request/unsupported",
    { messages: [{ role: "user", content: [{ type: "image_url" }] }] },
  ],
  [
    "messages[0].content[0].image_url",
    "request/unsupported",
    { messages: [{ role: "user", content: [IMAGE] }] },
  ],
  [
    "messages[0].content[0].text",
    "request/structure",
    { messages: [{ role: "user", content: [{ type: "text" }] }] },
  ],
  [
    "messages[0].name",
    "request/unsupported",
    { messages: [{ role: "system", name: "a", content: "x" }] },
  ],
  ["messages[0].weight", "request/unsupported", { messages: [{ ...USER, weight: 1 }] }],
  [
    "messages[0].tool_calls",
    "request/unsupported",
    { messages: [{ ...USER, tool_calls: [CALL] }] },
  ],
  [
    "messages[0].refusal",
    "request/unsupported",
    { messages: [{ role: "assistant", content: "a", refusal: "no" }] },
  ],
  [
    "messages[0].function_call",
    "request/unsupported",
    { messages: [{ role: "assistant", content: "a", function_call: {} }] },
  ],
  ["model", "request/structure", { model: null }],
  ["model", "request/structure", { model: 7 }],
  ["model", "model/unknown", { model: "other" }],
  ["model", "model/unknown", { model: "fake@2" }],
  ["model", "request/unsupported", { model: "vectors" }],
  ["model", "request/unsupported", { model: "tensors" }],
];

describe("a member that is refused", () => {
  it.each(REFUSED)("%s with %s: %j", async (param, code, changes) => {
    const { fake, app } = fakeApp();
    // Not by spreading: a member named __proto__ has to arrive as one.
    const members = [...Object.entries(ASK), ...Object.entries(changes)];
    const last = new Map(members.map(([name, value]) => [name, JSON.stringify(value)]));
    const json = [...last].map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",");
    const { status, body } = await app.post("/v1/chat/completions", `{${json}}`);
    expect(body).toMatchObject({ error: { param, code, type: "invalid_request_error" } });
    expect(status).toBe(code === "model/unknown" ? 404 : 400);
    expect(fake.requests).toEqual([]);
  });

  it("says the number that is out of range", async () => {
    const { app } = fakeApp();
    const { body } = await app.post("/v1/chat/completions", { ...ASK, temperature: 2.5 });
    expect(body).toMatchObject({
      error: { message: 'request/parameter: "temperature" is 2.5, want 0 to 2' },
    });
  });
});
