import { describe, expect, it } from "vitest";

import {
  completionBody,
  type CompletionEvent,
  parseCompletionEvent,
} from "../../../client/cli/chat/completion.ts";
import { eventData } from "../../../client/cli/chat/events.ts";
import { answerText } from "../../../client/cli/chat/screen.ts";
import { CommandError } from "../../../client/cli/exit.ts";

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.subarray(at, at + size));
  }
}

async function read(text: string | Uint8Array, size = 7): Promise<readonly string[]> {
  const bytes = typeof text === "string" ? Buffer.from(text) : text;
  const events: string[] = [];
  for await (const event of eventData(inPieces(bytes, size))) events.push(event);
  return events;
}

describe("eventData", () => {
  it("reads events however they are cut, and passes over comments", async () => {
    const text =
      "data: one\n\n: a comment, of any length\n\ndata:two\ndata: é𝄞\n\ndata: [DONE]\n\n";
    for (let size = 1; size <= text.length; size++) {
      expect(await read(text, size)).toEqual(["one", "two\né𝄞", "[DONE]"]);
    }
    expect(await read("")).toEqual([]);
    expect(await read(":\n\n")).toEqual([]);
  });

  it("takes no part for the whole, and nothing that is no event", async () => {
    const bad: readonly (string | Uint8Array)[] = [
      "data: one",
      "data: one\n",
      "data: one\n\ndata: tw",
      "event: x\ndata: one\n\n",
      "data: one\r\n\r\nx\n",
      '{"error": "not a stream"}\n',
      Uint8Array.of(...Buffer.from("data: "), 0xff, 0x0a, 0x0a),
    ];
    for (const text of bad) await expect(read(text), String(text)).rejects.toThrow(CommandError);
  });

  it("is bounded, in a line and in an event of many lines", async () => {
    const million = 1 << 20;
    expect(await read(`data: ${"x".repeat(million - 7)}\n\n`, 65_536)).toHaveLength(1);
    await expect(read(`data: ${"x".repeat(million)}`, 65_536)).rejects.toThrow("longer than");
    const lines = `data: ${"x".repeat(1000)}\n`.repeat(1100);
    await expect(read(lines, 65_536)).rejects.toThrow("longer than");
    expect(await read(`: ${"x".repeat(100)}\n`.repeat(20_000), 65_536)).toEqual([]);
  });
});

describe("the events of an answer", () => {
  it("are text, an end, or an error", () => {
    const parse = (value: unknown): CompletionEvent => parseCompletionEvent(JSON.stringify(value));
    const choice = (rest: object): unknown => ({ choices: [{ index: 0, ...rest }] });
    expect(parseCompletionEvent("[DONE]")).toEqual({ kind: "done" });
    expect(parse(choice({ delta: { content: "a" }, finish_reason: null }))).toEqual({
      kind: "text",
      text: "a",
      finish: null,
    });
    const end = { kind: "text", text: "", finish: "stop" };
    expect(parse(choice({ delta: {}, finish_reason: "stop" }))).toEqual(end);
    expect(parse({ choices: [], usage: {} })).toEqual({ kind: "text", text: "", finish: null });
    expect(parse({ error: { message: "no" } })).toEqual({ kind: "error", message: "no" });
    const bad = [[], {}, { choices: "a" }, { choices: [3] }, choice({ delta: { content: 3 } })];
    for (const value of bad) expect(() => parse(value)).toThrow(CommandError);
    expect(() => parseCompletionEvent("{")).toThrow("not JSON");
  });

  it("are asked for with what was given, and nothing else", () => {
    const none = { temperature: null, topP: null, maxTokens: null, seed: null };
    const messages = [{ role: "user", content: "hi" }] as const;
    const body = (settings: object): unknown =>
      JSON.parse(completionBody({ model: "m", ...none, ...settings }, messages));
    expect(body({})).toEqual({ model: "m", messages, stream: true });
    const given = { temperature: 0, topP: 0.5, maxTokens: 9, seed: 0 };
    const asked = { temperature: 0, top_p: 0.5, max_tokens: 9, seed: 0 };
    expect(body(given)).toEqual({ model: "m", messages, stream: true, ...asked });
  });
});

describe("answerText", () => {
  it("leaves a model no way to write to the terminal but letters", () => {
    const evil = "a\u001b[2J\u001b]0;t\u0007\u009b31mb\u202ec\u2066d\u0000e\u007ff\rg";
    const shown = answerText(evil);
    expect(shown).toBe("a�[2J�]0;t��31mb�c�d�e�f�g");
    expect(shown).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u);
    expect(answerText("a\r\n\tb\n")).toBe("a\n    b\n");
  });
});
