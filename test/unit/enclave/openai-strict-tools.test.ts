/** Calls of strict tools that are found in text: those that fit the schema, word for word. */
import { describe, expect, it } from "vitest";
import { memberText } from "../../../enclave/api/openai/json-member.ts";
import { createCallReader } from "../../../enclave/api/openai/tool-calls.ts";
import { openAiApp, type OpenAiApp } from "../../fakes/openai-app.ts";
import { createFakeText } from "../../fakes/text-model.ts";

const HERMES = {
  open: "<tool_call>\n",
  close: "\n</tool_call>",
  argumentsKey: "arguments",
} as const;
const ASK = { model: "fake", messages: [{ role: "user" as const, content: "Weather?" }] };

function answering(text: string, contextLength = 512): { app: OpenAiApp } {
  const script = () => [{ pieces: text.split("") }];
  const fake = createFakeText({ tools: HERMES, contextLength, script });
  return { app: openAiApp([fake.model]) };
}

describe("strict tools with tool_choice auto", () => {
  const strict = {
    type: "function" as const,
    function: {
      name: "weather",
      strict: true,
      parameters: {
        type: "object",
        properties: {
          place: {
            type: "object",
            properties: { city: { type: "string" }, zip: { type: "integer" } },
            required: ["city", "zip"],
            additionalProperties: false,
          },
          days: { type: "array", items: { enum: [1, 2] } },
        },
        required: ["place", "days"],
        additionalProperties: false,
      },
    },
  };

  it.each([
    ["fits", '{"place": {"city": "Bern", "zip": 3000}, "days": [1, 2]}', true],
    ["fits in another order", '{"days": [], "place": {"zip": 1, "city": "\\u00e9"}}', true],
    ["has a wrong type", '{"place": {"city": 1, "zip": 3000}, "days": []}', false],
    ["lacks a member", '{"place": {"city": "Bern"}, "days": []}', false],
    ["has a member too many", '{"place": {"city": "B", "zip": 1}, "days": [], "x": 1}', false],
    ["has another value", '{"place": {"city": "B", "zip": 1}, "days": [3]}', false],
  ])("make a call where it %s, else none", async (_, given, called) => {
    const said = `<tool_call>{"name": "weather", "arguments": ${given}}</tool_call>`;
    const { app } = answering(said);
    const answer = await app.client.chat.completions.create({ ...ASK, tools: [strict] });
    const [choice] = answer.choices;
    expect(choice?.finish_reason).toBe(called ? "tool_calls" : "stop");
    expect(choice?.message.content).toBe(called ? null : said);
    const [call] = choice?.message.tool_calls ?? [];
    const made: unknown = call?.type === "function" ? JSON.parse(call.function.arguments) : null;
    expect(made).toEqual(called ? JSON.parse(given) : null);
  });

  const numbers = {
    type: "object",
    properties: {
      'na\u00efve "name"': { type: "integer" },
      small: { type: "number", minimum: 0 },
      id: { type: "integer" },
    },
  };

  it.each([
    ["a large integer with an exponent", '{"id": 1e15}', true],
    ["more digits than a double has", '{"id": 12345678901234567890}', true],
    ["a small number above a bound", '{"small": 1e-7}', true],
    ["a number below a bound", '{"small": -1e-7}', false],
    ["a number beyond all doubles", '{"small": 1e999}', false],
    ["a name written with escapes", '{"na\\u00efve \\"name\\"": 1}', true],
    ["a wrong value under such a name", '{"na\\u00efve \\"name\\"": "1"}', false],
    ["a member that nothing is said of", '{"more": [null], "id": 1}', true],
    ["a member twice", '{"id": 1, "id": 2}', false],
  ])("take %s for what it is, and tell it as it was written", (_, given, called) => {
    const tools = [{ name: "weather", schema: numbers, given: {}, param: "" }];
    const reader = createCallReader({ syntax: HERMES, tools, mode: "auto", parallel: true });
    const said = reader.push(`<tool_call>{"name": "weather", "arguments": ${given} }</tool_call>`);
    expect(said.calls.map((call) => call.arguments)).toEqual(called ? [given] : []);
  });

  it("are compiled once each, and together cost no more than one schema may", async () => {
    // A bound with many digits takes many states and few letters.
    const anyOf = Array.from({ length: 150 }, (_, i) => ({
      type: "number",
      exclusiveMinimum: 0,
      maximum: 7_919_777.5 * (i + 1),
    }));
    const tools = [0, 1, 2, 3].map((index) => ({
      type: "function" as const,
      function: {
        name: `t${index}`,
        strict: true,
        parameters: { type: "object", properties: { a: { anyOf } } },
      },
    }));
    const { app } = answering("No.", 1_000_000);
    const one = await app.client.chat.completions.create({ ...ASK, tools: tools.slice(0, 1) });
    expect(one.choices[0]?.message.content).toBe("No.");
    await expect(app.client.chat.completions.create({ ...ASK, tools })).rejects.toMatchObject({
      status: 400,
      code: "constraint/schema",
      param: "tools[2].function.parameters",
    });
  });
});

describe("the text of a member", () => {
  it.each([
    ['{"a": 1}', "1"],
    ['{"b":"a","a":{"a":[2,{"a":3}]} , "c":4}', '{"a":[2,{"a":3}]}'],
    ['{"b":["a",{"a":1}],"\\u0061":\t"}," }', '"},"'],
    ['{"b":"a"}', null],
    ["{}", null],
  ])("of %s", (json, text) => {
    expect(memberText(json, "a")).toBe(text);
  });
});
