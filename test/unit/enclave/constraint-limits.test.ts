import { describe, expect, it } from "vitest";
import { Automaton } from "../../../enclave/text/constraint/automaton.ts";
import { compileConstraint, startConstraint } from "../../../enclave/text/constraint.ts";
import type { JsonSchema } from "../../../enclave/text/generation.ts";
import {
  byteVocabulary,
  constraintRefusal,
  idsOf,
  readText,
  schemaConstraint,
  vocabularyWith,
  writeText,
} from "../../fakes/constrained.ts";

const refused = (schema: JsonSchema): string | null =>
  constraintRefusal(() => void compileConstraint(schemaConstraint(schema)));

/** A schema within a schema, `depth` times. */
function nest(depth: number, wrap: (schema: JsonSchema) => JsonSchema): JsonSchema {
  let schema: JsonSchema = { type: "null" };
  for (let level = 0; level < depth; level += 1) schema = wrap(schema);
  return schema;
}

const numbered = <T>(count: number, make: (index: number) => T): Record<string, T> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`m${index}`, make(index)]));

describe("both sides of each limit", () => {
  it("64 schemas within each other", () => {
    const allOf = (schema: JsonSchema): JsonSchema => ({ allOf: [schema] });
    const items = (schema: JsonSchema): JsonSchema => ({ items: schema });
    expect(refused(nest(32, allOf))).toBe(null);
    expect(refused(nest(33, allOf))).toMatch(/^#\/allOf\/0\/allOf/);
    expect(refused(nest(64, items))).toBe(null);
    expect(refused(nest(65, items))).toMatch(/^#\/items\/items/);
    expect(refused(nest(20_000, items))).toMatch(/^#\/items\/items/);
  });

  it("256 branches, and 256 members that may be left out", () => {
    expect(refused({ anyOf: Array.from({ length: 256 }, () => ({ type: "null" })) })).toBe(null);
    expect(refused({ anyOf: Array.from({ length: 257 }, () => true) })).toBe("#/anyOf");
    expect(refused({ properties: numbered(256, () => true) })).toBe(null);
    expect(refused({ properties: numbered(257, () => true) })).toBe("#/properties");
    const properties = numbered(257, () => true);
    expect(refused({ properties, required: Object.keys(properties) })).toBe(null);
  });

  it("1,024 listed values, 32 deep", () => {
    expect(refused({ enum: Array.from({ length: 1024 }, (_, index) => index) })).toBe(null);
    expect(refused({ enum: Array.from({ length: 1025 }, (_, index) => index) })).toBe("#/enum");
    const deep = (depth: number): unknown => JSON.parse(`${"[".repeat(depth)}${"]".repeat(depth)}`);
    expect(refused({ const: deep(33) })).toBe(null);
    expect(refused({ const: deep(34) })).toBe("#/const");
    expect(refused({ const: deep(50_000) })).toBe("#/const");
  });

  it("65,536 states", () => {
    expect(refused({ const: "a".repeat(65_000) })).toBe(null);
    expect(refused({ const: "a".repeat(65_536) })).toBe("#");
  });

  it("a reference of 1,024 characters", () => {
    const name = "n".repeat(1024 - "#/$defs/".length);
    expect(refused({ $ref: `#/$defs/${name}`, $defs: { [name]: true } })).toBe(null);
    expect(refused({ $ref: `#/$defs/${name}n`, $defs: { [`${name}n`]: true } })).toBe("#/$ref");
  });

  it("JSON nests at least 60 deep, and its end is always within reach", () => {
    const open = "[".repeat(60);
    expect(readText(schemaConstraint(true), `${open}1${"]".repeat(60)}`)).toBe("whole");
    const state = startConstraint(
      compileConstraint(schemaConstraint({ items: { $ref: "#" } })),
      byteVocabulary,
    );
    let depth = 0;
    for (; idsOf(state.allowed()).includes(0x5b); depth += 1) state.accept(0x5b);
    expect(depth).toBeGreaterThanOrEqual(60);
    for (; depth > 0; depth -= 1) state.accept(0x5d);
    expect(state.mustEnd).toBe(true);
  });
});

describe("huge numbers cost nothing", () => {
  it("of items and characters", () => {
    const schema = {
      items: { type: "string", maxLength: 2 ** 50 },
      minItems: 2,
      maxItems: 2 ** 50,
    };
    expect(readText(schemaConstraint(schema), '["ab","cd","ef"]')).toBe("whole");
    expect(refused({ type: "string", minLength: 2 ** 50 })).toBe(null);
  });

  it("a long string ends at its last character", () => {
    const constraint = schemaConstraint({ type: "string", minLength: 299, maxLength: 300 });
    expect(readText(constraint, `"${"x".repeat(300)}"`)).toBe("whole");
    expect(readText(constraint, `"${"x".repeat(298)}"`)).toBe(299);
    expect(readText(constraint, `"${"x".repeat(301)}`)).toBe(301);
  });

  it("tokens that are too long for what is left are not allowed", () => {
    const vocabulary = vocabularyWith(["aa", "aaa", 'a"', "ää", 'ää"', "\\n\\n"]);
    const state = startConstraint(
      compileConstraint(schemaConstraint({ type: "string", maxLength: 3 })),
      vocabulary,
    );
    const pieces = (): number[] => idsOf(state.allowed()).filter((id) => id >= 256);
    state.accept(0x22);
    expect(pieces()).toEqual([256, 257, 258, 259, 260, 261]);
    state.accept(0x61);
    expect(pieces()).toEqual([256, 258, 259, 260, 261]);
    state.accept(0x61);
    expect(pieces()).toEqual([258]);
    state.accept(258);
    expect(state.mustEnd).toBe(true);
  });
});

describe("ambiguous schemas stay bounded, and their answers fit", () => {
  /** Each level may be read in two ways that differ only in what would come last. */
  const doubling = (depth: number): JsonSchema => ({
    $ref: "#/$defs/m0",
    $defs: {
      ...numbered(depth, (level) => ({
        anyOf: [1, 2].map((last) => ({
          type: "object",
          properties: { a: { $ref: `#/$defs/m${level + 1}` }, z: { const: last } },
          required: ["a", "z"],
        })),
      })),
      [`m${depth}`]: { type: "null" },
    },
  });

  it("2^12 readings at once", () => {
    const constraint = schemaConstraint(doubling(12));
    const compiled = compileConstraint(constraint);
    const vocabulary = vocabularyWith(['{"a":', '"a"', '":{"', "null", ',"z":', "}}"]);
    let number = 1;
    const pick = (count: number): number => (number = (number * 16_807) % 2_147_483_647) % count;
    const text = writeText(startConstraint(compiled, vocabulary), vocabulary, pick, 400);
    expect(text).toMatch(/^\{\s*"a": ?\{/);
    expect(() => void JSON.parse(text ?? "")).not.toThrow();
  });

  it("many answers of one constraint", () => {
    const compiled = compileConstraint(
      schemaConstraint({ items: { type: "string", maxLength: 5000 }, minItems: 1 }),
    );
    const states = [1, 2, 3].map(() => startConstraint(compiled, byteVocabulary));
    // Each goes another way, and further than what is kept of the automaton.
    for (const state of states) for (const byte of Buffer.from('["')) state.accept(byte);
    let missed = 0;
    for (let step = 0; step < 5000; step += 1) {
      for (const [index, state] of states.entries()) {
        const byte = 0x61 + ((step + index) % 26);
        if (step % 97 === index) missed += idsOf(state.allowed()).includes(byte) ? 0 : 1;
        state.accept(byte);
      }
    }
    expect(missed).toBe(0);
    for (const state of states) {
      expect(idsOf(state.allowed())).toEqual([0x22]);
      for (const byte of Buffer.from('"]')) state.accept(byte);
      expect(state.mustEnd).toBe(true);
    }
  });

  it("keep no more than so many readings, however few sets they are in", () => {
    const words = Array.from({ length: 200 }, (_, index) => `${index * 7919}`.padEnd(64, "x"));
    const items = { enum: words };
    const anyOf = Array.from({ length: 100 }, (_, index) => {
      return { type: "array", items: { $ref: "#/$defs/items" }, minItems: 1000 + index };
    });
    const schema = { anyOf: [{ anyOf }, { anyOf }], $defs: { items } };
    const { network } = compileConstraint(schemaConstraint(schema));
    const automaton = new Automaton(network, byteVocabulary.singles, 1);
    const first = automaton.epoch;
    let id = automaton.start();
    let sets = 0;
    let kept = 0;
    for (const byte of Buffer.from(`[${words.map((word) => JSON.stringify(word)).join()}`)) {
      id = automaton.step(id, byte);
      kept += automaton.set(id).configurations.length;
      sets += 1;
      automaton.trim();
      if (automaton.epoch !== first) break;
    }
    // 200 readings a set: long before 4,096 sets, or 65,536 frames, are there.
    expect(sets).toBeLessThan(2000);
    expect(kept).toBeGreaterThan(200_000);
    expect(kept).toBeLessThan(300_000);
  });
});

describe("a state", () => {
  it("refuses a token that is not allowed, and stays where it was", () => {
    const vocabulary = vocabularyWith([null, new Uint8Array()]);
    const state = startConstraint(compileConstraint([{ kind: "json-object" }]), vocabulary);
    for (const token of [0x5b, 256, 257, 258, -1]) {
      expect(() => state.accept(token)).toThrow(TypeError);
    }
    state.accept(0x7b);
    expect(state.canEnd).toBe(false);
    state.accept(0x7d);
    expect([state.canEnd, state.mustEnd]).toEqual([true, true]);
    expect(() => state.accept(0x7d)).toThrow(TypeError);
  });
});
