/** The messages of a chat, from OpenAI's form to what templates read. */
import { encodeUtf8 } from "@countersign/attestation/attester";
import { EnclaveError } from "../../errors.ts";
import type { JsonValue, TemplateMessage } from "../../text/model.ts";
import { parseStrictJson } from "./json.ts";
import {
  accepted,
  type Given,
  type Honoured,
  type JsonObject,
  malformed,
  type MemberTable,
  outOfRange,
  type Reader,
  readMembers,
  refused,
  required,
  requireObject,
  unsupported,
} from "./members.ts";
import { listOf, textOf, wordOf } from "./readers.ts";

/** Bounded by the body. */
const MAX_CHARACTERS = 2 ** 29;
const MAX_PARTS = 4096;
const MAX_CALLS = 128;
const MAX_NAME_CHARACTERS = 64;
const MAX_ID_CHARACTERS = 128;

const IMAGES = "carries more than text, and models here read only text";
const text = textOf(0, MAX_CHARACTERS);
const readId = textOf(1, MAX_ID_CHARACTERS);

interface Part {
  readonly type: "text";
  readonly text: string;
}

interface Message {
  readonly role: string;
  readonly content: string;
  readonly name: string;
}

const PART: MemberTable<Part> = {
  honoured: {
    type: wordOf(["text"], ["image_url", "input_audio", "file", "refusal"]),
    text,
  },
  others: {
    image_url: refused(IMAGES),
    input_audio: refused(IMAGES),
    file: refused(IMAGES),
    refusal: refused("is not done here"),
    prompt_cache_breakpoint: refused("is not done here: no prompt is kept for another request"),
  },
};

/** Parts of text are one text, with nothing between: as templates that take parts write them. */
const readContent: Reader<string> = (value, param) => {
  if (typeof value === "string") return text(value, param);
  if (!Array.isArray(value)) throw malformed(param, "is neither text nor an array of parts");
  const parts = listOf((item, own) => readMembers(PART, item, own), 1, MAX_PARTS)(value, param);
  return parts
    .map((part, index) => {
      required(part.type, `${param}[${index}].type`);
      return required(part.text, `${param}[${index}].text`);
    })
    .join("");
};

const MESSAGE: Honoured<Message> = {
  role: wordOf(["system", "developer", "user", "assistant", "tool"], ["function"]),
  content: readContent,
  name: textOf(1, MAX_NAME_CHARACTERS),
};

const PLAIN: MemberTable<Message> = { honoured: MESSAGE, others: {} };

interface CallFunction {
  readonly name: string;
  readonly arguments: string;
}

interface Call {
  readonly id: string;
  readonly type: "function";
  readonly function: Given<CallFunction>;
}

const CALL_FUNCTION: MemberTable<CallFunction> = {
  honoured: { name: textOf(1, MAX_NAME_CHARACTERS), arguments: text },
  others: {},
};

const CALL: MemberTable<Call> = {
  honoured: {
    id: readId,
    type: wordOf(["function"], ["custom"]),
    function: (value, param) => readMembers(CALL_FUNCTION, value, param),
  },
  others: { custom: refused("is not done here: only functions are called") },
};

interface AssistantMessage extends Message {
  readonly tool_calls: readonly Given<Call>[];
}

const ASSISTANT: MemberTable<AssistantMessage> = {
  honoured: {
    ...MESSAGE,
    tool_calls: listOf((item, param) => readMembers(CALL, item, param), 1, MAX_CALLS),
  },
  others: {
    refusal: refused("is not done here"),
    audio: refused(IMAGES),
    function_call: refused("is not done here: use tool_calls"),
    // What the official client gives back of an answer of ours, unchanged.
    annotations: accepted(
      listOf(() => null, 0, 0),
      "an empty array says nothing",
    ),
  },
};

interface ToolMessage extends Message {
  readonly tool_call_id: string;
}

const TOOL: MemberTable<ToolMessage> = {
  honoured: { ...MESSAGE, tool_call_id: readId },
  others: {},
};

/**
 * Reads the messages.
 *
 * A developer's message is a system's, which is how templates know it. The arguments of a call come
 * as JSON in text, and go to the template as what they say.
 *
 * @param knowsTools - whether the model's template does.
 * @throws {@link EnclaveError} `request/structure`, `request/parameter`, `request/unsupported`.
 */
export function readMessages(
  values: readonly unknown[],
  knowsTools: boolean,
): readonly TemplateMessage[] {
  const calls = new Set<string>();
  return values.map((value, index) => {
    const param = `messages[${index}]`;
    const role = requireObject(value, param)["role"] ?? null;
    if (!knowsTools) requireNoTools(value, role, param);
    if (role === "assistant") return assistantMessage(value, param, calls);
    if (role === "tool") return toolMessage(value, param, calls);
    const given = readMembers(PLAIN, value, param);
    const known = required(given.role, `${param}.role`);
    return {
      role: known === "developer" ? "system" : known,
      content: required(given.content, `${param}.content`),
      ...named(given.name),
    };
  });
}

function requireNoTools(value: unknown, role: JsonValue, param: string): void {
  const why = "is about a tool, and this model's template knows none";
  if (role === "tool") throw unsupported(`${param}.role`, why);
  const calls = requireObject(value, param)["tool_calls"] ?? null;
  if (calls !== null) throw unsupported(`${param}.tool_calls`, why);
}

function assistantMessage(value: unknown, param: string, calls: Set<string>): TemplateMessage {
  const given = readMembers(ASSISTANT, value, param);
  if (given.tool_calls === null) {
    const content = required(given.content, `${param}.content`);
    return { role: "assistant", content, ...named(given.name) };
  }
  const made = given.tool_calls.map((call, index) => {
    const own = `${param}.tool_calls[${index}]`;
    const id = required(call.id, `${own}.id`);
    calls.add(id);
    required(call.type, `${own}.type`);
    const called = required(call.function, `${own}.function`);
    return {
      id,
      type: "function",
      function: {
        name: required(called.name, `${own}.function.name`),
        arguments: argumentsOf(
          required(called.arguments, `${own}.function.arguments`),
          `${own}.function.arguments`,
        ),
      },
    };
  });
  return {
    role: "assistant",
    content: given.content ?? "",
    tool_calls: made,
    ...named(given.name),
  };
}

function toolMessage(value: unknown, param: string, calls: ReadonlySet<string>): TemplateMessage {
  const given = readMembers(TOOL, value, param);
  const id = required(given.tool_call_id, `${param}.tool_call_id`);
  if (!calls.has(id)) {
    throw outOfRange(`${param}.tool_call_id`, "is the id of no call in a message before");
  }
  const content = required(given.content, `${param}.content`);
  return { role: "tool", tool_call_id: id, content, ...named(given.name) };
}

function named(name: string | null): { readonly name?: string } {
  return name === null ? {} : { name };
}

/** The JSON object that a call's arguments are: a text of its own, and as strictly read. */
function argumentsOf(json: string, param: string): JsonObject {
  try {
    return requireObject(parseStrictJson(encodeUtf8(json)), param);
  } catch (error) {
    if (error instanceof EnclaveError) throw malformed(param, "is no JSON object");
    throw error;
  }
}
