/** Completions as a client streams them, with the times that it sees. */
import type { Connection } from "@countersign/client";
import { SMOL_END_TOKENS, SMOL_ID } from "./smol.ts";

/** OpenAI's least: a token that has it is never the most likely one. */
const NEVER = -100;

export interface Stream {
  /** Until the first text is here. */
  readonly firstMs: number;
  /** From there until the last text is here. */
  readonly restMs: number;
  /** Until the receipt has been verified. */
  readonly totalMs: number;
  readonly tokens: number;
}

/** Streams `count` tokens after `prompt`, the most likely ones, and verifies the receipt. */
export async function streamCompletion(
  connection: Connection,
  prompt: readonly number[],
  count: number,
): Promise<Stream> {
  const startMs = performance.now();
  const response = await connection.fetch("/v1/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: SMOL_ID,
      prompt,
      max_tokens: count,
      temperature: 0,
      // Random weights end an answer at random.
      logit_bias: Object.fromEntries(SMOL_END_TOKENS.map((token) => [token, NEVER])),
      stream: true,
      stream_options: { include_usage: true },
    }),
  });
  if (response.status !== 200)
    throw new Error(`answered ${response.status}: ${await response.text()}`);
  if (response.body === null) throw new TypeError("no body");
  let [firstMs, lastMs, tokens, text] = [Number.NaN, Number.NaN, 0, ""];
  const utf8 = new TextDecoder();
  for await (const chunk of response.body) {
    const nowMs = performance.now();
    text += utf8.decode(chunk, { stream: true });
    const events = text.split("\n\n");
    text = events.pop() ?? "";
    for (const event of events) {
      if (!event.startsWith("data: {")) continue;
      const body: unknown = JSON.parse(event.slice("data: ".length));
      if (hasText(body)) {
        if (Number.isNaN(firstMs)) firstMs = nowMs;
        lastMs = nowMs;
      }
      tokens = tokensOf(body) ?? tokens;
    }
  }
  if (tokens !== count)
    throw new Error(`${tokens} tokens, not ${count}: the model ended its answer`);
  await response.verdict();
  const endMs = performance.now();
  return { firstMs: firstMs - startMs, restMs: lastMs - firstMs, totalMs: endMs - startMs, tokens };
}

/** Tokens a second of all these prompts at once, from the first request to the last receipt. */
export async function streamTogether(
  connection: Connection,
  prompts: readonly (readonly number[])[],
  count: number,
): Promise<number> {
  const startMs = performance.now();
  const all = await Promise.all(prompts.map((words) => streamCompletion(connection, words, count)));
  const seconds = (performance.now() - startMs) / 1000;
  return all.reduce((sum, { tokens }) => sum + tokens, 0) / seconds;
}

function hasText(body: unknown): boolean {
  const choices = member(body, "choices");
  const first: unknown = Array.isArray(choices) ? choices[0] : undefined;
  const text = member(first, "text");
  return typeof text === "string" && text !== "";
}

/** Of the event that counts them. */
function tokensOf(body: unknown): number | null {
  const count = member(member(body, "usage"), "completion_tokens");
  return typeof count === "number" ? count : null;
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return new Map<string, unknown>(Object.entries(value)).get(name);
}
