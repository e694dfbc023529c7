/** How a model is taught to call tools, found by rendering a conversation in which one is called. */
import type { JsonValue, TemplateMessage, ToolSyntax } from "./model.ts";

/** Renders messages and tools as the template has them. Throws where it does not take them. */
export type RenderProbe = (
  messages: readonly TemplateMessage[],
  tools: readonly JsonValue[] | null,
) => string;

const USER: TemplateMessage = { role: "user", content: "Hello" };
/** A character that no template begins or ends a call with, so that what it stands between is found. */
const TEXT = "§";
const ANSWER: TemplateMessage = { role: "assistant", content: TEXT };
const CALL: JsonValue = {
  // Nine letters or digits: Mistral's templates take no other id.
  id: "probe0001",
  type: "function",
  function: { name: "probe_call", arguments: { probe_key: "probe_value" } },
};
const CALLS: readonly TemplateMessage[] = [
  { role: "assistant", content: "", tool_calls: [CALL] },
  { role: "assistant", tool_calls: [CALL] },
];
const TOOL: JsonValue = {
  type: "function",
  function: {
    name: "probe_call",
    description: "A probe.",
    parameters: {
      type: "object",
      properties: { probe_key: { type: "string", description: "A key." } },
      required: ["probe_key"],
    },
  },
};
const CALL_JSON =
  /^([^{}]{0,64})\{"name": ?"probe_call", ?"(arguments|parameters)": ?\{"probe_key": ?"probe_value"\}\}([^{}]{0,64})$/su;

/**
 * The syntax of a template that names tools to the model and shows calls as one JSON object each; null
 * for any other, so that tools are refused and not silently left out.
 *
 * @param specials - texts of special tokens. They are no part of an answer's text, so that a call
 * marked by one could not be found there.
 */
export function detectToolSyntax(
  render: RenderProbe,
  specials: readonly string[],
): ToolSyntax | null {
  if (!namesTools(render)) return null;
  const plain = attempt(() => render([USER, ANSWER], [TOOL]));
  if (plain === null) return null;
  for (const message of CALLS) {
    const called = attempt(() => render([USER, message], [TOOL]));
    const found = called === null ? null : CALL_JSON.exec(difference(plain, called));
    if (found === null) continue;
    const [, open = "", key, close = ""] = found;
    if (specials.some((special) => open.includes(special) || close.includes(special))) return null;
    return { open, close, argumentsKey: key === "parameters" ? "parameters" : "arguments" };
  }
  return null;
}

function namesTools(render: RenderProbe): boolean {
  const without = attempt(() => render([USER], null));
  const told = attempt(() => render([USER], [TOOL]));
  return told !== null && told !== without && told.includes("probe_call");
}

/** What of `text` is not in `other`, where both begin and end alike. */
function difference(other: string, text: string): string {
  let start = 0;
  while (start < text.length && text[start] === other[start]) start++;
  let end = 0;
  const most = Math.min(text.length, other.length) - start;
  while (end < most && text.at(-1 - end) === other.at(-1 - end)) end++;
  return text.slice(start, text.length - end);
}

/** A template may refuse a probe for any reason of its own. */
function attempt(render: () => string): string | null {
  try {
    return render();
  } catch {
    return null;
  }
}
