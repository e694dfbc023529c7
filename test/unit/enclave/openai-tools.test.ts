/** Tools: what the template is told, what the answer must be, and how calls are found in it. */
import { describe, expect, it } from "vitest";
import { createCallReader, type CallDelta } from "../../../enclave/api/openai/tool-calls.ts";
import type { ToolUse } from "../../../enclave/api/openai/tools.ts";
import type { ToolSyntax } from "../../../enclave/text/model.ts";
import { openAiApp, type OpenAiApp } from "../../fakes/openai-app.ts";
import { createFakeText, type FakeText } from "../../fakes/text-model.ts";

const HERMES: ToolSyntax = {
  open: "<tool_call>\n",
  close: "\n</tool_call>",
  argumentsKey: "arguments",
};
const LLAMA: ToolSyntax = { open: "", close: "", argumentsKey: "parameters" };

const SCHEMA = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const WEATHER = {
  type: "function" as const,
  function: { name: "weather", description: "Tells the weather", parameters: SCHEMA },
};
const TIME = { type: "function" as const, function: { name: "time" } };
const CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>';

const ASK = { model: "fake", messages: [{ role: "user" as const, content: "Weather?" }] };

function answering(
  text: string,
  tools: ToolSyntax | null = HERMES,
): { app: OpenAiApp; fake: FakeText } {
  const fake = createFakeText({ tools, script: () => [{ pieces: text.split("") }] });
  return { app: openAiApp([fake.model]), fake };
}

function useOf(syntax: ToolSyntax, parallel = true): ToolUse {
  const tools = [WEATHER, TIME].map((tool) => ({
    name: tool.function.name,
    schema: null,
    given: {},
    param: "",
  }));
  return { syntax, tools, mode: "auto", parallel };
}

/** All that a reader says of a text that comes letter by letter. */
function read(use: ToolUse, text: string): { content: string; calls: readonly CallDelta[] } {
  const reader = createCallReader(use);
  let content = "";
  const calls: CallDelta[] = [];
  for (const letter of text) {
    const said = reader.push(letter);
    content += said.content;
    calls.push(...said.calls);
    if (reader.done) break;
  }
  const last = reader.end();
  return { content: content + last.content, calls: [...calls, ...last.calls] };
}

describe("tools with tool_choice auto", () => {
  it("are calls where the answer has them, whole and streamed", async () => {
    const { app, fake } = answering(`Let me see.\n${CALL}\n`);
    const tools = [WEATHER, TIME];
    const answer = await app.client.chat.completions.create({ ...ASK, tools });
    const [choice] = answer.choices;
    expect(choice?.finish_reason).toBe("tool_calls");
    expect(choice?.message.content).toBe("Let me see.");
    const [call] = choice?.message.tool_calls ?? [];
    expect(call).toMatchObject({
      type: "function",
      function: { name: "weather", arguments: '{"city": "Bern"}' },
    });
    expect(call?.id).toMatch(/^call_[0-9a-f]{32}$/u);
    expect(fake.prompts[0]).toContain(`tools\n${JSON.stringify(tools)}`);
    expect(fake.requests[0]?.constraint).toBeNull();
    expect(app.exchange().outcome.finishReason).toBe("tool_calls");

    const stream = app.client.chat.completions.stream({ ...ASK, tools });
    const streamed = await stream.finalChatCompletion();
    expect(streamed.choices[0]?.message).toMatchObject({
      content: "Let me see.",
      tool_calls: [{ function: { name: "weather", arguments: '{"city": "Bern"}' } }],
    });
    expect(streamed.choices[0]?.finish_reason).toBe("tool_calls");
  });

  it.each([
    ["a call of a tool that there is not", '<tool_call>{"name":"rm","arguments":{}}</tool_call>'],
    ["what is no JSON", "<tool_call>{weather}</tool_call>"],
    ["arguments that are no object", '<tool_call>{"name":"time","arguments":[1]}</tool_call>'],
    ["half a mark", "a <tool_cal"],
    ["a mark and no more", "a <tool_call>{"],
    ["text alone", "no call at all"],
  ])("leave %s as text", (_, text) => {
    expect(read(useOf(HERMES), text)).toEqual({ content: text, calls: [] });
  });

  it("are several where the answer has several, without the white space between", () => {
    const second = '<tool_call>{"name":"time"}</tool_call>';
    const { content, calls } = read(useOf(HERMES), ` \n${CALL}\n${second}\n`);
    expect(content).toBe("");
    expect(calls.map(({ index, head, arguments: given }) => [index, head?.name, given])).toEqual([
      [0, "weather", '{"city": "Bern"}'],
      [1, "time", "{}"],
    ]);
  });

  it("are one where parallel calls are not wanted, and the answer stops there", async () => {
    const { app, fake } = answering(`${CALL}${CALL}`);
    const answer = await app.client.chat.completions.create({
      ...ASK,
      tools: [WEATHER],
      parallel_tool_calls: false,
    });
    expect(answer.choices[0]?.message.tool_calls).toHaveLength(1);
    expect(answer.choices[0]?.finish_reason).toBe("tool_calls");
    expect(answer.usage?.completion_tokens).toBe(CALL.length);
    expect(fake.stopped).toEqual([0]);
  });

  it("take time in proportion to the answer, however long a call is not ended", () => {
    const reader = createCallReader(useOf(HERMES));
    reader.push("<tool_call>");
    const startedMs = performance.now();
    // Searched anew for each piece, these would be 10^11 characters.
    for (let i = 0; i < 300_000; i++) reader.push("12345 ");
    const { content, calls } = reader.end();
    expect(performance.now() - startedMs).toBeLessThan(5000);
    expect(content.length).toBe("<tool_call>".length + 1_800_000);
    expect(calls).toEqual([]);
  });

  it("are what the official client's own loop runs", async () => {
    const fake = createFakeText({
      tools: HERMES,
      script: (_, prompt) => [{ pieces: [prompt.includes("rain") ? "It rains." : CALL] }],
    });
    const { client } = openAiApp([fake.model]);
    const cities: string[] = [];
    const runner = client.chat.completions.runTools({
      ...ASK,
      tools: [
        {
          type: "function",
          function: {
            name: "weather",
            description: "Tells the weather",
            parameters: { ...SCHEMA, additionalProperties: false },
            strict: true,
            parse: (text: string): unknown => JSON.parse(text),
            function: (given: unknown) => {
              cities.push(JSON.stringify(given));
              return "rain";
            },
          },
        },
      ],
    });
    expect(await runner.finalContent()).toBe("It rains.");
    expect(cities).toEqual(['{"city":"Bern"}']);
  });

  it("are a call without its last mark too", () => {
    const { content, calls } = read(useOf(HERMES), CALL.replace("</tool_call>", ""));
    expect(content).toBe("");
    expect(calls).toHaveLength(1);
  });

  it("are the whole answer where the template has no marks", () => {
    const call = '{"name": "weather", "parameters": {"city": "Bern"}}';
    expect(read(useOf(LLAMA), call).calls).toMatchObject([
      { index: 0, head: { name: "weather" }, arguments: '{"city": "Bern"}' },
    ]);
    expect(read(useOf(LLAMA), '{"a": 1}')).toEqual({ content: '{"a": 1}', calls: [] });
    expect(read(useOf(LLAMA), " So be it {}")).toEqual({ content: " So be it {}", calls: [] });
  });
});

describe("a call that must be made", () => {
  it("is what the answer is constrained to, and its arguments come as they are made", async () => {
    const made = '<tool_call>\n{"name": "time", "arguments": {"a":"}\\"","b":[{}]}}\n</tool_call>';
    const { app, fake } = answering(made);
    const stream = await app.client.chat.completions.create({
      ...ASK,
      tools: [WEATHER, TIME],
      tool_choice: "required",
      stream: true,
    });
    let given = "";
    const names: (string | undefined)[] = [];
    let finish: string | null = null;
    for await (const { choices } of stream) {
      const [choice] = choices;
      for (const { index, id, function: called } of choice?.delta.tool_calls ?? []) {
        expect(index).toBe(0);
        if (id !== undefined) names.push(called?.name);
        given += called?.arguments ?? "";
      }
      finish = choice?.finish_reason ?? finish;
    }
    expect(names).toEqual(["time"]);
    expect(given).toBe('{"a":"}\\"","b":[{}]}');
    expect(finish).toBe("tool_calls");
    expect(fake.requests[0]?.constraint).toEqual([
      {
        kind: "choice",
        options: ["weather", "time"].map((name) => [
          { kind: "literal", text: `<tool_call>\n{"name": "${name}", "arguments": ` },
          { kind: "json-object" },
          { kind: "literal", text: "}\n</tool_call>" },
        ]),
      },
    ]);
  });

  it("is the tool that was named, held to its schema where it is strict", async () => {
    const { app, fake } = answering(CALL);
    const answer = await app.client.chat.completions.create({
      ...ASK,
      tools: [{ ...WEATHER, function: { ...WEATHER.function, strict: true } }, TIME],
      tool_choice: { type: "function", function: { name: "weather" } },
    });
    expect(answer.choices[0]?.message).toMatchObject({
      content: null,
      tool_calls: [{ function: { name: "weather", arguments: '{"city": "Bern"}' } }],
    });
    expect(answer.choices[0]?.finish_reason).toBe("tool_calls");
    expect(fake.requests[0]?.constraint).toEqual([
      { kind: "literal", text: '<tool_call>\n{"name": "weather", "arguments": ' },
      { kind: "json-schema", schema: SCHEMA },
      { kind: "literal", text: "}\n</tool_call>" },
    ]);
  });

  it("is no call to be made where it was cut short", async () => {
    const { app } = answering(CALL);
    const answer = await app.client.chat.completions.create({
      ...ASK,
      tools: [WEATHER],
      tool_choice: "required",
      max_tokens: 60,
    });
    expect(answer.choices[0]?.finish_reason).toBe("length");
  });
});

describe("tool_choice none", () => {
  it("hides the tools, and leaves what looks like a call as text", async () => {
    const { app, fake } = answering(CALL);
    const answer = await app.client.chat.completions.create({
      ...ASK,
      tools: [WEATHER],
      tool_choice: "none",
    });
    expect(answer.choices[0]?.message.content).toBe(CALL);
    expect(answer.choices[0]?.message.tool_calls).toBeUndefined();
    expect(fake.prompts[0]).not.toContain("weather");
  });
});

describe("messages about tools", () => {
  it("go to the template, with arguments as what they say", async () => {
    const { app, fake } = answering("It rains.");
    await app.client.chat.completions.create({
      model: "fake",
      messages: [
        { role: "user", content: "Weather?" },
        {
          role: "assistant",
          content: null,
          tool_calls: [
            {
              id: "c1",
              type: "function",
              function: { name: "weather", arguments: '{"city":"Bern"}' },
            },
          ],
        },
        { role: "tool", tool_call_id: "c1", content: "rain" },
      ],
      tools: [WEATHER],
    });
    expect(fake.prompts[0]).toContain('"arguments":{"city":"Bern"}');
    expect(fake.prompts[0]).toContain("<|im_start|>tool(c1)\nrain<|im_end|>");
  });
});

const TOOL_MESSAGE = { role: "tool", tool_call_id: "c9", content: "x" };

describe("tools that are refused", () => {
  it.each([
    ["tools", null, { tools: [WEATHER] }],
    ["tool_choice", null, { tool_choice: "auto" }],
    ["parallel_tool_calls", null, { parallel_tool_calls: true }],
    ["messages[0].role", null, { messages: [TOOL_MESSAGE] }],
    ["messages[0].tool_call_id", HERMES, { messages: [TOOL_MESSAGE] }],
    ["tool_choice", HERMES, { tool_choice: "required" }],
    ["tool_choice", HERMES, { tools: [WEATHER], tool_choice: "maybe" }],
    ["tool_choice.type", HERMES, { tools: [WEATHER], tool_choice: { type: "allowed_tools" } }],
    [
      "tool_choice.function.name",
      HERMES,
      { tools: [WEATHER], tool_choice: { type: "function", function: { name: "time" } } },
    ],
    ["tools[1].function.name", HERMES, { tools: [WEATHER, WEATHER] }],
    ["tools[0].type", HERMES, { tools: [{ type: "custom" }] }],
    ["tools[0].custom", HERMES, { tools: [{ type: "function", custom: {} }] }],
    ["tools[0].function", HERMES, { tools: [{ type: "function" }] }],
    [
      "tools[0].function.name",
      HERMES,
      { tools: [{ type: "function", function: { name: "a b" } }] },
    ],
    [
      "tools[0].function.cache",
      HERMES,
      { tools: [{ type: "function", function: { name: "a", cache: 1 } }] },
    ],
    [
      "tools[1].function.parameters#/pattern",
      HERMES,
      {
        tools: [
          WEATHER,
          { type: "function", function: { name: "a", strict: true, parameters: { pattern: "a" } } },
        ],
      },
    ],
    ["response_format", HERMES, { tools: [WEATHER], response_format: { type: "json_object" } }],
  ])("%s", async (param, syntax, changes) => {
    const { app, fake } = answering("x", syntax);
    const { status, body } = await app.post("/v1/chat/completions", { ...ASK, ...changes });
    expect(status).toBe(400);
    expect(body).toMatchObject({ error: { param, type: "invalid_request_error" } });
    expect(fake.requests).toEqual([]);
  });
});
