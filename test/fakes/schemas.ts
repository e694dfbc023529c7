/** Schemas of the kind that constraints honour, made up for property tests. */
import fc from "fast-check";
import type { JsonSchema } from "../../enclave/text/generation.ts";

/** Names of members in the schemas. */
export const memberName: fc.Arbitrary<string> = fc.constantFrom(
  "a",
  "b",
  "ab",
  "ä",
  'quo"te',
  "",
  "__proto__",
  "long name",
  "\u{1f600}",
);
const bound = fc.oneof(
  fc.integer({ min: -1200, max: 1200 }),
  fc.integer({ min: -5000, max: 5000 }).map((value) => value / 100),
  fc.constantFrom(0, 1e-7, -1e-7, 99.999, 1e15, -1e15, 0.1, 1 / 3),
);
const count = fc.integer({ min: 0, max: 4 });

const optional = <T>(record: Record<string, fc.Arbitrary<T>>) =>
  fc.record(record, { requiredKeys: [] });

const leaf: fc.Arbitrary<unknown> = fc.oneof(
  fc.constant(true),
  fc.constantFrom("boolean", "null", "object", "array").map((type) => ({ type })),
  optional({ minLength: count, maxLength: count }).map((rest) => ({ type: "string", ...rest })),
  fc
    .tuple(
      fc.constantFrom("number", "integer"),
      optional({
        minimum: bound,
        maximum: bound,
        exclusiveMinimum: bound,
        exclusiveMaximum: bound,
      }),
    )
    .map(([type, rest]) => ({ type, ...rest })),
  fc.array(fc.jsonValue({ maxDepth: 2 }), { minLength: 1, maxLength: 4 }).map((values) => {
    // -0 is written as 0, which equals it in JSON Schema, though not for Object.is.
    return { enum: JSON.parse(JSON.stringify(values)) as unknown };
  }),
  fc.constantFrom({ $ref: "#" }, { $ref: "#/$defs/d" }),
);

const { schema } = fc.letrec<{ schema: unknown }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3, depthSize: "small", withCrossShrink: true },
    { weight: 3, arbitrary: leaf },
    {
      weight: 3,
      arbitrary: fc
        .tuple(
          fc.dictionary(memberName, tie("schema"), { maxKeys: 4 }),
          fc.subarray(["a", "b", "ab", "ä", "other"], { maxLength: 2 }),
          fc.option(fc.oneof(fc.boolean(), tie("schema")), { nil: undefined }),
        )
        .map(([properties, required, additional]) => ({
          type: "object",
          properties,
          required,
          ...(additional === undefined ? {} : { additionalProperties: additional }),
        })),
    },
    {
      weight: 2,
      arbitrary: fc
        .tuple(
          fc.array(tie("schema"), { maxLength: 2 }),
          fc.option(fc.oneof(fc.boolean(), tie("schema")), { nil: undefined }),
          optional({ minItems: count, maxItems: count }),
        )
        .map(([prefixItems, items, rest]) => ({
          type: "array",
          prefixItems,
          ...(items === undefined ? {} : { items }),
          ...rest,
        })),
    },
    {
      weight: 1,
      arbitrary: fc
        .array(tie("schema"), { minLength: 1, maxLength: 3 })
        .map((anyOf) => ({ anyOf })),
    },
    {
      weight: 1,
      arbitrary: fc.array(tie("schema"), { minLength: 2, maxLength: 2 }).map((branches) => ({
        oneOf: branches.map((branch, index) => ({
          type: "object",
          properties: { kind: { const: index }, value: branch },
          required: ["kind"],
        })),
      })),
    },
  ),
}));

/** Schemas with a definition that they, and it, may refer to. Some branch is null. */
export const schemaDocument: fc.Arbitrary<JsonSchema> = fc
  .tuple(schema, schema)
  .map(([root, definition]): JsonSchema => {
    const whole: unknown = { anyOf: [root, { type: "null" }], $defs: { d: definition } };
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- built above as a schema
    return whole as JsonSchema;
  });
