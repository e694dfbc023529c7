import fc from "fast-check";
import { expect, it } from "vitest";
import { uniform } from "../../enclave/text/random.ts";
import { NEUTRAL, plainSample, samplerOf } from "../fakes/sampling.ts";

// Whatever the parameters and logits, the sampler draws what a plain one by sorting draws.

const logit = fc.oneof(
  // Few values, so that there are ties; quarters, so that sums do not round.
  fc.integer({ min: -12, max: 12 }).map((value) => value / 4),
  fc.float({ min: -60, max: 60, noNaN: true }),
  fc.constantFrom(0, -0, -Infinity, 1e-40, -1e-40, 1e38, -1e38),
);

const parameters = fc.record({
  temperature: fc.constantFrom(0, 0.25, 0.7, 1, 2),
  topP: fc.constantFrom(1, 0.95, 0.9, 0.5, 0.1, 1e-6),
  topK: fc.constantFrom(0, 1, 2, 5, 40),
  minP: fc.constantFrom(0, 0.03, 0.2, 1),
  frequencyPenalty: fc.constantFrom(0, 0.5, -2),
  presencePenalty: fc.constantFrom(0, 1, -0.5),
  repetitionPenalty: fc.constantFrom(1, 1.5, 0.5),
});

it("draws as the plain sampler does, step by step", () => {
  let same = 0;
  let different = 0;
  fc.assert(
    fc.property(
      fc.array(logit, { minLength: 2, maxLength: 70 }).filter((row) => Math.max(...row) > -100),
      parameters,
      fc.array(fc.tuple(fc.nat(80), fc.integer({ min: -100, max: 100 })), { maxLength: 3 }),
      fc.array(fc.nat(80), { maxLength: 5 }),
      fc.maxSafeNat(),
      (raw, chosen, bias, prompt, seed) => {
        const logitBias = [...new Map(bias)].filter(([token]) => token < raw.length);
        const never = raw.length > 3 ? [raw.length - 1] : [];
        fc.pre(raw.some((value, id) => value > -100 && !never.includes(id)));
        const settings = { ...NEUTRAL, ...chosen, logitBias };
        const sampler = samplerOf(raw.length, settings, {
          seed,
          prompt: Int32Array.from(prompt),
          never,
        });
        const history: number[] = [];
        for (let step = 0; step < 4; step += 1) {
          const { token } = sampler.sample(Float32Array.from(raw));
          const point = uniform(seed, step);
          const plain = plainSample(raw, settings, { prompt, history, never }, point);
          // Sums in another order may round to the other side of a limit, which moves one token.
          if (plain.token === token) same += 1;
          else different += 1;
          history.push(token);
        }
      },
    ),
    { numRuns: 1500, seed: 20261121 },
  );
  expect(same).toBeGreaterThan(5000);
  expect(different).toBeLessThanOrEqual(same / 1000);
});

it("the cuts keep what the plain ones keep, at any point of a fine comb", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 40 }),
      fc.constantFrom(0, 1, 3, 10),
      fc.constantFrom(1, 0.97, 0.61, 0.23),
      (powers, topK, topP) => {
        // Powers of two add up exactly, in any order.
        const raw = powers.map((power) => Math.fround(power * Math.LN2));
        const settings = { ...NEUTRAL, topK, topP };
        const { kept } = plainSample(raw, settings, { prompt: [], history: [], never: [] }, 0);
        const sampler = samplerOf(raw.length, settings, { seed: 5 });
        for (let draw = 0; draw < 200; draw += 1) {
          expect(kept).toContain(sampler.sample(Float32Array.from(raw)).token);
        }
      },
    ),
    { numRuns: 60 },
  );
});
