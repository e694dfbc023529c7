/** A model's chat template, with the variables that transformers gives it. */
import { decodeUtf8 } from "@countersign/attestation/attester";
import { EnclaveError } from "../errors.ts";
import type { ChatTemplate, JsonValue } from "./model.ts";
import {
  asSection,
  isList,
  isRecord,
  memberAt,
  type Section,
  textAt,
  wrong,
} from "./model-json.ts";
import { createPlainText } from "./plain-text.ts";
import { strftimeWithoutClock } from "./template-date.ts";
import {
  GLOBALS,
  parseTemplate,
  renderTemplate,
  type Template,
  TemplateLimit,
  TemplateRaised,
} from "./template-interpreter.ts";
import { NAMED_TOKENS, type Tokenizer } from "./tokenizer.ts";
import { detectToolSyntax } from "./tool-syntax.ts";

const MAX_TEMPLATE_BYTES = 262_144;
const MAX_MESSAGE_CHARACTERS = 300;
/** Where both are there, transformers takes this file and not the configuration's member. */
export const TEMPLATE_FILE = "chat_template.jinja";
/** Variables that are ours to set; a request's own may have any other name. */
const RESERVED: ReadonlySet<string> = new Set([
  "messages",
  "tools",
  "documents",
  "add_generation_prompt",
  "namespace",
  "strftime_now",
  ...NAMED_TOKENS,
  ...Object.keys(GLOBALS),
]);

/** What is rendered: values that are already marked, plain-text.ts. */
interface Conversation {
  readonly messages: JsonValue;
  readonly tools: JsonValue;
  readonly variables: JsonValue;
  /** Whether the words that begin the assistant's turn are to follow. */
  readonly prompts: boolean;
}

/** The parsed sources; `withTools` is for requests with tools, where there is one of its own. */
interface Templates {
  readonly file: string;
  readonly plain: Template;
  readonly withTools: Template;
}

/**
 * @param templateFile - the bytes of chat_template.jinja, or null.
 * @param config - tokenizer_config.json.
 * @returns null where the model has no template.
 * @throws {@link EnclaveError} `model/template` where one does not parse, or does not render "Hello".
 */
export function createChatTemplate(
  templateFile: Uint8Array | null,
  config: Section | null,
  tokenizer: Tokenizer,
): ChatTemplate | null {
  const templates = readTemplates(templateFile, config);
  if (templates === null) return null;
  const specials = specialTexts(tokenizer);
  const plainText = createPlainText(specials);
  const render = requireRendering(templates, tokenizer);
  const tools = detectToolSyntax(
    (messages, tools) => render({ messages, tools, variables: {}, prompts: false }),
    specials,
  );
  return {
    tools,
    render(messages, tools, variables) {
      for (const name of Object.keys(variables)) {
        if (!RESERVED.has(name)) continue;
        throw new EnclaveError("prompt/template", "this variable is not the caller's to set", {
          param: name,
        });
      }
      const conversation: Conversation = {
        messages: plainText.mark(messages),
        tools: plainText.mark(tools),
        variables: plainText.mark(variables),
        prompts: true,
      };
      try {
        return render(conversation);
      } catch (cause) {
        throw refused(cause);
      }
    },
  };
}

/** Texts of tokens that a caller must not be able to write, plain-text.ts. */
function specialTexts(tokenizer: Tokenizer): readonly string[] {
  const { section, added } = tokenizer.file;
  const specials = added.filter(({ id }) => tokenizer.special.has(id));
  const short = specials.find(({ content }) => Array.from(content).length < 2);
  if (short !== undefined) {
    throw wrong(section, "added_tokens", `has a special token ${short.id} of one character`);
  }
  return specials.map(({ content }) => content);
}

/** A text of the template's own goes to the caller; the library's may quote anything, so they do not. */
function refused(cause: unknown): EnclaveError {
  const own = cause instanceof TemplateRaised || cause instanceof TemplateLimit;
  const text = own ? cause.message : "it does not take this conversation";
  const message = `the model's chat template: ${text.slice(0, MAX_MESSAGE_CHARACTERS)}`;
  return new EnclaveError("prompt/template", message, { cause });
}

/** Renders "Hello"; a template that needs the date for it gets {@link strftimeWithoutClock}. */
function requireRendering(
  templates: Templates,
  tokenizer: Tokenizer,
): (conversation: Conversation) => string {
  const probe: Conversation = {
    messages: [{ role: "user", content: "Hello" }],
    tools: null,
    variables: {},
    prompts: true,
  };
  let failure: unknown;
  for (const date of [[], [["strftime_now", strftimeWithoutClock]]] as const) {
    const render = (conversation: Conversation): string => {
      const template = conversation.tools === null ? templates.plain : templates.withTools;
      return renderTemplate(template, new Map([...variablesOf(conversation, tokenizer), ...date]));
    };
    try {
      if (render(probe).includes("Hello")) return render;
      failure = new Error("the message is not in the prompt");
    } catch (cause) {
      failure = cause;
    }
  }
  throw templateError(templates.file, "does not render a message of the user", failure);
}

/** transformers' apply_chat_template: special tokens by their role, and `null` for what is not there. */
function variablesOf(
  conversation: Conversation,
  tokenizer: Tokenizer,
): readonly (readonly [name: string, value: unknown])[] {
  const { messages, tools, variables, prompts } = conversation;
  return [
    ...(isRecord(variables) ? Object.entries(variables) : []),
    ...[...tokenizer.named].map(([role, { content }]) => [role, content] as const),
    ["messages", messages],
    ["tools", tools],
    ["documents", null],
    ["add_generation_prompt", prompts],
  ];
}

/** One template, or a list of named ones of which we know "default" and "tool_use". */
function readTemplates(templateFile: Uint8Array | null, config: Section | null): Templates | null {
  if (templateFile !== null) {
    const template = parseSource(TEMPLATE_FILE, templateSource(templateFile));
    return { file: TEMPLATE_FILE, plain: template, withTools: template };
  }
  const value = config === null ? null : memberAt(config, "chat_template");
  if (config === null || value === null) return null;
  if (typeof value === "string") {
    const template = parseSource(config.file, value);
    return { file: config.file, plain: template, withTools: template };
  }
  if (!isList(value)) throw wrong(config, "chat_template", "is neither text nor a list");
  const named = new Map<string, Template>();
  for (const [i, entry] of value.entries()) {
    const each = asSection(config, `chat_template/${i}`, entry);
    const name = textAt(each, "name");
    const source = textAt(each, "template");
    if (name === null || source === null) throw wrong(each, null, "has no name and template");
    named.set(name, parseSource(config.file, source));
  }
  const plain = named.get("default");
  if (plain === undefined) throw wrong(config, "chat_template", 'has none named "default"');
  return { file: config.file, plain, withTools: named.get("tool_use") ?? plain };
}

function templateSource(bytes: Uint8Array): string {
  if (bytes.length > MAX_TEMPLATE_BYTES) {
    throw templateError(TEMPLATE_FILE, `is over ${MAX_TEMPLATE_BYTES} bytes long`);
  }
  try {
    return decodeUtf8(bytes);
  } catch (cause) {
    throw templateError(TEMPLATE_FILE, "is not UTF-8", cause);
  }
}

function parseSource(file: string, source: string): Template {
  if (source.length > MAX_TEMPLATE_BYTES) {
    throw templateError(file, `is over ${MAX_TEMPLATE_BYTES} characters long`);
  }
  try {
    return parseTemplate(source);
  } catch (cause) {
    throw templateError(file, "is not a template that Jinja parses", cause);
  }
}

function templateError(file: string, what: string, cause?: unknown): EnclaveError {
  return new EnclaveError("model/template", `the chat template in ${file} ${what}`, {
    ...(cause === undefined ? {} : { cause }),
    param: "chat_template",
  });
}
