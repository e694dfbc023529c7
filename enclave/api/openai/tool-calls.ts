/** Finds tool calls in an answer that comes piece by piece. */
import { encodeUtf8 } from "@countersign/attestation/attester";
import { EnclaveError } from "../../errors.ts";
import { fitsSchema } from "../../text/constraint/schema-fit.ts";
import { newId } from "./ids.ts";
import { JsonEnd } from "./json-end.ts";
import { memberText } from "./json-member.ts";
import { parseStrictJson } from "./json.ts";
import { type JsonObject, requireObject } from "./members.ts";
import { callPrefix, type ToolUse } from "./tools.ts";

/** What is new of one call: its id and name come once, first. */
export interface CallDelta {
  readonly index: number;
  readonly head: { readonly id: string; readonly name: string } | null;
  readonly arguments: string;
}

/** What some text turned out to be. */
export interface Said {
  readonly content: string;
  readonly calls: readonly CallDelta[];
}

export interface CallReader {
  push(text: string): Said;
  /** What is left when nothing more comes. */
  end(): Said;
  /** Whether the answer has all that was asked for, and may be stopped. */
  readonly done: boolean;
}

const NOTHING: Said = { content: "", calls: [] };

/** The reader of answers that may call tools. */
export function createCallReader(use: ToolUse): CallReader {
  if (use.mode === "call") return new CertainCall(use);
  // Templates differ in the white space around the marks, models even more so.
  const open = use.syntax.open.trim();
  const close = use.syntax.close.trim();
  return open === "" || close === "" ? new WholeAnswer(use) : new MarkedCalls(use, open, close);
}

/**
 * An answer that is constrained to be one call: its arguments are told as they come.
 *
 * All that is not arguments is known beforehand, but for the name.
 */
class CertainCall implements CallReader {
  readonly #prefixes: readonly { readonly name: string; readonly text: string }[];
  readonly #end = new JsonEnd();
  #held = "";
  #begun = false;

  constructor(use: ToolUse) {
    this.#prefixes = use.tools.map(({ name }) => ({ name, text: callPrefix(use.syntax, name) }));
  }

  readonly done = false;

  push(text: string): Said {
    if (this.#begun) return this.#more(text, null);
    this.#held += text;
    const prefix = this.#prefixes.find((each) => this.#held.startsWith(each.text));
    if (prefix === undefined) return NOTHING;
    this.#begun = true;
    const rest = this.#held.slice(prefix.text.length);
    return this.#more(rest, { id: newId("call"), name: prefix.name });
  }

  end(): Said {
    return NOTHING;
  }

  #more(text: string, head: CallDelta["head"]): Said {
    const told = this.#end.push(text);
    if (told === "" && head === null) return NOTHING;
    return { content: "", calls: [{ index: 0, head, arguments: told }] };
  }
}

/** Text in which a mark begins each call and another ends it. */
class MarkedCalls implements CallReader {
  readonly #use: ToolUse;
  readonly #open: string;
  readonly #close: string;
  /** Text that is not told yet; inside a call, what may be the beginning of its last mark. */
  #held = "";
  /** What was said of the call so far, its first mark and the white space before it left out. */
  #inside: string[] | null = null;
  /** That white space: dropped with a call, told with what turns out to be none. */
  #gap = "";
  #calls = 0;

  constructor(use: ToolUse, open: string, close: string) {
    this.#use = use;
    this.#open = open;
    this.#close = close;
  }

  get done(): boolean {
    return this.#calls > 0 && !this.#use.parallel;
  }

  push(text: string): Said {
    this.#held += text;
    let content = "";
    const calls: CallDelta[] = [];
    while (!this.done) {
      const mark = this.#inside === null ? this.#open : this.#close;
      const at = this.#held.indexOf(mark);
      if (at < 0) return { content: content + this.#release(mark), calls };
      const before = this.#held.slice(0, at);
      this.#held = this.#held.slice(at + mark.length);
      if (this.#inside === null) {
        content += this.#begin(before);
        continue;
      }
      const inside = [...this.#inside, before].join("");
      const call = readCall(inside, this.#use, this.#calls);
      if (call === null) content += this.#gap + this.#open + inside + this.#close;
      else calls.push(call);
      if (call !== null) this.#calls++;
      this.#inside = null;
    }
    return { content, calls };
  }

  end(): Said {
    if (this.done) return NOTHING;
    if (this.#inside === null) {
      const left = this.#calls > 0 && this.#held.trim() === "";
      return left ? NOTHING : { content: this.#held, calls: [] };
    }
    // Some models leave the last mark out.
    const inside = [...this.#inside, this.#held].join("");
    const call = readCall(inside, this.#use, this.#calls);
    if (call !== null) return { content: "", calls: [call] };
    return { content: this.#gap + this.#open + inside, calls: [] };
  }

  /** @returns what of the text before a call is told. */
  #begin(before: string): string {
    const told = before.trimEnd();
    this.#gap = before.slice(told.length);
    this.#inside = [];
    return told;
  }

  /**
   * What of the held text can be told: outside a call not white space at the end, nor what may be the
   * beginning of the mark. Inside nothing is, but what is no such beginning need not be searched again.
   */
  #release(mark: string): string {
    let end = this.#held.length;
    for (let kept = Math.min(mark.length - 1, end); kept > 0; kept--) {
      if (!mark.startsWith(this.#held.slice(end - kept))) continue;
      end -= kept;
      break;
    }
    const free = this.#held.slice(0, end);
    const told = this.#inside === null ? free.trimEnd() : free;
    this.#held = this.#held.slice(told.length);
    if (this.#inside === null) return told;
    if (told !== "") this.#inside.push(told);
    return "";
  }
}

/** An answer that is one call and nothing else, or is text: the first character tells. */
class WholeAnswer implements CallReader {
  readonly #use: ToolUse;
  #held = "";
  #is: "open" | "text" | "object" = "open";

  constructor(use: ToolUse) {
    this.#use = use;
  }

  readonly done = false;

  push(text: string): Said {
    if (this.#is === "text") return { content: text, calls: [] };
    this.#held += text;
    if (this.#is === "object") return NOTHING;
    const start = this.#held.trimStart();
    if (start === "") return NOTHING;
    this.#is = start.startsWith("{") ? "object" : "text";
    return this.#is === "text" ? { content: this.#held, calls: [] } : NOTHING;
  }

  end(): Said {
    if (this.#is === "text") return NOTHING;
    const call = readCall(this.#held, this.#use, 0);
    return call === null ? { content: this.#held, calls: [] } : { content: "", calls: [call] };
  }
}

/** The call that this text is, or null where it is none of ours: then it stays text. */
function readCall(text: string, { tools, syntax }: ToolUse, index: number): CallDelta | null {
  let call: JsonObject;
  try {
    call = requireObject(parseStrictJson(encodeUtf8(text)), "");
  } catch (error) {
    if (error instanceof EnclaveError) return null;
    throw error;
  }
  const { name } = call;
  const written = call[syntax.argumentsKey] ?? null;
  const given = written ?? {};
  const tool = tools.find((each) => each.name === name);
  if (tool === undefined || typeof given !== "object" || Array.isArray(given)) return null;
  // OpenAI API reference, "strict": a call fits its schema, or is not made.
  if (tool.schema !== null && !fitsSchema(given, tool.schema)) return null;
  const head = { id: newId("call"), name: tool.name };
  const own = written === null ? null : memberText(text, syntax.argumentsKey);
  return { index, head, arguments: own ?? "{}" };
}
