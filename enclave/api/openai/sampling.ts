/** The members that say how tokens are chosen, in chats and completions alike. */
import { getRandomValues } from "node:crypto";
import type { SamplingParameters } from "../../text/generation.ts";
import type { SamplingDefaults } from "../../text/model.ts";
import {
  type Given,
  type Honoured,
  malformed,
  outOfRange,
  type Reader,
  requireObject,
} from "./members.ts";
import { integerIn, numberAbove, numberIn, textOf } from "./readers.ts";

/** Prompts of a request times choices of each: all of them may be in memory at a time. */
export const MAX_CHOICES = 64;
/** Choices of one prompt. */
export const MAX_N = 8;
/** The largest seed: choice i has the seed + i, below 2^53. */
export const MAX_SEED: number = Number.MAX_SAFE_INTEGER - MAX_CHOICES;
/** OpenAI API reference, "stop": up to 4 sequences. */
const MAX_STOPS = 4;
const MAX_STOP_CHARACTERS = 256;
const MAX_BIASES = 1024;
const MAX_TOKENS = 2 ** 31 - 1;
/** More than any vocabulary has: all are kept then. */
const MAX_TOP_K = 2 ** 31 - 1;
const MAX_REPETITION_PENALTY = 10;

/** As given; null where a default takes its place. */
export interface SamplingMembers {
  readonly temperature: number;
  readonly top_p: number;
  /** 0 or −1 for all: the extensions of other servers that most clients know. */
  readonly top_k: number;
  readonly min_p: number;
  readonly frequency_penalty: number;
  readonly presence_penalty: number;
  readonly repetition_penalty: number;
  readonly logit_bias: SamplingParameters["logitBias"];
  readonly seed: number;
  readonly stop: readonly string[];
  readonly n: number;
  readonly max_tokens: number;
}

const readStop: Reader<readonly string[]> = (value, param) => {
  const one = textOf(1, MAX_STOP_CHARACTERS);
  if (typeof value === "string") return [one(value, param)];
  if (!Array.isArray(value)) throw malformed(param, "is neither a string nor an array of strings");
  if (value.length > MAX_STOPS) {
    throw outOfRange(param, `has ${value.length} strings, want at most ${MAX_STOPS}`);
  }
  return value.map((each: unknown, index) => one(each, `${param}[${index}]`));
};

const readBiases: Reader<SamplingParameters["logitBias"]> = (value, param) => {
  const entries = Object.entries(requireObject(value, param));
  if (entries.length > MAX_BIASES) {
    throw outOfRange(param, `has ${entries.length} tokens, want at most ${MAX_BIASES}`);
  }
  const bias = numberIn(-100, 100);
  return entries.map(([token, amount]): readonly [number, number] => {
    if (!/^(?:0|[1-9][0-9]{0,9})$/u.test(token)) {
      throw malformed(param, "has a member that is no token id");
    }
    return [Number(token), bias(amount, `${param}.${token}`)];
  });
};

export const maxTokens: Reader<number> = integerIn(1, MAX_TOKENS);

export const SAMPLING: Honoured<SamplingMembers> = {
  temperature: numberIn(0, 2),
  top_p: numberAbove(0, 1),
  top_k: integerIn(-1, MAX_TOP_K),
  min_p: numberIn(0, 1),
  frequency_penalty: numberIn(-2, 2),
  presence_penalty: numberIn(-2, 2),
  repetition_penalty: numberAbove(0, MAX_REPETITION_PENALTY),
  logit_bias: readBiases,
  seed: integerIn(0, MAX_SEED),
  stop: readStop,
  n: integerIn(1, MAX_N),
  max_tokens: maxTokens,
};

/**
 * Every parameter, from the request, else the model's own default, else OpenAI's.
 *
 * @param topLogprobs - see {@link SamplingParameters.topLogprobs}.
 * @throws {@link EnclaveError} `request/parameter` for a bias of a token that the model has not.
 */
export function resolveSampling(
  given: Given<SamplingMembers>,
  defaults: SamplingDefaults,
  vocabularySize: number,
  topLogprobs: number | null,
): SamplingParameters {
  const logitBias = given.logit_bias ?? [];
  for (const [token] of logitBias) requireToken(token, vocabularySize, `logit_bias.${token}`);
  return {
    temperature: given.temperature ?? defaults.temperature,
    topP: given.top_p ?? defaults.topP,
    topK: Math.max(given.top_k ?? defaults.topK, 0),
    minP: given.min_p ?? defaults.minP,
    frequencyPenalty: given.frequency_penalty ?? 0,
    presencePenalty: given.presence_penalty ?? 0,
    repetitionPenalty: given.repetition_penalty ?? defaults.repetitionPenalty,
    logitBias,
    topLogprobs,
  };
}

/** @throws {@link EnclaveError} `request/parameter` */
export function requireToken(token: number, vocabularySize: number, param: string): void {
  if (token < vocabularySize) return;
  throw outOfRange(param, `is no token: the model has ${vocabularySize}`);
}

/** A seed for a request without one, so that its answer can be asked for again. 52 random bits. */
export function randomSeed(): number {
  const [high = 0, low = 0] = getRandomValues(new Uint32Array(2));
  return (high & 0xf_ffff) * 2 ** 32 + low;
}
