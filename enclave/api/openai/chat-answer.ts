import type { TextModel } from "../../text/model.ts";
import { type AnswerForm, tokenBody } from "./answer.ts";
import type { Delta, ToldToken } from "./choice.ts";
import type { CallDelta } from "./tool-calls.ts";

/** OpenAI API reference: the chat completion object, and the chat completion chunk object. */
export const CHAT_FORM: AnswerForm = {
  chunk: (head, model, index, delta, first) => ({
    ...head,
    object: "chat.completion.chunk",
    choices: [
      {
        index,
        delta: {
          ...(first ? { role: "assistant", content: "" } : {}),
          ...(delta.content === "" ? {} : { content: delta.content }),
          ...(delta.calls.length === 0 ? {} : { tool_calls: delta.calls.map(callDelta) }),
        },
        logprobs: logprobsBody(model, delta.tokens),
        finish_reason: delta.finish,
      },
    ],
  }),
  last: (head) => ({ ...head, object: "chat.completion.chunk", choices: [] }),
  whole: (head, model, deltas) => ({
    ...head,
    object: "chat.completion",
    choices: deltas.map((delta, index) => ({
      index,
      message: messageBody(delta),
      logprobs: logprobsBody(model, delta.tokens),
      finish_reason: delta.finish,
    })),
  }),
};

function messageBody({ content, calls }: Delta): object {
  const message = { role: "assistant", content, refusal: null };
  if (calls.length === 0) return message;
  const toolCalls = calls.map((call) => ({
    id: call.head?.id,
    type: "function",
    function: { name: call.head?.name, arguments: call.arguments },
  }));
  return { ...message, content: content === "" ? null : content, tool_calls: toolCalls };
}

function callDelta(call: CallDelta): object {
  const { index, head } = call;
  if (head === null) return { index, function: { arguments: call.arguments } };
  const { id, name } = head;
  return { index, id, type: "function", function: { name, arguments: call.arguments } };
}

function logprobsBody(model: TextModel, tokens: readonly ToldToken[]): object | null {
  if (tokens.length === 0) return null;
  const content = tokens.map((told) => ({
    ...tokenBody(model, told),
    top_logprobs: told.top.map((each) => tokenBody(model, each)),
  }));
  return { content, refusal: null };
}
