import {
  parseProof,
  parseReceipt,
  type ReceiptClaims,
  type Verdict,
} from "@countersign/attestation";
import { type Checkpoint, ClientError, type Connection, VerdictError } from "@countersign/client";

import { clientFailure } from "../connecting.ts";
import { CommandError } from "../exit.ts";
import { refusedError, type RefusedError } from "../refused.ts";
import {
  type ChatMessage,
  type ChatSettings,
  completionBody,
  parseCompletionEvent,
} from "./completion.ts";
import { eventData } from "./events.ts";

/** A verified answer. */
export interface Answer {
  readonly kind: "answered";
  readonly text: string;
  readonly verdict: Verdict;
  readonly claims: ReceiptClaims;
  readonly proof: Uint8Array;
  readonly exchange: string;
  /** From the first text to the last; null where that was too short to tell. */
  readonly tokensPerSecond: number | null;
}

/** What came of one question. Only an answer may stay in the conversation. */
export type Turn =
  | Answer
  /** Cut short, or rejected. `said` is the enclave's own word of a failure, where it sent one. */
  | {
      readonly kind: "unverified";
      readonly text: string;
      readonly verdict: Verdict;
      readonly said: string | null;
      /** How much of the text the enclave signed before that; null where it signed nothing. */
      readonly checkpoint: Checkpoint | null;
    }
  | { readonly kind: "refused"; readonly error: RefusedError }
  /** No answer, and nothing that was found to be false. */
  | { readonly kind: "failed"; readonly error: CommandError }
  /** The person stopped it. */
  | { readonly kind: "stopped"; readonly text: string };

/** No context holds more text. */
const MAX_ANSWER_CHARACTERS = 1 << 26;

/** What a turn needs from its surroundings. */
export interface TurnOptions {
  /** Ends the answer; the enclave stops within two tokens, and receipts it as aborted. */
  readonly signal: AbortSignal;
  /** Text as it arrives: it is the enclave's, but not yet known to be all of it. */
  readonly onText: (text: string) => void;
  readonly nowMs: () => number;
}

/** Asks once, streaming. Rejects for faults of ours only. */
export async function askTurn(
  node: Connection,
  settings: ChatSettings,
  messages: readonly ChatMessage[],
  { signal, onText, nowMs }: TurnOptions,
): Promise<Turn> {
  let text = "";
  let said: string | null = null;
  try {
    const response = await node.fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json", accept: "text/event-stream" },
      body: completionBody(settings, messages),
      signal,
    });
    if (!response.ok)
      return { kind: "refused", error: await refusedError(response, "the message") };
    if (response.body === null) throw new CommandError("the answer has no content");
    const times: Times = { first: null, last: null };
    let done = false;
    for await (const data of eventData(response.body)) {
      const event = parseCompletionEvent(data);
      if (event.kind === "error") said = event.message;
      if (event.kind === "done") done = true;
      if (event.kind !== "text" || event.text === "") continue;
      times.last = nowMs();
      times.first ??= times.last;
      text += event.text;
      if (text.length > MAX_ANSWER_CHARACTERS) throw new CommandError("the answer does not end");
      onText(event.text);
    }
    const verdict = await response.verdict();
    if (!done || said !== null) {
      throw new CommandError(`the enclave did not finish the answer: ${said ?? "no reason given"}`);
    }
    const proof = await response.proof();
    const { claims } = parseReceipt(parseProof(proof).receipt);
    const { exchange } = response;
    const tokensPerSecond = rateOf(times, claims.outcome.completionTokens ?? 0);
    return { kind: "answered", text, verdict, claims, proof, exchange, tokensPerSecond };
  } catch (error) {
    return failedTurn(error, signal, text, said);
  }
}

function failedTurn(error: unknown, signal: AbortSignal, text: string, said: string | null): Turn {
  const aborted = error instanceof ClientError && error.code === "client/aborted";
  if (aborted || (signal.aborted && error === signal.reason)) return { kind: "stopped", text };
  if (error instanceof VerdictError) {
    const { verdict, checkpoint } = error;
    return { kind: "unverified", text, verdict, said, checkpoint };
  }
  const failure = clientFailure(error) ?? error;
  if (failure instanceof CommandError) return { kind: "failed", error: failure };
  throw error;
}

/** When text came, first and last. */
interface Times {
  first: number | null;
  last: number | null;
}

/** Below it the rate would be that of the network, which brings several tokens at once. */
const MIN_MEASURED_MS = 250;

/** The first event ends the reading of the prompt, which is no part of the rate. */
function rateOf({ first, last }: Times, tokens: number): number | null {
  const elapsed = (last ?? 0) - (first ?? 0);
  return tokens < 2 || elapsed < MIN_MEASURED_MS ? null : ((tokens - 1) * 1000) / elapsed;
}
