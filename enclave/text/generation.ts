/**
 * What a request for text is to the engine: tokens in, tokens out, and every parameter resolved.
 *
 * Everything here passes to the inference worker by structured clone: plain data, no functions.
 */

/** How the next token is chosen. Every member is resolved: what a request left out has its default. */
export interface SamplingParameters {
  /** 0 takes the most likely token; else logits are divided by it. 0 to 2. */
  readonly temperature: number;
  /** Nucleus: the most likely tokens whose probabilities reach it. Above 0, at most 1; 1 keeps all. */
  readonly topP: number;
  /** The most likely tokens by count; 0 keeps all. */
  readonly topK: number;
  /** Tokens at least this many times as likely as the most likely one. 0 to 1; 0 keeps all. */
  readonly minP: number;
  /** OpenAI: subtracted from a token's logit for each time it was generated. −2 to 2. */
  readonly frequencyPenalty: number;
  /** OpenAI: subtracted once from the logit of a token that was generated. −2 to 2. */
  readonly presencePenalty: number;
  /** Hugging Face: divides positive logits of tokens in prompt or answer, multiplies negative. 1: off. */
  readonly repetitionPenalty: number;
  /** OpenAI: added to the logit of a token. −100 to 100. */
  readonly logitBias: readonly (readonly [token: number, bias: number])[];
  /** How many alternatives to report with each token; null reports no probabilities at all. 0 to 20. */
  readonly topLogprobs: number | null;
}

/** A JSON Schema (2020-12), as it came in the request; what of it is honoured, constraint.ts says. */
export type JsonSchema = boolean | { readonly [keyword: string]: unknown };

/** One piece of constrained text. */
export type ConstraintPart =
  /** Exactly this text. */
  | { readonly kind: "literal"; readonly text: string }
  /** Any JSON object. */
  | { readonly kind: "json-object" }
  /** A JSON value that fits the schema. */
  | { readonly kind: "json-schema"; readonly schema: JsonSchema }
  /** Any one of these. */
  | { readonly kind: "choice"; readonly options: readonly (readonly ConstraintPart[])[] };

/** What the whole answer must be: its pieces in order, then the end. */
export type Constraint = readonly ConstraintPart[];

/** One answer among the `n` of a request. */
export interface ChoiceRequest {
  /** Of the generator of random numbers; two choices of one request never have the same. Uint, < 2^53. */
  readonly seed: number;
}

/** One prompt and the choices that continue it; the prompt is read once for all of them. */
export interface GenerationRequest {
  /** Token ids, at least one. */
  readonly prompt: Int32Array<ArrayBuffer>;
  readonly choices: readonly ChoiceRequest[];
  /** Tokens to generate at most, in each choice. At least one; prompt and answer fit the context. */
  readonly maxTokens: number;
  readonly sampling: SamplingParameters;
  readonly constraint: Constraint | null;
}

/** The log-probability of a token, by the natural logarithm, before anything was cut off. */
export interface TokenLogprob {
  readonly token: number;
  readonly logprob: number;
}

/** Why a choice ended, as the engine knows it. A stop string is found outside, and cancels the choice. */
export type EngineFinish =
  /** The model's end token, which is not among the tokens. */
  | "end"
  /** As many tokens as were asked for. */
  | "length"
  /** A constraint was complete and allowed nothing more. */
  | "complete";

/** One step of one choice. */
export interface GeneratedToken {
  /** Index into {@link GenerationRequest.choices}. */
  readonly choice: number;
  /** Null only with a finish that brings no token. */
  readonly token: number | null;
  /** Of `token`; null where none were asked for. */
  readonly logprob: number | null;
  /** The most likely tokens, descending; empty where none were asked for. */
  readonly top: readonly TokenLogprob[];
  /** Not null once for each choice, in its last event. */
  readonly finish: EngineFinish | null;
}

/** A generation under way, in the main thread. */
export interface Generation {
  /**
   * What was generated since the last batch, in order. Ends when every choice has. Throws EnclaveError
   * `inference/aborted`, `inference/timeout`, `inference/failed`, or what closed the engine. Leaving
   * the loop stops the generation.
   */
  readonly tokens: AsyncIterable<readonly GeneratedToken[]>;
  /** Ends one choice early, within two steps; it yields nothing more, and no finish. */
  stop(choice: number): void;
}
