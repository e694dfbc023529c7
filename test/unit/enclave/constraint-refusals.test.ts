import { describe, expect, it } from "vitest";
import { compileConstraint, startConstraint } from "../../../enclave/text/constraint.ts";
import { EnclaveError } from "../../../enclave/errors.ts";
import type { JsonSchema } from "../../../enclave/text/generation.ts";
import { createVocabulary } from "../../../enclave/text/vocabulary.ts";
import { constraintRefusal, everyByte, schemaConstraint } from "../../fakes/constrained.ts";

/** The place at which a schema is refused; null where it is not. */
const refused = (text: string): string | null =>
  constraintRefusal(() => {
    const schema: unknown = JSON.parse(text);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the point is that it may not be
    compileConstraint(schemaConstraint(schema as JsonSchema));
  });

const refusedSchema = (schema: unknown): string | null => refused(JSON.stringify(schema));

describe("a keyword that is not honoured is refused with its place", () => {
  const keywords = `pattern format multipleOf not if then else dependentRequired dependentSchemas
    patternProperties propertyNames minProperties maxProperties contains minContains maxContains
    unevaluatedItems unevaluatedProperties contentEncoding contentMediaType $anchor $dynamicRef
    $dynamicAnchor $vocabulary additionalItems dependencies nullable Type __proto__ toString`;

  it.each([...keywords.split(/\s+/), ""])("%s", (keyword) => {
    const member = `"${keyword}": {}`;
    expect(refused(`{ "type": "string", ${member} }`)).toBe(`#/${keyword}`);
    expect(refused(`{ "properties": { "a/~": { "items": { ${member} } } } }`)).toBe(
      `#/properties/a~1~0/items/${keyword}`,
    );
    expect(refused(`{ "anyOf": [true, { ${member} }] }`)).toBe(`#/anyOf/1/${keyword}`);
    expect(refused(`{ "$ref": "#/$defs/x", "$defs": { "x": { ${member} } } }`)).toBe(
      `#/$defs/x/${keyword}`,
    );
  });

  it("not where nothing leads to it", () => {
    expect(refusedSchema({ type: "null", $defs: { x: { pattern: "a" } } })).toBe(null);
    expect(refusedSchema({ type: "null", default: { pattern: "a" } })).toBe(null);
  });

  it("an identifier below the root, which would move references", () => {
    expect(refusedSchema({ $id: "https://a.example/", properties: { a: { $id: "b" } } })).toBe(
      "#/properties/a/$id",
    );
  });
});

describe("an operand of the wrong kind is refused with its place", () => {
  it.each([
    [{ type: "text" }, "#/type"],
    [{ type: [] }, "#/type"],
    [{ type: ["null", "null"] }, "#/type"],
    [{ type: 5 }, "#/type"],
    [{ type: "string", minLength: -1 }, "#/minLength"],
    [{ type: "string", maxLength: 1.5 }, "#/maxLength"],
    [{ type: "array", minItems: "1" }, "#/minItems"],
    [{ type: "array", uniqueItems: true }, "#/uniqueItems"],
    [{ type: "array", prefixItems: {} }, "#/prefixItems"],
    [{ type: "array", items: [true] }, "#/items"],
    [{ type: "array", items: null }, "#/items"],
    [{ type: "number", minimum: null }, "#/minimum"],
    [{ type: "object", properties: [] }, "#/properties"],
    [{ type: "object", properties: { a: 1 } }, "#/properties/a"],
    [{ type: "object", required: "a" }, "#/required"],
    [{ type: "object", required: [1] }, "#/required"],
    [{ type: "object", additionalProperties: "no" }, "#/additionalProperties"],
    [{ enum: "a" }, "#/enum"],
    [{ anyOf: {} }, "#/anyOf"],
    [{ anyOf: [] }, "#/anyOf"],
    [{ allOf: [true, true] }, "#/allOf"],
    [{ $ref: 1 }, "#/$ref"],
    [{ $ref: "other.json" }, "#/$ref"],
    [{ $ref: "#anchor" }, "#/$ref"],
    [{ $ref: "#/$defs/none" }, "#/$ref"],
    [{ $ref: "#/toString" }, "#/$ref"],
    [{ $ref: "#/%" }, "#/$ref"],
    [{ $ref: "#/type", type: "null" }, "#/type"],
    [{ anyOf: [true], type: "null" }, "#/type"],
    [{ anyOf: [true], oneOf: [true] }, "#/oneOf"],
    [{ enum: ["a"], minLength: 1 }, "#/minLength"],
    [[], "#"],
    ["string", "#"],
    [null, "#"],
  ])("%j", (schema, place) => {
    expect(refusedSchema(schema)).toBe(place);
  });

  it("a number that JSON cannot give back", () => {
    expect(refused('{ "const": 1e999 }')).toBe("#/const");
    expect(refused('{ "enum": [[1e999]] }')).toBe("#/enum");
    expect(refused('{ "type": "number", "maximum": 1e999 }')).toBe("#/maximum");
  });
});

describe("what nothing fits is refused", () => {
  it.each([
    false,
    { enum: [] },
    { enum: ["a"], type: "null" },
    { enum: ["a"], const: "b" },
    { type: "string", minLength: 3, maxLength: 2 },
    { type: "array", minItems: 1, maxItems: 0 },
    { type: "array", items: false, minItems: 1 },
    { type: "integer", minimum: 5, maximum: 4 },
    { type: "integer", exclusiveMinimum: 1, exclusiveMaximum: 2 },
    { type: "number", exclusiveMinimum: 1, maximum: 1 },
    { type: "integer", minimum: 1e15 },
    { type: "object", required: ["a"], additionalProperties: false },
    { type: "object", properties: { a: false }, required: ["a"] },
    { anyOf: [false, { enum: [] }] },
    // Only endless values would fit, or none of any depth.
    { $ref: "#" },
    { properties: { a: { $ref: "#" } }, required: ["a"] },
    { type: "array", items: { $ref: "#" }, minItems: 1 },
  ])("%j", (schema) => {
    expect(refusedSchema(schema)).toBe("#");
  });
});

describe("oneOf is refused unless its branches plainly exclude each other", () => {
  const tagged = (tag: unknown): unknown => ({
    type: "object",
    properties: { tag: { const: tag } },
    required: ["tag"],
  });

  it.each([
    [[{ type: "integer" }, { type: "number" }]],
    [[{ type: "string" }, { const: "a" }]],
    [[tagged("a"), tagged("a")]],
    [[tagged("a"), { ...Object(tagged("b")), required: [] }]],
    // Without a type, properties say nothing about a string, which then fits both.
    [
      [
        { properties: { a: { const: 1 } }, required: ["a"] },
        { properties: { a: { const: 2 } }, required: ["a"] },
      ],
    ],
    [[true, { type: "null" }]],
    [[{ enum: [{ a: 1, b: 2 }] }, { const: { b: 2, a: 1 } }]],
  ])("%j", (oneOf) => {
    expect(refusedSchema({ oneOf })).toBe("#/oneOf");
  });

  it.each([
    [[{ type: "string" }, { type: ["null", "integer"] }, { enum: [1.5, true] }]],
    [[tagged("a"), tagged("b"), tagged(1), { type: "array" }]],
    [[{ $ref: "#/$defs/a" }, { anyOf: [{ type: "null" }, { type: "boolean" }] }]],
    [[{ enum: [1, 2] }, { enum: [3] }]],
  ])("not %j", (oneOf) => {
    expect(refusedSchema({ oneOf, $defs: { a: { type: "object" } } })).toBe(null);
  });
});

describe("a vocabulary without the bytes it takes", () => {
  const start = (missing: string, schema: Readonly<Record<string, unknown>>): string | null => {
    const bytes = new Set(Buffer.from(missing));
    const tokens = everyByte.map((token, byte) => (bytes.has(byte) ? null : token));
    const compiled = compileConstraint(schemaConstraint(schema));
    return constraintRefusal(() => void startConstraint(compiled, createVocabulary(tokens)));
  };

  it("is refused", () => {
    expect(start("{", { type: "object" })).toBe("#");
    expect(start("}", { type: "object" })).toBe("#");
    expect(start(":", { required: ["a"] })).toBe("#");
    expect(start("5", { const: 5 })).toBe("#");
  });

  it("is not where there is another way", () => {
    expect(start("{", { type: ["object", "null"] })).toBe(null);
    expect(start(":", { type: "object" })).toBe(null);
    expect(start("aeiou", { type: "string", minLength: 1 })).toBe(null);
  });
});

it("a refusal is an EnclaveError that names the place and repeats no value", () => {
  const compile = (): void =>
    void compileConstraint(schemaConstraint({ type: "string", pattern: "secret" }));
  expect(compile).toThrow(EnclaveError);
  expect(compile).toThrow(/^constraint\/schema: /);
  expect(compile).not.toThrow(/secret/);
});
