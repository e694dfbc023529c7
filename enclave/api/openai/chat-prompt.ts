/** The proof that a chat template took all that it was given. */
import type { ChatTemplate, JsonValue, TemplateMessage } from "../../text/model.ts";
import type { TemplateVariables } from "./chat-members.ts";
import { unsupported } from "./members.ts";

export interface ChatInput {
  readonly messages: readonly TemplateMessage[];
  readonly tools: readonly JsonValue[] | null;
  readonly variables: TemplateVariables;
}

/**
 * Renders again without each name and each variable, and with another value.
 *
 * A template passes over what it does not know without a word. What changes nothing is refused, since
 * nothing that was asked for may be dropped.
 *
 * @param prompt - what `input` renders to.
 * @throws {@link EnclaveError} `request/unsupported` with the member's name.
 */
export function requireTaken(chat: ChatTemplate, input: ChatInput, prompt: string): void {
  requireNames(chat, input, prompt);
  requireVariables(chat, input, prompt);
}

/** For each role, the first name that there is: templates tell roles apart, not messages. */
function requireNames(chat: ChatTemplate, input: ChatInput, prompt: string): void {
  const roles = new Set<JsonValue>();
  for (const [index, message] of input.messages.entries()) {
    const { name, role = null, ...rest } = message;
    if (name === undefined || roles.has(role)) continue;
    roles.add(role);
    const messages = input.messages.with(index, { role, ...rest });
    if (rendersOtherwise(chat, { ...input, messages }, prompt)) continue;
    throw unsupported(`messages[${index}].name`, "is not used by this model's template");
  }
}

/** A variable that the template reads changes the prompt: it, or another value of it, or neither. */
function requireVariables(chat: ChatTemplate, input: ChatInput, prompt: string): void {
  for (const [name, value] of Object.entries(input.variables)) {
    const { [name]: _left, ...rest } = input.variables;
    const others = [rest, { ...input.variables, [name]: otherThan(value) }];
    if (others.some((each) => rendersOtherwise(chat, { ...input, variables: each }, prompt))) {
      continue;
    }
    throw unsupported(`chat_template_kwargs.${name}`, "is not used by this model's template");
  }
}

/** Whether the prompt would be another; a template that fails has at least looked. */
function rendersOtherwise(chat: ChatTemplate, input: ChatInput, prompt: string): boolean {
  try {
    return chat.render(input.messages, input.tools, input.variables) !== prompt;
  } catch {
    return true;
  }
}

function otherThan(value: string | number | boolean): string | number | boolean {
  switch (typeof value) {
    case "boolean":
      return !value;
    case "number":
      return value + 1;
    default:
      return `${value}.`;
  }
}
