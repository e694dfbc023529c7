import type { TextModel } from "../../text/model.ts";
import { type AnswerForm, finite } from "./answer.ts";
import type { Delta, ToldToken } from "./choice.ts";

/** OpenAI API reference: the completion object, which streams in pieces of the same form. */
export const COMPLETION_FORM: AnswerForm = {
  chunk: (head, model, index, delta) => ({
    ...head,
    object: "text_completion",
    choices: [choiceBody(model, index, delta)],
  }),
  last: (head) => ({ ...head, object: "text_completion", choices: [] }),
  whole: (head, model, deltas) => ({
    ...head,
    object: "text_completion",
    choices: deltas.map((delta, index) => choiceBody(model, index, delta)),
  }),
};

function choiceBody(model: TextModel, index: number, delta: Delta): object {
  return {
    index,
    text: delta.content,
    logprobs: logprobsBody(model, delta.tokens),
    finish_reason: delta.finish,
  };
}

function logprobsBody(model: TextModel, tokens: readonly ToldToken[]): object | null {
  if (tokens.length === 0) return null;
  return {
    tokens: tokens.map(({ token }) => model.tokenText(token).text),
    token_logprobs: tokens.map(({ logprob }) => finite(logprob)),
    // Two tokens of one text, which may be when neither is a whole character: the likelier one.
    top_logprobs: tokens.map(({ top }) =>
      Object.fromEntries(
        top
          .toReversed()
          .map(({ token, logprob }) => [model.tokenText(token).text, finite(logprob)]),
      ),
    ),
    text_offset: tokens.map(({ offset }) => offset),
  };
}
