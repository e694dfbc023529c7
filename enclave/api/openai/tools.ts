/** Tools of a chat: which there are, and which must be called. */
import type { Constraint, ConstraintPart, JsonSchema } from "../../text/generation.ts";
import type { JsonValue, ToolSyntax } from "../../text/model.ts";
import type { ChatMembers } from "./chat-members.ts";
import {
  type Given,
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
import { flag, textOf, wordOf } from "./readers.ts";

export interface Tool {
  readonly name: string;
  /** Of the arguments; any object where the tool is not strict. */
  readonly schema: JsonSchema | null;
  /** As the request has it, for the template. */
  readonly given: JsonValue;
  readonly param: string;
}

/** How an answer may call tools. */
export interface ToolUse {
  readonly syntax: ToolSyntax;
  readonly tools: readonly Tool[];
  /** `auto`: text or calls, as the model likes. `call`: exactly one call, of one of `tools`. */
  readonly mode: "auto" | "call";
  /** Whether one answer may hold several calls. */
  readonly parallel: boolean;
}

/** What a chat makes of its tools. */
export interface ToolPlan {
  /** What the template is told; null for nothing. */
  readonly shown: readonly JsonValue[] | null;
  /** Null where the answer is text and nothing else. */
  readonly use: ToolUse | null;
  /** For the digest of the parameters: `none`, `auto`, `required`, or `function NAME`. */
  readonly choice: string;
}

/** OpenAI API reference, "tools": a name's characters and length. */
const NAME = /^[A-Za-z0-9_-]{1,64}$/u;
const MAX_DESCRIPTION = 65_536;

interface FunctionMembers {
  readonly name: string;
  readonly description: string;
  readonly parameters: JsonSchema;
  readonly strict: boolean;
}

const readName: Reader<string> = (value, param) => {
  if (typeof value === "string" && NAME.test(value)) return value;
  throw malformed(param, "is no name of up to 64 letters, digits, _ and -");
};

const FUNCTION: MemberTable<FunctionMembers> = {
  honoured: {
    name: readName,
    description: textOf(0, MAX_DESCRIPTION),
    parameters: requireObject,
    strict: flag,
  },
  others: {},
};

interface ToolMembers {
  readonly type: "function";
  readonly function: Given<FunctionMembers>;
}

const TOOL: MemberTable<ToolMembers> = {
  honoured: {
    type: wordOf(["function"], ["custom"]),
    function: (value, param) => readMembers(FUNCTION, value, param),
  },
  others: { custom: refused("is not done here: only functions are called") },
};

interface Named {
  readonly name: string;
}

interface ChoiceMembers {
  readonly type: "function";
  readonly function: Given<Named>;
}

const NAMED: MemberTable<Named> = { honoured: { name: readName }, others: {} };
const CHOICE: MemberTable<ChoiceMembers> = {
  honoured: {
    type: wordOf(["function"], ["custom", "allowed_tools"]),
    function: (value, param) => readMembers(NAMED, value, param),
  },
  others: {
    custom: refused("is not done here: only functions are called"),
    allowed_tools: refused("is not done here: send the tools that are allowed"),
  },
};

type Choice =
  | { readonly kind: "none" }
  | { readonly kind: "auto" }
  | { readonly kind: "required" }
  | { readonly kind: "named"; readonly name: string };

/**
 * Reads tools, tool_choice and parallel_tool_calls.
 *
 * @param syntax - of the model's template; null where it knows no tools.
 * @throws {@link EnclaveError} `request/unsupported`, `request/structure`, `request/parameter`.
 */
export function planTools(
  given: Pick<Given<ChatMembers>, "tools" | "tool_choice" | "parallel_tool_calls">,
  syntax: ToolSyntax | null,
): ToolPlan {
  if (syntax === null) {
    refuseTools(given);
    return { shown: null, use: null, choice: "none" };
  }
  const tools = (given.tools ?? []).map((value, index) => readTool(value, `tools[${index}]`));
  requireDistinct(tools);
  if (tools.length === 0) {
    const { tool_choice: choice, parallel_tool_calls: parallel } = given;
    if (choice !== null && choice !== "none") throw malformed("tool_choice", "is without tools");
    if (parallel !== null) throw malformed("parallel_tool_calls", "is without tools");
    return { shown: null, use: null, choice: "none" };
  }
  const choice = readChoice(given.tool_choice ?? "auto");
  if (choice.kind === "none") return { shown: null, use: null, choice: "none" };
  const parallel = given.parallel_tool_calls ?? true;
  const shown = tools.map((tool) => tool.given);
  switch (choice.kind) {
    case "auto":
      return { shown, use: { syntax, tools, mode: "auto", parallel }, choice: "auto" };
    case "required":
      return { shown, use: { syntax, tools, mode: "call", parallel }, choice: "required" };
    case "named": {
      const named = tools.filter((tool) => tool.name === choice.name);
      if (named.length === 0) throw outOfRange("tool_choice.function.name", "names none of tools");
      const use: ToolUse = { syntax, tools: named, mode: "call", parallel };
      return { shown, use, choice: `function ${choice.name}` };
    }
    default:
      return choice satisfies never;
  }
}

/** What the answer must be where one call is wanted and nothing else. */
export function callConstraint(use: ToolUse): Constraint {
  const options = use.tools.map((tool): readonly ConstraintPart[] => [
    { kind: "literal", text: callPrefix(use.syntax, tool.name) },
    tool.schema === null ? { kind: "json-object" } : { kind: "json-schema", schema: tool.schema },
    { kind: "literal", text: `}${use.syntax.close}` },
  ]);
  const [only] = options;
  return options.length === 1 && only !== undefined ? only : [{ kind: "choice", options }];
}

/** What stands before a call's arguments. */
export function callPrefix(syntax: ToolSyntax, name: string): string {
  return `${syntax.open}{"name": ${JSON.stringify(name)}, "${syntax.argumentsKey}": `;
}

function refuseTools(
  given: Pick<Given<ChatMembers>, "tools" | "tool_choice" | "parallel_tool_calls">,
): void {
  for (const name of ["tools", "tool_choice", "parallel_tool_calls"] as const) {
    const asked = given[name];
    if (asked === null || (Array.isArray(asked) && asked.length === 0) || asked === "none")
      continue;
    throw unsupported(name, "is not done by this model: its template knows no tools");
  }
}

function readTool(value: unknown, param: string): Tool {
  const tool = readMembers(TOOL, value, param);
  required(tool.type, `${param}.type`);
  const called = required(tool.function, `${param}.function`);
  const strict = called.strict ?? false;
  // JSON Schema's own default for a function without parameters, OpenAI API reference, "parameters".
  const schema = called.parameters ?? {
    type: "object",
    properties: {},
    additionalProperties: false,
  };
  return {
    name: required(called.name, `${param}.function.name`),
    schema: strict ? schema : null,
    given: requireObject(value, param),
    param,
  };
}

function requireDistinct(tools: readonly Tool[]): void {
  const names = new Set<string>();
  for (const { name, param } of tools) {
    if (names.has(name)) throw malformed(`${param}.function.name`, "is another tool's too");
    names.add(name);
  }
}

function readChoice(value: unknown): Choice {
  if (typeof value === "string") {
    return { kind: wordOf(["none", "auto", "required"])(value, "tool_choice") };
  }
  const choice = readMembers(CHOICE, value, "tool_choice");
  required(choice.type, "tool_choice.type");
  const named = required(choice.function, "tool_choice.function");
  return { kind: "named", name: required(named.name, "tool_choice.function.name") };
}
