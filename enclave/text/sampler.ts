/**
 * Chooses the next token.
 *
 * The order is fixed, and a receipt's digest of the resolved parameters counts on it:
 *
 *  1. what may not be: the constraint's mask, tokens that do not exist;
 *  2. logit bias, added;
 *  3. penalties: repetition (prompt and answer), then frequency and presence (answer alone);
 *  4. temperature 0: the highest logit, of equal ones the lowest id; nothing below applies;
 *  5. top_k, by logit;
 *  6. temperature: the softmax of the logits divided by it;
 *  7. top_p, of what top_k left;
 *  8. min_p, of what top_p left, against the most likely token;
 *  9. one draw among the rest, in order of id.
 *
 * Log-probabilities are those of the model itself, before step 1. A token depends on the seed, the
 * logits and what came before, and on nothing else: no clock, no order of threads, no other request.
 */
import { Candidates, likeliest } from "./candidates.ts";
import type { ConstraintState } from "./constraint.ts";
import type { SamplingParameters, TokenLogprob } from "./generation.ts";
import { History } from "./history.ts";
import { Logprobs } from "./logprobs.ts";
import { uniform } from "./random.ts";

export interface SamplerOptions {
  readonly parameters: SamplingParameters;
  /** Of the random numbers: an integer from 0 to 2^53 − 1. */
  readonly seed: number;
  readonly prompt: Int32Array;
  /** The length of the logits of every step. */
  readonly vocabularySize: number;
  /** Under a constraint, these may be sampled exactly when it can end, whatever its mask says. */
  readonly endTokens: readonly number[];
  /** Ids that no token has. */
  readonly never: readonly number[];
  readonly constraint: ConstraintState | null;
}

export interface SampledToken {
  readonly token: number;
  readonly logprob: number | null;
  readonly top: readonly TokenLogprob[];
}

export interface Sampler {
  /**
   * The token after those before it. The sampler remembers it, and tells the constraint: the caller
   * must not `accept` it again, and ends the answer at an end token or once `mustEnd` holds.
   *
   * @param logits - of one position; overwritten.
   * @throws EnclaveError `inference/failed` where the logits are not numbers, or allow no token.
   */
  sample(logits: Float32Array): SampledToken;
}

export function createSampler(options: SamplerOptions): Sampler {
  const { parameters, seed, vocabularySize, constraint, endTokens, never } = options;
  const history = new History(options.prompt, vocabularySize);
  const logprobs = parameters.topLogprobs === null ? null : new Logprobs(vocabularySize);
  const candidates = parameters.temperature === 0 ? null : candidatesOf(vocabularySize);
  const ends = new Set(endTokens);
  /** Whether steps 1 to 3 leave the logits as they are. */
  const unchanged =
    constraint === null &&
    never.length + parameters.logitBias.length === 0 &&
    !history.changes(parameters);
  let index = 0;

  function sample(logits: Float32Array): SampledToken {
    if (logits.length !== vocabularySize) {
      throw new TypeError(`${logits.length} logits, want ${vocabularySize}`);
    }
    // First of all, so that a model that computes nonsense is found whatever is masked below.
    const first = likeliest(logits);
    logprobs?.read(logits, logits[first] ?? 0);
    if (constraint !== null) applyMask(logits, constraint, endTokens);
    for (const id of never) logits[id] = -Infinity;
    for (const [token, bias] of parameters.logitBias) {
      if (token < vocabularySize) logits[token] = (logits[token] ?? 0) + bias;
    }
    history.penalise(logits, parameters);
    const highest = unchanged ? first : likeliest(logits);
    if (candidates !== null) candidates.gather(logits, logits[highest] ?? 0);
    const token =
      candidates === null ? highest : drawToken(candidates, parameters, uniform(seed, index));

    index += 1;
    history.add(token);
    if (constraint !== null && !ends.has(token)) constraint.accept(token);
    return {
      token,
      logprob: logprobs?.of(token) ?? null,
      top: logprobs?.top(parameters.topLogprobs ?? 0) ?? [],
    };
  }
  return { sample };
}

/** By size of the vocabulary: one for all samplers, since nothing in it outlives a step. */
const scratch = new Map<number, Candidates>();

function candidatesOf(vocabularySize: number): Candidates {
  const candidates = scratch.get(vocabularySize) ?? new Candidates(vocabularySize);
  scratch.set(vocabularySize, candidates);
  return candidates;
}

/** Steps 5 to 9. */
function drawToken(
  candidates: Candidates,
  { topK, temperature, topP, minP }: SamplingParameters,
  point: number,
): number {
  if (topK > 0) candidates.keepBest(topK);
  candidates.weigh(temperature);
  if (topP < 1) candidates.keepNucleus(topP);
  if (minP > 0) candidates.keepLikely(minP);
  return candidates.draw(point);
}

/** Sets to −∞ what the constraint does not allow; ids past its mask are not allowed either. */
function applyMask(
  logits: Float32Array,
  constraint: ConstraintState,
  endTokens: readonly number[],
): void {
  const ends = endTokens.map((token) => logits[token] ?? -Infinity);
  const allowed = constraint.allowed();
  for (let word = 0; word * 32 < logits.length; word += 1) {
    const bits = allowed[word] ?? 0;
    const first = word * 32;
    if (bits === 0) logits.fill(-Infinity, first, first + 32);
    else if (bits !== 0xffffffff) maskWord(logits, first, bits);
  }
  for (const [place, token] of endTokens.entries()) {
    if (token < logits.length) {
      logits[token] = constraint.canEnd ? (ends[place] ?? -Infinity) : -Infinity;
    }
  }
}

function maskWord(logits: Float32Array, first: number, bits: number): void {
  const end = Math.min(32, logits.length - first);
  for (let bit = 0; bit < end; bit += 1) {
    if ((bits & (1 << bit)) === 0) logits[first + bit] = -Infinity;
  }
}
