import type { TextModel } from "../../text/model.ts";
import { readCompletionMembers } from "./completion-members.ts";
import { malformed, outOfRange, required, unsupported } from "./members.ts";
import { naming } from "./naming.ts";
import { MAX_CHOICES, randomSeed, requireToken, resolveSampling } from "./sampling.ts";
import { type GivenText, readTexts } from "./texts.ts";
import { type Prompt, resolveDelivery, resolveMaxTokens, type TextWork } from "./work.ts";

/** OpenAI API reference, completions, "max_tokens". */
const DEFAULT_MAX_TOKENS = 16;
const MAX_PROMPTS = 16;

/**
 * Resolves a completion.
 *
 * @throws {@link EnclaveError} the caller's `request/…` and `prompt/…` codes.
 */
export function resolveCompletion(body: unknown, model: TextModel): TextWork {
  const given = readCompletionMembers(body);
  const choices = given.n ?? 1;
  if (given.best_of !== null && given.best_of !== choices) {
    throw unsupported("best_of", "is not n, and none of several answers is chosen here");
  }
  const texts = readTexts(given.prompt, "prompt", MAX_PROMPTS);
  if (texts.length * choices > MAX_CHOICES) {
    throw outOfRange("n", `is ${choices} for ${texts.length} prompts, want ${MAX_CHOICES} in all`);
  }
  const prompts = texts.map((text) => promptOf(text, model));
  const asked = given.max_tokens === null ? null : { count: given.max_tokens, param: "max_tokens" };
  const extent = { given: asked, most: DEFAULT_MAX_TOKENS, choices };
  return {
    model,
    name: required(given.model, "model"),
    prompts,
    constraint: null,
    use: null,
    delivery: resolveDelivery(given),
    parameters: {
      endpoint: "completions",
      choices,
      seed: given.seed ?? randomSeed(),
      maxTokens: resolveMaxTokens(extent, model, prompts),
      stop: given.stop ?? [],
      sampling: resolveSampling(given, model.defaults, model.vocabularySize, given.logprobs),
      constraintDigest: null,
      toolChoice: "none",
      parallelToolCalls: true,
      template: {},
    },
  };
}

function promptOf(given: GivenText, model: TextModel): Prompt {
  const { param } = given;
  if (given.kind === "text") {
    const tokens = naming(param, () => model.encode(given.text, "add"));
    if (tokens.length === 0) throw malformed(param, "has no tokens");
    return { tokens, param };
  }
  const unknown = given.tokens.findIndex((token) => token >= model.vocabularySize);
  const token = given.tokens[unknown];
  if (token !== undefined) requireToken(token, model.vocabularySize, `${param}[${unknown}]`);
  return { tokens: given.tokens, param };
}
