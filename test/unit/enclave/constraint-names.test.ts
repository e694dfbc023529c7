/** No object is written with a member twice, however the tokens are cut. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseStrictJson } from "../../../enclave/api/openai/json.ts";
import {
  compileConstraint,
  type ConstraintState,
  startConstraint,
} from "../../../enclave/text/constraint.ts";
import type { Constraint } from "../../../enclave/text/generation.ts";
import { byteVocabulary, idsOf, vocabularyWith, writeText } from "../../fakes/constrained.ts";

const OBJECT: Constraint = [{ kind: "json-object" }];

/** A state after this text, byte by byte. */
function after(constraint: Constraint, text: string, vocabulary = byteVocabulary): ConstraintState {
  const state = startConstraint(compileConstraint(constraint), vocabulary);
  for (const byte of Buffer.from(text)) state.accept(byte);
  return state;
}

const canQuote = (constraint: Constraint, text: string): boolean =>
  idsOf(after(constraint, text).allowed()).includes(0x22);

describe("a name", () => {
  it.each([
    ["that was there", '{"a":1,"a', false],
    ["of no letters that was there", '{"":1,"', false],
    ["that was there, but longer", '{"a":1,"ab', true],
    ["of the object around", '{"a":{"a', true],
    ["of the object within", '{"a":{"b":1},"b', true],
    ["of the object beside", '{"a":[{"b":1},{"b', true],
    ["that was there before another object", '{"a":{"b":[{}]},"a', false],
    ["that was there as a value only", '{"a":"b","b', true],
    ["that was there, but for quotes in a value", '{"a":"\\",\\"b","b', true],
    ["that was there, of several bytes", '{"\u{1f600}":1,"\u{1f600}', false],
  ])("%s: %s", (_, text, ends) => {
    expect(canQuote(OBJECT, text)).toBe(ends);
  });

  it("that was there is refused as a token too, and the state stays", () => {
    const vocabulary = vocabularyWith(['a":', '":', 'b":1,"a":', 'b":1,"b":', ',"a":1,"b']);
    const state = after(OBJECT, '{"a":1,"', vocabulary);
    const pieces = (): number[] => idsOf(state.allowed()).filter((id) => id >= 256);
    // What is left makes a name of no letters.
    expect(pieces()).toEqual([257]);
    for (const token of [256, 258, 259]) expect(() => state.accept(token)).toThrow(TypeError);
    state.accept(0x63);
    expect(pieces()).toEqual([256, 257, 259]);
    state.accept(257);
    state.accept(0x31);
    expect(pieces()).toEqual([]);
  });

  it("counts behind the text that leads to the JSON, whatever that text looks like", () => {
    const call = (name: string): Constraint => [
      { kind: "literal", text: `<"|{["a", "a": ${name}: ` },
      { kind: "json-object" },
      { kind: "literal", text: `}{"a","a"` },
    ];
    const constraint: Constraint = [{ kind: "choice", options: [call("x"), call("xy")] }];
    const lead = '<"|{["a", "a": xy: ';
    expect(canQuote(constraint, `${lead}{"a":1,"a`)).toBe(false);
    expect(canQuote(constraint, `${lead}{"a":1,"b`)).toBe(true);
    expect(after(constraint, `${lead}{"a":1}}{"a","a"`).mustEnd).toBe(true);
  });

  it("that a schema does not describe comes once, beside those that it does", () => {
    const schema = { properties: { id: {} }, required: ["id"], additionalProperties: true };
    const constraint: Constraint = [{ kind: "json-schema", schema }];
    expect(canQuote(constraint, '{"id":1,"id')).toBe(false);
    expect(canQuote(constraint, '{"id":1,"more":{"id":1},"more')).toBe(false);
    expect(canQuote(constraint, '{"id":1,"more":{"id":1},"mo')).toBe(true);
  });
});

it("a walk along the masks writes no member twice", () => {
  let members = 0;
  const vocabulary = vocabularyWith([
    '":1,"',
    '{"',
    '":{"',
    "a",
    'b":',
    '"a":0,"',
    '}],"',
    '":[{"',
  ]);
  const numbers = fc.infiniteStream(fc.nat(0xffffff));
  fc.assert(
    fc.property(numbers, (stream) => {
      // Of names with few letters, many would come twice.
      const pick = (count: number): number => (stream.next().value ?? 0) % count;
      const state = startConstraint(compileConstraint(OBJECT), vocabulary);
      const few: ConstraintState = {
        allowed: () => {
          const words = state.allowed().slice();
          const fewer = words.map((word, index) => (index === 3 ? word & 0x0800_0006 : word));
          return idsOf(fewer).length > 0 ? fewer : words;
        },
        accept: (token) => {
          state.accept(token);
        },
        get canEnd() {
          return state.canEnd;
        },
        get mustEnd() {
          return state.mustEnd;
        },
      };
      const text = writeText(few, vocabulary, pick, 80);
      if (text === null) return;
      members += text.split(":").length - 1;
      expect(() => void parseStrictJson(Buffer.from(text)), text).not.toThrow();
    }),
    { numRuns: 80 },
  );
  expect(members).toBeGreaterThan(60);
});
