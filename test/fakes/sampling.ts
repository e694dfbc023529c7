/** A sampler written for clearness, by sorting and in one place, to compare the real one with. */
import type { SamplingParameters } from "../../enclave/text/generation.ts";
import { uniform } from "../../enclave/text/random.ts";
import { type Sampler, type SamplerOptions, createSampler } from "../../enclave/text/sampler.ts";

export const NEUTRAL: SamplingParameters = {
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  frequencyPenalty: 0,
  presencePenalty: 0,
  repetitionPenalty: 1,
  logitBias: [],
  topLogprobs: null,
};

export function samplerOf(
  vocabularySize: number,
  parameters: Partial<SamplingParameters> = {},
  rest: Partial<SamplerOptions> = {},
): Sampler {
  return createSampler({
    parameters: { ...NEUTRAL, ...parameters },
    seed: 1,
    prompt: new Int32Array(),
    vocabularySize,
    endTokens: [],
    never: [],
    constraint: null,
    ...rest,
  });
}

interface Weighed {
  readonly id: number;
  readonly logit: number;
  readonly weight: number;
}

/**
 * The tokens that may be drawn with their probabilities, in order of id, and the one that is drawn.
 *
 * @param history - what was generated before.
 */
export function plainSample(
  raw: readonly number[],
  parameters: SamplingParameters,
  { prompt, history, never }: { prompt: number[]; history: number[]; never: number[] },
  point: number,
): { readonly token: number; readonly kept: readonly number[] } {
  const logits = raw.map((logit, id) => {
    let value = Math.fround(logit);
    if (never.includes(id)) return -Infinity;
    for (const [token, bias] of parameters.logitBias) {
      if (token === id) value = Math.fround(value + bias);
    }
    if (prompt.includes(id) || history.includes(id)) {
      const factor = parameters.repetitionPenalty;
      value = value > 0 ? value / factor : value * factor;
    }
    const count = history.filter((token) => token === id).length;
    value -= count * parameters.frequencyPenalty + (count > 0 ? parameters.presencePenalty : 0);
    return Math.fround(value);
  });
  const best = Math.max(...logits);
  if (parameters.temperature === 0) {
    const token = logits.indexOf(best);
    return { token, kept: [token] };
  }
  let sorted: Weighed[] = logits
    .map((logit, id) => ({ id, logit, weight: Math.exp((logit - best) / parameters.temperature) }))
    .filter(({ logit }) => logit > -Infinity)
    .sort((a, b) => b.logit - a.logit || a.id - b.id);
  if (parameters.topK > 0) sorted = sorted.slice(0, parameters.topK);
  if (parameters.topP < 1) sorted = nucleus(sorted, parameters.topP);
  sorted = sorted.filter(({ weight }) => weight >= parameters.minP);
  const byId = sorted.toSorted((a, b) => a.id - b.id);
  const target = point * total(byId);
  let sum = 0;
  const drawn = byId.find(({ weight }) => (sum += weight) > target);
  return { token: drawn?.id ?? -1, kept: byId.map(({ id }) => id) };
}

const total = (tokens: readonly Weighed[]): number =>
  tokens.reduce((sum, { weight }) => sum + weight, 0);

/** Each token before which less than `share` of the whole lies. */
function nucleus(sorted: readonly Weighed[], share: number): Weighed[] {
  const target = share * total(sorted);
  return sorted.filter((_, place) => total(sorted.slice(0, place)) < target);
}

/** Logits of a few values or many, the same for the same seed. */
export function logitsOf(size: number, seed: number, spread: number): number[] {
  return Array.from({ length: size }, (_, id) => {
    const sum = [0, 1, 2, 3].reduce((at, part) => at + uniform(seed, id * 4 + part) - 0.5, 0);
    return Math.fround(sum * spread);
  });
}
