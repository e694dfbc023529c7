import { describe, expect, it } from "vitest";
import type { JsonSchema } from "../../../enclave/text/generation.ts";
import { readText, schemaConstraint } from "../../fakes/constrained.ts";

/** Tests that the schema takes and does not take these texts. */
function expectFits(schema: JsonSchema, whole: readonly string[], not: readonly string[]): void {
  const constraint = schemaConstraint(schema);
  for (const text of whole) expect(readText(constraint, text), text).toBe("whole");
  for (const text of not) expect(readText(constraint, text), text).not.toBe("whole");
}

describe("types", () => {
  it("one, several, and a number that need not be an integer", () => {
    expectFits({ type: "boolean" }, ["true", "false"], ["null", "1", '"true"']);
    expectFits({ type: ["null", "integer"] }, ["null", "-7"], ["true", "1.0", "1e2"]);
    expectFits({ type: ["number", "integer"] }, ["7", "7.5", "1e2"], ["null"]);
    expectFits({}, ["null", "[1]"], [""]);
    expectFits(true, ["null", "[1]"], [""]);
  });

  it("keywords for other types say nothing about this one", () => {
    expectFits({ type: "integer", minLength: 9, required: ["a"] }, ["1"], ['"123456789"']);
  });

  it("without a type, keywords say which is meant", () => {
    expectFits({ properties: { a: { type: "null" } } }, ["{}", '{"a":null}'], ["1", '{"b":1}']);
    expectFits({ minLength: 1 }, ['"a"'], ['""', "1"]);
  });

  it("annotations are passed over", () => {
    const schema = {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      $id: "https://example.com/x",
      $comment: "c",
      title: "t",
      description: "d",
      default: 1,
      examples: [1],
      deprecated: true,
      readOnly: true,
      writeOnly: true,
      type: "null",
    };
    expectFits(schema, ["null"], ["1"]);
  });
});

describe("objects", () => {
  const schema = {
    type: "object",
    properties: { a: { type: "integer" }, 'b"': { type: "boolean" }, c: { type: "null" } },
    required: ['b"', "c"],
    additionalProperties: false,
  };

  it("have their members in the schema's order, optional ones or not", () => {
    expectFits(
      schema,
      ['{"a":1,"b\\"":true,"c":null}', '{"b\\"": false, "c": null}'],
      ['{"b\\"":true}', '{"c":null,"b\\"":true}', '{"a":1,"c":null}', "{}", '{"a":1}'],
    );
  });

  it("each optional member may be left out", () => {
    const properties = { a: { const: 1 }, b: { const: 2 }, c: { const: 3 } };
    expectFits(
      { type: "object", properties },
      ["{}", '{"a":1}', '{"b":2}', '{"c":3}', '{"a":1,"c":3}', '{"a":1,"b":2,"c":3}'],
      ['{"b":2,"a":1}', '{"a":1,"a":1}', '{,"b":2}', '{"d":1}'],
    );
  });

  it("other members come last, with other names and as their schema says", () => {
    expectFits(
      { type: "object", properties: { ab: true }, additionalProperties: { type: "integer" } },
      ["{}", '{"ab":[]}', '{"a":1}', '{"abc":1,"":2}', '{"ab":null,"ba":1}', '{"ä":1}'],
      ['{"x":[]}', '{"x":1,"ab":1}', '{"ab":1,"ab":2}', '{"\\u0061b":1}'],
    );
    expectFits({ type: "object", additionalProperties: true }, ['{"x":{"y":[]}}'], ["[]"]);
    expectFits({ type: "object", additionalProperties: false }, ["{}"], ['{"a":1}']);
    expectFits({ type: "object" }, ["{}", '{"a":1}'], ["[]"]);
  });

  it("what is required and not described must be there", () => {
    expectFits({ type: "object", required: ["x"] }, ['{"x":1}', '{"x":1,"y":2}'], ["{}"]);
    expectFits(
      { type: "object", required: ["x"], additionalProperties: { type: "null" } },
      ['{"x":null}'],
      ['{"x":1}', "{}"],
    );
  });

  it("a member that nothing fits is left out", () => {
    expectFits({ properties: { a: false, b: true } }, ["{}", '{"b":1}'], ['{"a":1}']);
  });
});

describe("arrays", () => {
  it("have as many items as they may", () => {
    const items = { type: "integer" };
    expectFits(
      { type: "array", items, minItems: 2, maxItems: 3 },
      ["[1,2]", "[1,2,3]"],
      ["[]", "[1]", "[1,2,3,4]"],
    );
    expectFits({ type: "array", items, maxItems: 0 }, ["[]"], ["[1]"]);
    expectFits({ type: "array", items: false }, ["[]"], ["[1]"]);
    expectFits({ items, minItems: 1 }, ["[1]", "[1,2]"], ["[]", "[null]"]);
  });

  it("begin with the items of the prefix", () => {
    const prefixItems = [{ const: 1 }, { type: "null" }];
    expectFits({ prefixItems }, ["[]", "[1]", "[1,null]"], ["[null]", "[1,null,1]"]);
    expectFits({ prefixItems, minItems: 2 }, ["[1,null]"], ["[]", "[1]"]);
    expectFits({ prefixItems, minItems: 3 }, ["[1,null,{}]"], ["[1,null]"]);
    expectFits(
      { prefixItems, items: { const: 2 }, maxItems: 3 },
      ["[1]", "[1,null,2]"],
      ["[1,null,2,2]", "[1,null,3]"],
    );
    expectFits({ prefixItems, maxItems: 1 }, ["[]", "[1]"], ["[1,null]"]);
  });
});

describe("strings", () => {
  it("are counted in characters", () => {
    expectFits(
      { type: "string", minLength: 2, maxLength: 3 },
      ['"ab"', '"abc"', '"\u{1f600}ä"', String.raw`"\ud83d\ude00\n"`],
      ['"a"', '"abcd"', '"\u{1f600}"'],
    );
    expectFits({ type: "string", maxLength: 0 }, ['""'], ['"a"']);
  });
});

describe("numbers", () => {
  it.each([
    [
      { type: "integer", minimum: 0, maximum: 150 },
      ["0", "7", "99", "100", "150"],
      ["-1", "151", "1000", "00", "01"],
    ],
    [
      { type: "integer", minimum: -12, maximum: 5 },
      ["-12", "-9", "-1", "0", "5"],
      ["-13", "-0", "6", "10"],
    ],
    [{ type: "integer", exclusiveMinimum: 1.5, exclusiveMaximum: 4 }, ["2", "3"], ["1", "4"]],
    [
      { type: "integer", minimum: 987 },
      ["987", "990", "1000", "999999999999999"],
      ["986", "99", "1000000000000000"],
    ],
    [{ type: "integer", maximum: -5 }, ["-5", "-10"], ["-4", "0", "5"]],
    [
      { type: "number", minimum: 0, maximum: 1 },
      ["0", "1", "0.5", "1.0", "0.99999999999999"],
      ["1.01", "-0.1", "2", "1e0"],
    ],
    [
      { type: "number", exclusiveMinimum: 0, exclusiveMaximum: 1 },
      ["0.5", "0.01"],
      ["0", "0.0", "1", "1.0"],
    ],
    [
      { type: "number", minimum: -0.25, maximum: 0.125 },
      ["-0.25", "-0.2", "0", "0.125", "0.1"],
      ["-0.26", "-0", "0.126", "0.2"],
    ],
    [{ type: "number", minimum: 1, exclusiveMinimum: 1 }, ["1.1", "2"], ["1", "0.9"]],
    [{ type: "number", maximum: 1e15 }, ["999999999999999", "-0.5"], ["9999999999999999", "1e5"]],
  ] as const)("%j", (schema, whole, not) => {
    expectFits(schema, whole, not);
    for (const text of whole) expect(Number.isFinite(JSON.parse(text))).toBe(true);
  });
});

describe("listed values", () => {
  it("are written as we write JSON", () => {
    expectFits(
      { const: { a: [1, "x"], b: null } },
      ['{"a":[1,"x"],"b":null}'],
      ['{"a": [1,"x"],"b":null}'],
    );
    expectFits(
      { enum: ["a", "ab", 1, 10, true] },
      ['"a"', '"ab"', "1", "10", "true"],
      ['"b"', "100", "2"],
    );
    expectFits({ const: "\ud800" }, [String.raw`"\ud800"`], ['"a"']);
  });

  it("are fewer where there is a type, or a const beside the enum", () => {
    expectFits(
      { type: ["integer", "null"], enum: ["a", 1, 1.5, null] },
      ["1", "null"],
      ['"a"', "1.5"],
    );
    expectFits({ enum: ["a", { x: 1, y: 2 }], const: { y: 2, x: 1 } }, ['{"y":2,"x":1}'], ['"a"']);
  });
});

describe("branches and references", () => {
  it("any branch will do", () => {
    const anyOf = [{ type: "null" }, { properties: { a: true }, required: ["a"] }, { const: 5 }];
    expectFits({ anyOf }, ["null", '{"a":1}', "5"], ["{}", "6"]);
    expectFits({ allOf: [{ type: "null" }] }, ["null"], ["1"]);
  });

  it("oneOf, where members tell the branches apart", () => {
    const branch = (kind: string, value: JsonSchema): JsonSchema => ({
      type: "object",
      properties: { kind: { const: kind }, value },
      required: ["kind", "value"],
    });
    expectFits(
      { oneOf: [branch("n", { type: "number" }), branch("s", { type: "string" }), { const: 1 }] },
      ['{"kind":"n","value":1}', '{"kind":"s","value":""}', "1"],
      ['{"kind":"n","value":""}', "2"],
    );
  });

  it("references lead anywhere within, and to themselves", () => {
    const list: JsonSchema = {
      $ref: "#/$defs/a~1b%20c",
      $defs: {
        "a/b c": {
          type: "object",
          properties: { next: { anyOf: [{ $ref: "#" }, { type: "null" }] } },
          required: ["next"],
        },
      },
    };
    expectFits(list, ['{"next":null}', '{"next":{"next":null}}'], ["{}", "null"]);
    expectFits(
      { properties: { a: { type: "null" }, b: { $ref: "#/properties/a" } } },
      ['{"b":null}'],
      ['{"b":1}'],
    );
    expectFits({ anyOf: [{ type: "null" }, true], $defs: {} }, ["null"], [""]);
    expectFits({ prefixItems: [{ const: 1 }, { $ref: "#/prefixItems/0" }] }, ["[1,1]"], ["[1,2]"]);
  });
});

it("parts follow each other, and one of several options", () => {
  const call = (name: string): { kind: "literal"; text: string } => ({
    kind: "literal",
    text: name,
  });
  const constraint = [
    call("<call>"),
    {
      kind: "choice",
      options: [
        [
          call('{"name":"a","arguments":'),
          { kind: "json-schema", schema: { const: 1 } },
          call("}"),
        ],
        [call('{"name":"ab","arguments":'), { kind: "json-object" }, call("}")],
        [],
      ],
    },
    call("ä"),
  ] as const;
  for (const text of [
    '<call>{"name":"a","arguments":1}ä',
    '<call>{"name":"ab","arguments":{}}ä',
    "<call>ä",
  ]) {
    expect(readText(constraint, text)).toBe("whole");
  }
  expect(readText(constraint, '<call>{"name":"ab","arguments":1')).toBe(31);
  expect(readText([], "")).toBe("whole");
});
