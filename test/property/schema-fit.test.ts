import fc from "fast-check";
import { expect, it } from "vitest";
import { compileConstraint, startConstraint } from "../../enclave/text/constraint.ts";
import { fitsSchema } from "../../enclave/text/constraint/schema-fit.ts";
import {
  constraintRefusal,
  schemaConstraint,
  vocabularyWith,
  writeText,
} from "../fakes/constrained.ts";
import * as judge from "../fakes/schema-judge.ts";
import { memberName, schemaDocument } from "../fakes/schemas.ts";

// What is said of a value is what a plain reading of the standard says, for values of all kinds.

const { value: anyValue } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    fc.oneof(
      fc.constantFrom(null, true, 0, 1, 1e15, 1e-7, -12.5, 2 ** 60, "", "a", "ab\u{1f600}"),
      fc.integer({ min: -1200, max: 1200 }),
    ),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.oneof(memberName, fc.constantFrom("kind", "value", "other")), tie("value"), {
      maxKeys: 4,
    }),
  ),
}));

it("made-up values fit as the standard says", () => {
  const said = { true: 0, false: 0 };
  fc.assert(
    fc.property(
      schemaDocument,
      fc.array(anyValue, { minLength: 8, maxLength: 8 }),
      (root, made) => {
        if (constraintRefusal(() => void compileConstraint(schemaConstraint(root))) !== null)
          return;
        for (const made1 of made) {
          // As a parser makes it: no -0 and no members without a prototype.
          const value: unknown = JSON.parse(JSON.stringify(made1));
          const fits = judge.fitsSchema(root, value);
          said[fits ? "true" : "false"] += 1;
          // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- parsed JSON
          expect(fitsSchema(value as null, root), JSON.stringify(value)).toBe(fits);
        }
      },
    ),
    { numRuns: 500 },
  );
  expect(said.true).toBeGreaterThan(150);
  expect(said.false).toBeGreaterThan(150);
});

it("whatever a constraint writes fits", () => {
  let ended = 0;
  fc.assert(
    fc.property(schemaDocument, fc.infiniteStream(fc.nat(0xffffff)), (root, numbers) => {
      const vocabulary = vocabularyWith(['":{"', '","', "tru", "ull", "12"]);
      const state = startConstraint(compileConstraint(schemaConstraint(root)), vocabulary);
      const pick = (count: number): number => (numbers.next().value ?? 0) % count;
      const text = writeText(state, vocabulary, pick, 60);
      if (text === null) return;
      ended += 1;
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- parsed JSON
      expect(fitsSchema(JSON.parse(text) as null, root), text).toBe(true);
    }),
    { numRuns: 200 },
  );
  expect(ended).toBeGreaterThan(150);
});
