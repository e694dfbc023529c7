import { EnclaveError } from "../../errors.ts";
import type { ChatTemplate, TextModel } from "../../text/model.ts";
import { type ChatMembers, readChatMembers } from "./chat-members.ts";
import { requireTaken } from "./chat-prompt.ts";
import { type Given, malformed, required, unsupported } from "./members.ts";
import { readMessages } from "./messages.ts";
import { naming } from "./naming.ts";
import { formatConstraint, SCHEMA_PARAM } from "./response-format.ts";
import { randomSeed, resolveSampling } from "./sampling.ts";
import { callConstraint, planTools, type ToolPlan } from "./tools.ts";
import {
  constraintDigest,
  requireConstraint,
  requireOneConstraint,
  resolveDelivery,
  resolveMaxTokens,
  type TextWork,
} from "./work.ts";
import type { Constraint } from "../../text/generation.ts";

/** Of an answer whose length is not asked for: what fits into the memory of many at a time. */
const DEFAULT_MAX_TOKENS = 2048;

/** Of all strict tools together: compiling takes this thread 5 to 10 microseconds a state. */
const MAX_TOOL_STATES = 65_536;

/**
 * Resolves a chat completion: every parameter, the prompt, and what the answer must be.
 *
 * @throws {@link EnclaveError} the caller's `request/…`, `prompt/…` and `constraint/…` codes.
 */
export function resolveChat(body: unknown, model: TextModel): TextWork {
  const given = readChatMembers(body);
  const chat = requireChat(model);
  const plan = planTools(given, chat.tools);
  const format = given.response_format === null ? null : formatConstraint(given.response_format);
  requireOneConstraint(plan.use, format);
  const constraint = resolveConstraint(plan, format);
  const prompts = [{ tokens: encodeChat(model, chat, given, plan), param: "messages" }];
  const choices = given.n ?? 1;
  const extent = { given: askedMaxTokens(given), most: DEFAULT_MAX_TOKENS, choices };
  return {
    model,
    name: required(given.model, "model"),
    prompts,
    constraint,
    use: plan.use,
    delivery: resolveDelivery(given),
    parameters: {
      endpoint: "chat",
      choices,
      seed: given.seed ?? randomSeed(),
      maxTokens: resolveMaxTokens(extent, model, prompts),
      stop: given.stop ?? [],
      sampling: resolveSampling(given, model.defaults, model.vocabularySize, topLogprobs(given)),
      constraintDigest: constraintDigest(constraint),
      toolChoice: plan.choice,
      parallelToolCalls: plan.use?.parallel ?? true,
      template: given.chat_template_kwargs ?? {},
    },
  };
}

function requireChat(model: TextModel): ChatTemplate {
  if (model.chat !== null) return model.chat;
  throw unsupported("model", "has no chat template: use /v1/completions");
}

function encodeChat(
  model: TextModel,
  chat: ChatTemplate,
  given: Given<ChatMembers>,
  plan: ToolPlan,
): Int32Array<ArrayBuffer> {
  const messages = readMessages(required(given.messages, "messages"), chat.tools !== null);
  const input = { messages, tools: plan.shown, variables: given.chat_template_kwargs ?? {} };
  const { prompt, tokens } = naming("messages", () => {
    const rendered = chat.render(input.messages, input.tools, input.variables);
    return { prompt: rendered, tokens: model.encode(rendered, "recognise") };
  });
  if (tokens.length === 0) throw malformed("messages", "render to an empty prompt");
  // Only now: it renders again, which a prompt that is too long should not have us do.
  if (tokens.length < model.contextLength) requireTaken(chat, input, prompt);
  return tokens;
}

function resolveConstraint({ use }: ToolPlan, format: Constraint | null): Constraint | null {
  if (format !== null) {
    requireConstraint(format, SCHEMA_PARAM);
    return format;
  }
  if (use === null) return null;
  // One by one, so that a refusal names the tool. In mode auto, it is calls that are held to it.
  let states = 0;
  for (const tool of use.tools) {
    // Any object can be promised.
    if (tool.schema === null) continue;
    const param = `${tool.param}.function.parameters`;
    states += requireConstraint(callConstraint({ ...use, tools: [tool] }), param);
    if (states > MAX_TOOL_STATES) {
      const message = `the tools so far have more than ${MAX_TOOL_STATES} states`;
      throw new EnclaveError("constraint/schema", message, { param });
    }
  }
  return use.mode === "auto" ? null : callConstraint(use);
}

/** `max_completion_tokens` is the new name of `max_tokens`. */
function askedMaxTokens(
  given: Given<ChatMembers>,
): { readonly count: number; readonly param: string } | null {
  const { max_tokens: old, max_completion_tokens: now } = given;
  if (old !== null && now !== null && old !== now) {
    throw malformed("max_tokens", "and max_completion_tokens are not the same");
  }
  if (now !== null) return { count: now, param: "max_completion_tokens" };
  return old === null ? null : { count: old, param: "max_tokens" };
}

function topLogprobs(given: Given<ChatMembers>): number | null {
  if (given.logprobs === true) return given.top_logprobs ?? 0;
  if (given.top_logprobs !== null) throw malformed("top_logprobs", "is without logprobs");
  return null;
}
