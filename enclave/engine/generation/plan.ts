/**
 * How one decoder is run: found when it is loaded, and known to both threads.
 *
 * The main thread reckons with it what a request can take at most, before anything runs.
 */

/** Tokens of a prompt that are read in one run. A prompt is always cut at its multiples. */
export const CHUNK_TOKENS = 128;
/** The smallest cache: growing more often would cost more than it saves. */
const SMALLEST_CAPACITY = 128;

export interface DecoderPlan {
  readonly contextLength: number;
  readonly vocabularySize: number;
  /** Of keys and values of all layers. */
  readonly bytesPerToken: number;
  /** Arrays that keys and values are in: two for each layer. */
  readonly arrays: number;
  /**
   * append: the graph gives new keys and values, which are written behind each row's own. in-place: the
   * graph writes them there itself. exact: one sequence a run, its cache without any slot to spare.
   */
  readonly mode: "append" | "in-place" | "exact";
  /** Exact mode only: the graph gives the past again with what is new, so there are two caches. */
  readonly twofold: boolean;
  /** Sequences in one run. Where at least 2 are needed, one alone is run beside a row of padding. */
  readonly rows: { readonly least: 1 | 2; readonly most: number };
}

/**
 * Tokens that a cache has room for which holds `tokens` now: a power of two, or all that can ever be
 * stored, which is one less than the context, since the last token is never read.
 *
 * It depends on one sequence's own length only, and with it the numbers that the sequence gets.
 */
export function capacityFor(tokens: number, contextLength: number): number {
  let capacity = SMALLEST_CAPACITY;
  while (capacity < tokens) capacity *= 2;
  return Math.min(capacity, contextLength - 1);
}

/** Room for the next token: where it is written in place, for all tokens that may come. */
export function rowCapacity(plan: DecoderPlan, length: number, mostTokens: number): number {
  const tokens = plan.mode === "append" ? length + 1 : mostTokens;
  return capacityFor(tokens, plan.contextLength);
}

/** Tokens that a choice stores at most: the last one is delivered and never read. */
export function storedTokens(promptTokens: number, maxTokens: number): number {
  return promptTokens + maxTokens - 1;
}

/**
 * Bytes of cache that a request can hold at once, at most: prompt, choices, and a move of each choice to
 * a larger cache, while it is in both.
 */
export function generationBytes(
  plan: DecoderPlan,
  promptTokens: number,
  maxTokens: number,
  choices: number,
): number {
  const stored = storedTokens(promptTokens, maxTokens);
  const last = capacityFor(stored, plan.contextLength);
  const first = Math.min(last, rowCapacity(plan, promptTokens, stored));
  const rows = choices * plan.rows.least;
  if (plan.mode === "exact") return choices * last * plan.bytesPerToken * (plan.twofold ? 2 : 1);
  const beforeTheLast = first < last ? capacityFor(Math.ceil(last / 2), plan.contextLength) : 0;
  return rows * (last + beforeTheLast) * plan.bytesPerToken;
}

/**
 * Bytes for choosing the tokens of one choice, for each token of the vocabulary: how often it came (4), whether
 * (1), its place in the list of those that did (8), its logit for log-probabilities (4).
 */
const CHOOSING_BYTES = 17;

/** Bytes that a choice can hold beside its cache, at most. */
export function choosingBytes(plan: DecoderPlan): number {
  return CHOOSING_BYTES * plan.vocabularySize;
}

/** Bytes that a request can hold at once, at most: what is promised to it. */
export function requestBytes(
  plan: DecoderPlan,
  promptTokens: number,
  maxTokens: number,
  choices: number,
): number {
  return generationBytes(plan, promptTokens, maxTokens, choices) + choices * choosingBytes(plan);
}

/**
 * Bytes that may be promised out of `cacheBytes`. The rest is for one array that is copied into a larger
 * or smaller one and held twice meanwhile.
 */
export function promisableBytes(cacheBytes: number, arrays: number): number {
  return Math.floor((cacheBytes * arrays) / (arrays + 1));
}
