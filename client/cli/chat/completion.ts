import { CommandError } from "../exit.ts";
import { requireList, requireObject, requireText } from "../model-metadata.ts";

/** One message of a conversation, in OpenAI's form. */
export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** How answers are made; null leaves it to the model. */
export interface ChatSettings {
  readonly model: string;
  readonly temperature: number | null;
  readonly topP: number | null;
  readonly maxTokens: number | null;
  readonly seed: number | null;
}

/** One event of a streamed answer. */
export type CompletionEvent =
  | { readonly kind: "text"; readonly text: string; readonly finish: string | null }
  /** The enclave could not go on. No receipt will follow. */
  | { readonly kind: "error"; readonly message: string }
  | { readonly kind: "done" };

const DONE = "[DONE]";

/** The body of a request for a streamed answer. */
export function completionBody(settings: ChatSettings, messages: readonly ChatMessage[]): string {
  const { model, temperature, topP, maxTokens, seed } = settings;
  const chosen = { temperature, top_p: topP, max_tokens: maxTokens, seed };
  const given = Object.entries(chosen).filter(([, value]) => value !== null);
  return JSON.stringify({ model, messages, stream: true, ...Object.fromEntries(given) });
}

/** Reads the data of one event. It comes from a verified enclave, and is read strictly all the same. */
export function parseCompletionEvent(data: string): CompletionEvent {
  if (data === DONE) return { kind: "done" };
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    throw new CommandError("an event of the answer is not JSON");
  }
  const root = requireObject(value, "an event of the answer");
  if (root["error"] !== undefined) return { kind: "error", message: errorMessage(root["error"]) };
  const [choice] = requireList(root["choices"], "choices of the answer");
  if (choice === undefined) return { kind: "text", text: "", finish: null };
  const { delta, finish_reason: finish } = requireObject(choice, "a choice of the answer");
  const { content } = requireObject(delta ?? {}, "delta of the answer");
  return {
    kind: "text",
    text: content === undefined || content === null ? "" : requireText(content, "content"),
    finish: finish === undefined || finish === null ? null : requireText(finish, "finish_reason"),
  };
}

function errorMessage(value: unknown): string {
  const message =
    typeof value === "object" && value !== null && "message" in value ? value.message : value;
  return typeof message === "string" ? message : "it does not say why";
}
