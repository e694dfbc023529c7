import {
  accepted,
  type Given,
  type JsonObject,
  malformed,
  type MemberTable,
  outOfRange,
  type Reader,
  readMembers,
  refused,
  requireObject,
  unsupported,
} from "./members.ts";
import { flag, integerIn, listOf, only, textOf, wordOf } from "./readers.ts";
import { maxTokens, SAMPLING, type SamplingMembers } from "./sampling.ts";
import { STREAM, type StreamMembers } from "./stream-members.ts";

/** What a chat completion may ask for. The order and names are those of the API reference. */
export interface ChatMembers extends SamplingMembers, StreamMembers {
  readonly model: string;
  readonly messages: readonly unknown[];
  readonly logprobs: boolean;
  readonly top_logprobs: number;
  readonly max_completion_tokens: number;
  readonly parallel_tool_calls: boolean;
  readonly response_format: JsonObject;
  readonly tools: readonly unknown[];
  /** A word, or an object that names a tool. */
  readonly tool_choice: unknown;
  readonly chat_template_kwargs: TemplateVariables;
}

/** What a request gives its model's template besides messages and tools. */
export type TemplateVariables = Readonly<Record<string, string | number | boolean>>;

const MAX_MESSAGES = 4096;
const MAX_TOOLS = 128;
/** OpenAI API reference, "top_logprobs". */
const MAX_TOP_LOGPROBS = 20;
/** Each has the prompt rendered twice more, chat-prompt.ts. */
const MAX_VARIABLES = 4;
const MAX_VARIABLE_CHARACTERS = 1024;
/** OpenAI API reference, "metadata". */
const MAX_METADATA = 16;
const MAX_METADATA_KEY = 64;
const MAX_METADATA_VALUE = 512;
const MAX_USER_CHARACTERS = 512;
/** Long enough for an id, `@` and a version. */
const MAX_MODEL_CHARACTERS = 512;

/** What templates are rendered with anyway: a request may not take their places. */
const RESERVED_VARIABLES: ReadonlySet<string> = new Set([
  "messages",
  "tools",
  "documents",
  "add_generation_prompt",
  "continue_final_message",
  "bos_token",
  "eos_token",
  "pad_token",
  "unk_token",
]);

const anything: Reader<unknown> = (value) => value;

const readVariables: Reader<TemplateVariables> = (value, param) => {
  const variables = Object.entries(requireObject(value, param));
  if (variables.length > MAX_VARIABLES) {
    throw outOfRange(param, `has ${variables.length} members, want at most ${MAX_VARIABLES}`);
  }
  const read = variables.map(([name, given]): [string, string | number | boolean] => {
    if (!/^[a-z][a-z0-9_]{0,63}$/u.test(name)) {
      throw malformed(param, "has a member that is no name of a variable");
    }
    const own = `${param}.${name}`;
    if (RESERVED_VARIABLES.has(name)) throw unsupported(own, "is set by the request itself");
    if (typeof given === "boolean" || typeof given === "number") return [name, given];
    if (typeof given === "string") return [name, textOf(0, MAX_VARIABLE_CHARACTERS)(given, own)];
    throw malformed(own, "is neither a string nor a number, true or false");
  });
  return Object.fromEntries(read);
};

const readMetadata: Reader<null> = (value, param) => {
  const entries = Object.entries(requireObject(value, param));
  if (entries.length > MAX_METADATA) {
    throw outOfRange(param, `has ${entries.length} members, want at most ${MAX_METADATA}`);
  }
  for (const [key, text] of entries) {
    textOf(1, MAX_METADATA_KEY)(key, param);
    textOf(0, MAX_METADATA_VALUE)(text, `${param}.${key.slice(0, MAX_METADATA_KEY)}`);
  }
  return null;
};

export const readModelName: Reader<string> = textOf(1, MAX_MODEL_CHARACTERS);
export const readUser: Reader<string> = textOf(0, MAX_USER_CHARACTERS);

export const CHAT: MemberTable<ChatMembers> = {
  honoured: {
    ...SAMPLING,
    ...STREAM,
    model: readModelName,
    messages: listOf(anything, 1, MAX_MESSAGES),
    logprobs: flag,
    top_logprobs: integerIn(0, MAX_TOP_LOGPROBS),
    max_completion_tokens: maxTokens,
    parallel_tool_calls: flag,
    response_format: requireObject,
    tools: listOf(anything, 0, MAX_TOOLS),
    tool_choice: anything,
    chat_template_kwargs: readVariables,
  },
  others: {
    user: accepted(
      readUser,
      "names the end user to whoever watches for misuse: nobody watches here",
    ),
    safety_identifier: accepted(readUser, "the same, under its new name"),
    metadata: accepted(readMetadata, "is kept with a stored answer: none is stored"),
    store: accepted(only(false), "no answer is stored"),
    service_tier: accepted(
      wordOf(["auto", "default"], ["flex", "scale", "priority", "fast"]),
      "there is one tier",
    ),
    modalities: accepted(listOf(wordOf(["text"], ["audio"]), 1, 1), "answers are text"),
    audio: refused("asks for sound, and answers are text"),
    function_call: refused("is not done here: use tool_choice"),
    functions: refused("are not done here: use tools"),
    moderation: refused("is not done here"),
    prediction: refused("is not done here"),
    prompt_cache_key: refused("is not done here: no prompt is kept for another request"),
    prompt_cache_options: refused("is not done here: no prompt is kept for another request"),
    prompt_cache_retention: refused("is not done here: no prompt is kept for another request"),
    reasoning_effort: refused("is not done here: see chat_template_kwargs"),
    verbosity: refused("is not done here"),
    web_search_options: refused("is not done here: the enclave reaches no network"),
  },
};

/** @throws {@link EnclaveError} as {@link readMembers}. */
export function readChatMembers(value: unknown): Given<ChatMembers> {
  return readMembers(CHAT, value, "");
}
