import { describe, expect, it } from "vitest";
import { logitsOf, plainSample, samplerOf, NEUTRAL } from "../../fakes/sampling.ts";

const row = (...logits: number[]): Float32Array => Float32Array.from(logits);

/** Every token that comes in `draws` steps from the same logits. */
function drawn(
  logits: readonly number[],
  parameters: Parameters<typeof samplerOf>[1],
  rest: Parameters<typeof samplerOf>[2] = {},
  draws = 300,
): number[] {
  const sampler = samplerOf(logits.length, parameters, rest);
  const tokens = Array.from({ length: draws }, () => sampler.sample(row(...logits)).token);
  return [...new Set(tokens)].sort((a, b) => a - b);
}

describe("greedy", () => {
  it("takes the highest logit, of equal ones the lowest id", () => {
    expect(drawn([1, 5, 5, -2], { temperature: 0 })).toEqual([1]);
    expect(drawn([-0, 0, -1], { temperature: 0 })).toEqual([0]);
  });

  it("is not deaf to bias, penalties and tokens that do not exist", () => {
    expect(drawn([1, 5, 4], { temperature: 0, logitBias: [[2, 2]] })).toEqual([2]);
    expect(drawn([1, 5, 4], { temperature: 0 }, { never: [1] })).toEqual([2]);
    // 5, then 5 − 2 against 4.
    expect(drawn([1, 5, 4], { temperature: 0, presencePenalty: 2 }, {}, 2)).toEqual([1, 2]);
  });
});

describe("the cuts", () => {
  const logits = [0, Math.log(2), Math.log(4), Math.log(8), Math.log(1)];

  it("top_k keeps so many, of equal ones those of the lowest ids", () => {
    expect(drawn(logits, { topK: 2 })).toEqual([2, 3]);
    expect(drawn([1, 1, 1, 1], { topK: 2 })).toEqual([0, 1]);
    expect(drawn([1, 1, 1, 1], { topK: 9 })).toEqual([0, 1, 2, 3]);
  });

  it("top_p keeps the fewest that reach the share", () => {
    // 8/16, 4/16, 2/16, 1/16, 1/16
    expect(drawn(logits, { topP: 0.5 })).toEqual([3]);
    expect(drawn(logits, { topP: 0.5001 })).toEqual([2, 3]);
    expect(drawn(logits, { topP: 0.76 })).toEqual([1, 2, 3]);
    expect(drawn(logits, { topP: 0.9 })).toEqual([0, 1, 2, 3]);
    expect(drawn(logits, { topP: 1e-9 })).toEqual([3]);
  });

  it("top_p counts from what top_k left", () => {
    // Of 8 and 4, 8 alone is two thirds.
    expect(drawn(logits, { topK: 2, topP: 0.66 })).toEqual([3]);
    expect(drawn(logits, { topK: 3, topP: 0.66 })).toEqual([2, 3]);
  });

  it("min_p keeps what is likely enough beside the likeliest, after the temperature", () => {
    expect(drawn(logits, { minP: 0.24 })).toEqual([1, 2, 3]);
    expect(drawn(logits, { minP: 0.26 })).toEqual([2, 3]);
    // Squared: 1/4 becomes 1/16.
    expect(drawn(logits, { minP: 0.24, temperature: 0.5 })).toEqual([2, 3]);
    expect(drawn(logits, { minP: 1 })).toEqual([3]);
  });

  it("a tiny temperature is as good as none", () => {
    expect(drawn(logits, { temperature: 1e-30 })).toEqual([3]);
  });
});

describe("penalties", () => {
  it("count what was generated, not the prompt", () => {
    const parameters = { temperature: 0, frequencyPenalty: 1, presencePenalty: 0.5 };
    const sampler = samplerOf(2, parameters, { prompt: Int32Array.of(0, 0, 0) });
    // 0: 4; then 4 − 1.5, then 4 − 2.5 against 2.
    const tokens = [1, 2, 3, 4].map(() => sampler.sample(row(4, 2)).token);
    expect(tokens).toEqual([0, 0, 1, 0]);
  });

  it("negative ones make a token likelier", () => {
    const sampler = samplerOf(2, { temperature: 0, frequencyPenalty: -2 }, { seed: 3 });
    expect([row(0, 1), row(2, 1), row(6, 1)].map((logits) => sampler.sample(logits).token)).toEqual(
      [1, 1, 0],
    );
  });

  it("repetition weakens tokens of the prompt as well, whatever their sign", () => {
    const prompt = Int32Array.of(0, 7, -1);
    const parameters = { temperature: 0, repetitionPenalty: 2 };
    expect(samplerOf(2, parameters, { prompt }).sample(row(3, 2)).token).toBe(1);
    expect(samplerOf(2, parameters, { prompt }).sample(row(-2, -3)).token).toBe(1);
    expect(samplerOf(2, parameters).sample(row(-2, -3)).token).toBe(0);
  });
});

describe("log-probabilities", () => {
  const logits = [Math.log(5), Math.log(1), Math.log(3), Math.log(1)];

  it("are the model's own, whatever bias, penalty, temperature and cuts do", () => {
    const sampler = samplerOf(4, {
      temperature: 0.1,
      topK: 1,
      topP: 0.1,
      repetitionPenalty: 1.5,
      logitBias: [[1, 100]],
      topLogprobs: 3,
    });
    const { token, logprob, top } = sampler.sample(row(...logits));
    expect(token).toBe(1);
    expect(logprob).toBeCloseTo(Math.log(0.1), 6);
    expect(top.map((entry) => entry.token)).toEqual([0, 2, 1]);
    expect(top.map((entry) => Math.exp(entry.logprob))).toEqual([
      expect.closeTo(0.5, 6),
      expect.closeTo(0.3, 6),
      expect.closeTo(0.1, 6),
    ]);
  });

  it("are not reported unasked, nor for tokens that cannot be", () => {
    expect(samplerOf(4).sample(row(...logits))).toMatchObject({ logprob: null, top: [] });
    expect(samplerOf(4, { topLogprobs: 0 }).sample(row(...logits)).top).toEqual([]);
    const few = samplerOf(3, { topLogprobs: 20 }).sample(row(1, -Infinity, 0));
    expect(few.top.map(({ token }) => token)).toEqual([0, 2]);
    expect(few.top.every(({ logprob }) => Number.isFinite(logprob))).toBe(true);
  });
});

describe("the same seed", () => {
  it("has the same tokens, and another has others", () => {
    const logits = logitsOf(200, 5, 4);
    const tokens = (seed: number): number[] => {
      const sampler = samplerOf(200, {}, { seed });
      return Array.from({ length: 50 }, () => sampler.sample(row(...logits)).token);
    };
    expect(tokens(7)).toEqual(tokens(7));
    expect(tokens(8)).not.toEqual(tokens(7));
  });

  it("spends one number a token, whatever the parameters", () => {
    const logits = logitsOf(50, 5, 4);
    const after = (first: number[]): number => {
      const sampler = samplerOf(50, {}, { seed: 11 });
      sampler.sample(row(...first));
      return sampler.sample(row(...logits)).token;
    };
    const spiked = logits.map((logit, id) => (id === 3 ? 900 : logit));
    expect(after(spiked)).toBe(after(logits));
  });
});

it("draws each token as often as its probability says", () => {
  const logits = logitsOf(20, 3, 3);
  const sampler = samplerOf(20, { temperature: 0.8 }, { seed: 2024 });
  const draws = 20_000;
  const counts = logits.map(() => 0);
  for (let draw = 0; draw < draws; draw += 1) {
    const { token } = sampler.sample(row(...logits));
    counts[token] = (counts[token] ?? 0) + 1;
  }
  const weights = logits.map((logit) => Math.exp(logit / 0.8));
  const sum = weights.reduce((a, b) => a + b, 0);
  const chiSquare = weights.reduce((at, weight, id) => {
    const expected = (draws * weight) / sum;
    return at + ((counts[id] ?? 0) - expected) ** 2 / expected;
  }, 0);
  // 19 degrees of freedom: 44 is passed once in a thousand seeds; this one is fixed.
  expect(chiSquare).toBeLessThan(44);
});

describe("logits that no model should give", () => {
  it.each([
    ["NaN", row(1, Number.NaN, 2)],
    ["+∞", row(1, Infinity, 2)],
    ["nothing above −∞", row(-Infinity, -Infinity, -Infinity)],
  ])("%s: the inference failed", (_, logits) => {
    for (const temperature of [0, 1]) {
      const sampler = samplerOf(3, { temperature });
      expect(() => sampler.sample(logits.slice())).toThrow(/^inference\/failed/);
    }
  });

  it("nothing left by what may not be: failed as well", () => {
    for (const temperature of [0, 1]) {
      const sampler = samplerOf(2, { temperature }, { never: [0, 1] });
      expect(() => sampler.sample(row(1, 2))).toThrow(/^inference\/failed/);
    }
  });

  it("NaN is found where it could not be drawn", () => {
    const sampler = samplerOf(2, { temperature: 0 }, { never: [1] });
    expect(() => sampler.sample(row(1, Number.NaN))).toThrow(/^inference\/failed/);
  });

  it("another number of them is a bug of ours", () => {
    expect(() => samplerOf(3).sample(row(1, 2))).toThrow(TypeError);
  });
});

it("agrees with the plain sampler on a large vocabulary", () => {
  const raw = logitsOf(5000, 9, 8);
  const parameters = { ...NEUTRAL, temperature: 0.7, topK: 400, topP: 0.9 };
  const { kept } = plainSample(raw, parameters, { prompt: [], history: [], never: [] }, 0);
  const seen = drawn(raw, parameters, {}, 2000);
  expect(kept).toEqual(expect.arrayContaining(seen));
  expect(seen.length).toBeGreaterThan(kept.length / 2);
});
