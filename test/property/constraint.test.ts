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
import { schemaDocument } from "../fakes/schemas.ts";

// Whatever the schema and whatever the tokens: a walk along the masks ends in JSON that fits.

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
      schemaDocument,
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
      schemaDocument,
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
      schemaDocument,
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
