import fc from "fast-check";
import { expect, it } from "vitest";
import { compileConstraint, startConstraint } from "../../enclave/text/constraint.ts";
import type { JsonSchema } from "../../enclave/text/generation.ts";
import { createVocabulary } from "../../enclave/text/vocabulary.ts";
import {
  constraintRefusal,
  idsOf,
  schemaConstraint,
  vocabularyWith,
  writeText,
} from "../fakes/constrained.ts";
import { fitsSchema } from "../fakes/schema-judge.ts";

// Whatever the schema and whatever the tokens: a walk along the masks ends in JSON that fits.

const name = fc.constantFrom(
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
          fc.dictionary(name, tie("schema"), { maxKeys: 4 }),
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

/** Schemas with a definition that they, and it, may refer to. */
const document = fc.tuple(schema, schema).map(([root, definition]): JsonSchema => {
  const whole: unknown = { anyOf: [root, { type: "null" }], $defs: { d: definition } };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- built above as a schema
  return whole as JsonSchema;
});

const piece = fc.oneof(
  fc.constantFrom(
    '":{"',
    '","',
    '"}',
    "}}",
    '": ',
    "[[",
    ",\n  ",
    "tru",
    "ull",
    "e",
    '\\"',
    "\\u00",
  ),
  fc.constantFrom("ä", "\u{1f600}", "日本", "-1", "0.", "12", " ", "    ", "\n", 'a":', "null}"),
  fc.uint8Array({ minLength: 1, maxLength: 4 }),
  fc.string({ unit: "grapheme", maxLength: 5 }),
  fc.constant(null),
);

it("a walk along the masks writes JSON that fits the schema", () => {
  let ended = 0;
  fc.assert(
    fc.property(
      document,
      fc.array(piece, { maxLength: 40 }),
      fc.infiniteStream(fc.nat(0xffffff)),
      (root, pieces, numbers) => {
        const vocabulary = vocabularyWith(pieces);
        const state = startConstraint(compileConstraint(schemaConstraint(root)), vocabulary);
        const pick = (count: number): number => (numbers.next().value ?? 0) % count;
        const text = writeText(state, vocabulary, pick, 60);
        if (text === null) return;
        ended += 1;
        expect(fitsSchema(root, JSON.parse(text)), text).toBe(true);
      },
    ),
    { numRuns: 400 },
  );
  expect(ended).toBeGreaterThan(300);
});

it("a token is allowed exactly when its bytes are, one by one", () => {
  fc.assert(
    fc.property(
      document,
      fc.array(piece, { minLength: 10, maxLength: 40 }),
      fc.infiniteStream(fc.nat(0xffffff)),
      (root, pieces, numbers) => {
        const compiled = compileConstraint(schemaConstraint(root));
        const vocabulary = vocabularyWith(pieces);
        const state = startConstraint(compiled, vocabulary);
        const past: number[] = [];
        for (let step = 0; step < 12 && !state.mustEnd; step += 1) {
          const allowed = idsOf(state.allowed());
          for (let token = 256; token < vocabulary.tokens.length; token += 1) {
            const bytes = vocabulary.tokens[token] ?? null;
            const spelled =
              bytes !== null &&
              bytes.length > 0 &&
              canSpell(compiled, vocabulary, [...past, ...bytes]);
            expect(allowed.includes(token)).toBe(spelled);
          }
          const token = allowed[(numbers.next().value ?? 0) % allowed.length] ?? 0;
          past.push(...(vocabulary.tokens[token] ?? []));
          state.accept(token);
        }
      },
    ),
    { numRuns: 60 },
  );
});

function canSpell(
  compiled: ReturnType<typeof compileConstraint>,
  vocabulary: ReturnType<typeof createVocabulary>,
  bytes: readonly number[],
): boolean {
  const state = startConstraint(compiled, vocabulary);
  for (const byte of bytes) {
    if (!idsOf(state.allowed()).includes(byte)) return false;
    state.accept(byte);
  }
  return true;
}

it("a vocabulary that lacks bytes is refused, or never leads to a dead end", () => {
  let started = 0;
  fc.assert(
    fc.property(
      document,
      fc.array(piece, { maxLength: 30 }),
      fc.uint8Array({ minLength: 1, maxLength: 12 }),
      fc.infiniteStream(fc.nat(0xffffff)),
      (root, pieces, missing, numbers) => {
        const { tokens } = vocabularyWith(pieces);
        const vocabulary = createVocabulary(
          tokens.map((bytes, id) => (id < 256 && missing.includes(id) ? null : bytes)),
        );
        const compiled = compileConstraint(schemaConstraint(root));
        const pick = (count: number): number => (numbers.next().value ?? 0) % count;
        const start = (): void => void startConstraint(compiled, vocabulary);
        if (constraintRefusal(start) !== null) return;
        const text = writeText(startConstraint(compiled, vocabulary), vocabulary, pick, 60);
        started += 1;
        expect(text === null || fitsSchema(root, JSON.parse(text)), `${text}`).toBe(true);
      },
    ),
    { numRuns: 200 },
  );
  expect(started).toBeGreaterThan(100);
});

it("any JSON is compiled or refused as a schema", () => {
  const keyword = fc.constantFrom(
    ..."type properties required items prefixItems enum const anyOf oneOf allOf $ref".split(" "),
    ..."minLength minimum maxItems additionalProperties $defs not uniqueItems".split(" "),
  );
  const { wild } = fc.letrec<{ wild: unknown }>((tie) => ({
    wild: fc.oneof(
      { maxDepth: 4 },
      fc.oneof(fc.jsonValue({ maxDepth: 1 }), fc.constantFrom("string", "object", "#", "#/items")),
      fc.dictionary(keyword, tie("wild"), { maxKeys: 3 }),
      fc.array(tie("wild"), { maxLength: 3 }),
    ),
  }));
  fc.assert(
    fc.property(wild, (root) => {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the point is that it may not be
      const compile = (): void => void compileConstraint(schemaConstraint(root as JsonSchema));
      expect(constraintRefusal(compile)).toSatisfy(
        (refused: string | null) => refused === null || refused.startsWith("#"),
      );
    }),
    { numRuns: 2000 },
  );
});
