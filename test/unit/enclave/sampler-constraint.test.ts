import { expect, it } from "vitest";
import { compileConstraint, startConstraint } from "../../../enclave/text/constraint.ts";
import type { Constraint, SamplingParameters } from "../../../enclave/text/generation.ts";
import { uniform } from "../../../enclave/text/random.ts";
import { schemaConstraint, vocabularyWith } from "../../fakes/constrained.ts";
import { samplerOf } from "../../fakes/sampling.ts";

const END = 256;
const vocabulary = vocabularyWith([null, '{"', '":', "true", "}\n", "ä", "12"]);
/** The logits go on behind the last token, as models pad them. */
const SIZE = 300;

/** What a model of random logits writes under a constraint. */
function write(
  constraint: Constraint,
  seed: number,
  parameters: Partial<SamplingParameters> = {},
): { readonly text: string; readonly ended: boolean; readonly canEnd: boolean } {
  const state = startConstraint(compileConstraint(constraint), vocabulary);
  const sampler = samplerOf(SIZE, parameters, { seed, constraint: state, endTokens: [END] });
  const bytes: number[] = [];
  let ended = false;
  for (let step = 0; step < 4000 && !ended && !state.mustEnd; step += 1) {
    const logits = Float32Array.from({ length: SIZE }, (_, id) => 4 * uniform(id, seed + step));
    // What closes is likelier, so that answers end.
    for (const byte of Buffer.from('"}]')) logits[byte] = 6;
    const { token } = sampler.sample(logits);
    ended = token === END;
    bytes.push(...(vocabulary.tokens[token] ?? []));
  }
  return { text: Buffer.from(bytes).toString(), ended, canEnd: state.canEnd };
}

it("what is sampled under a constraint fits it, at any temperature", () => {
  for (let seed = 0; seed < 30; seed += 1) {
    const temperature = seed % 3;
    const { text, canEnd } = write([{ kind: "json-object" }], seed, { temperature, topP: 0.9 });
    expect(canEnd, text).toBe(true);
    expect(JSON.parse(text)).toBeTypeOf("object");
  }
});

it("end tokens may come exactly where the text may end", () => {
  const integer = schemaConstraint({ type: "integer" });
  const always: readonly [number, number][] = [[END, 100]];
  for (let seed = 0; seed < 10; seed += 1) {
    const { text, ended } = write(integer, seed, { logitBias: always });
    // As soon as there is one digit, and never before.
    expect(text).toMatch(/^(-?[0-9]|12)$/);
    expect(ended || text === "0" || text === "-0").toBe(true);
    const never = write(integer, seed, { logitBias: [[END, -100]], temperature: 0 });
    expect(never.text).toMatch(/^-?[0-9]+$/);
  }
});

it("no bias brings what the constraint forbids, nor ids behind the vocabulary", () => {
  const bias: readonly [number, number][] = [
    [0x5b, 100],
    [299, 100],
    [263, 100],
  ];
  const { text } = write([{ kind: "literal", text: "äb" }], 1, { logitBias: bias });
  expect(text).toBe("äb");
});

it("the same seed writes the same text, whatever other answers of the constraint do", () => {
  const constraint: Constraint = [{ kind: "json-object" }];
  const alone = [1, 2, 3].map((seed) => write(constraint, seed).text);
  expect(new Set(alone).size).toBe(3);
  const compiled = compileConstraint(constraint);
  const answers = [3, 1, 2].map((seed) => {
    const state = startConstraint(compiled, vocabulary);
    const sampler = samplerOf(SIZE, {}, { seed, constraint: state, endTokens: [END] });
    return { seed, state, sampler, bytes: [] as number[] };
  });
  // Step by step in turn, sharing what the automaton keeps.
  for (let step = 0; step < 4000; step += 1) {
    for (const { seed, state, sampler, bytes } of answers) {
      if (state.mustEnd) continue;
      const logits = Float32Array.from({ length: SIZE }, (_, id) => 4 * uniform(id, seed + step));
      for (const byte of Buffer.from('"}]')) logits[byte] = 6;
      bytes.push(...(vocabulary.tokens[sampler.sample(logits).token] ?? []));
    }
  }
  const together = new Map(answers.map(({ seed, bytes }) => [seed, Buffer.from(bytes).toString()]));
  expect([1, 2, 3].map((seed) => together.get(seed))).toEqual(alone);
});
