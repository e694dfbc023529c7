/** One choice of an answer, from tokens to what of it can be told. */
import type { EngineFinish, GeneratedToken, TokenLogprob } from "../../text/generation.ts";
import type { Detokenizer, TextModel } from "../../text/model.ts";
import { StopMatcher } from "./stop.ts";
import { type CallDelta, type CallReader, createCallReader, type Said } from "./tool-calls.ts";
import type { ToolUse } from "./tools.ts";

export type FinishReason = "stop" | "length" | "tool_calls";

/** A token whose text was told, with its probability. */
export interface ToldToken {
  readonly token: number;
  readonly logprob: number;
  readonly top: readonly TokenLogprob[];
  /** Where in the choice's text it begins, in UTF-16 code units. */
  readonly offset: number;
}

/** What is new of a choice. */
export interface Delta {
  readonly content: string;
  readonly calls: readonly CallDelta[];
  /** Empty where none were asked for. */
  readonly tokens: readonly ToldToken[];
  /** Not null once, in the last one. */
  readonly finish: FinishReason | null;
}

export interface ChoiceOptions {
  readonly model: TextModel;
  /** See {@link TextModel.detokenizer}. */
  readonly start: "beginning" | "continuation";
  readonly stop: readonly string[];
  readonly use: ToolUse | null;
}

/**
 * Detokenizes, finds stop strings, then tool calls, and gathers what can be told until it is taken.
 *
 * Tokens after a stop string are neither told nor counted; a token is told as soon as some of its
 * text is, or whatever comes after it.
 */
export class Choice {
  readonly #detokenizer: Detokenizer;
  readonly #stop: StopMatcher;
  readonly #reader: CallReader | null;
  #tokens = 0;
  #called = false;
  #finish: FinishReason | null = null;
  /** Length of the text so far, and how much of it has passed the stop strings. */
  #length = 0;
  #told = 0;
  #waiting: ToldToken[] = [];
  #content = "";
  #calls: CallDelta[] = [];
  #ready: ToldToken[] = [];
  #finishTaken = false;

  constructor({ model, start, stop, use }: ChoiceOptions) {
    this.#detokenizer = model.detokenizer(start);
    this.#stop = new StopMatcher(stop);
    this.#reader = use === null ? null : createCallReader(use);
  }

  /** How many tokens it has, up to the end of a stop string. */
  get tokens(): number {
    return this.#tokens;
  }

  get finish(): FinishReason | null {
    return this.#finish;
  }

  /** Whether there is anything to {@link take}. */
  get changed(): boolean {
    if (this.#content !== "" || this.#calls.length > 0 || this.#ready.length > 0) return true;
    return this.#finish !== null && !this.#finishTaken;
  }

  /** Takes one event of the engine's. Afterwards, with a {@link finish}, the engine may stop. */
  push({ token, logprob, top, finish }: GeneratedToken): void {
    if (this.#finish !== null) return;
    if (token !== null) {
      this.#tokens++;
      if (logprob !== null) this.#waiting.push({ token, logprob, top, offset: this.#length });
      this.#text(this.#detokenizer.push(token));
      if (this.#stop.found || this.#reader?.done === true) this.#end("stop");
    }
    if (finish !== null && this.#finish === null) this.#last(finish);
  }

  /** What is new since the last time. */
  take(): Delta {
    const finish = this.#finishTaken ? null : this.#finish;
    const delta = { content: this.#content, calls: this.#calls, tokens: this.#ready, finish };
    this.#content = "";
    this.#calls = [];
    this.#ready = [];
    this.#finishTaken ||= finish !== null;
    return delta;
  }

  #last(finish: EngineFinish): void {
    this.#text(this.#detokenizer.end());
    if (this.#stop.found) {
      this.#end("stop");
      return;
    }
    this.#tell(this.#stop.end());
    this.#ready = this.#ready.concat(this.#waiting);
    this.#end(finish === "length" ? "length" : "stop");
  }

  #end(reason: "stop" | "length"): void {
    if (this.#reader !== null) this.#say(this.#reader.end());
    // A call that was cut short is no call to be made.
    this.#finish = this.#called && reason === "stop" ? "tool_calls" : reason;
    this.#waiting = [];
  }

  #text(text: string): void {
    this.#length += text.length;
    this.#tell(this.#stop.push(text));
  }

  /** Text that has passed the stop strings. */
  #tell(text: string): void {
    this.#told += text.length;
    const until = this.#waiting.findIndex(({ offset }) => offset >= this.#told);
    for (const told of this.#waiting.splice(0, until < 0 ? this.#waiting.length : until)) {
      this.#ready.push(told);
    }
    if (text === "") return;
    if (this.#reader === null) this.#content += text;
    else this.#say(this.#reader.push(text));
  }

  #say({ content, calls }: Said): void {
    this.#content += content;
    for (const call of calls) {
      this.#called = true;
      const last = this.#calls.at(-1);
      if (last?.index === call.index && call.head === null) {
        this.#calls.splice(-1, 1, { ...last, arguments: last.arguments + call.arguments });
      } else {
        this.#calls.push(call);
      }
    }
  }
}
