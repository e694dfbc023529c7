import { encodeHex } from "@countersign/attestation";

import { CommandError } from "../exit.ts";
import { NO_ANSWER } from "../inference-line.ts";
import { verdictObject } from "../rendering.ts";
import { noteFailure } from "../reporting.ts";
import { jsonLine } from "../terminal.ts";
import { Conversation } from "./conversation.ts";
import { type ChatContext, exitOfTurn } from "./session.ts";
import { type Answer, askTurn, type Turn } from "./turn.ts";

/** Asks one question and prints what came of it as one line. Text that is not verified is left out. */
export async function sayInJson(
  context: ChatContext,
  system: string | null,
  question: string,
  signal: AbortSignal,
): Promise<number> {
  const { node, settings, terminal, proofs, nowMs } = context;
  const messages = new Conversation(system).ask(question);
  const onText = (): void => undefined;
  const turn = await askTurn(node, settings, messages, { signal, nowMs, onText });
  const exit = exitOfTurn(turn);
  const line = { ...NO_ANSWER, model: settings.model, ...membersOf(turn) };
  if (turn.kind !== "answered" || proofs === null) {
    terminal.print(jsonLine(line));
    return exit;
  }
  try {
    terminal.print(jsonLine({ ...line, proof: await proofs.write(turn.proof) }));
    return exit;
  } catch (error) {
    // The answer is verified and must not be lost, wherever its proof cannot be written.
    if (!(error instanceof CommandError)) throw error;
    const fix = error.fix ?? "name a file that can be written; the answer is here";
    terminal.print(jsonLine({ ...line, error: { message: error.message, fix } }));
    noteFailure(terminal, error);
    return error.exitCode;
  }
}

function membersOf(turn: Turn): Readonly<Record<string, unknown>> {
  switch (turn.kind) {
    case "answered": {
      const { exchange, verdict } = turn;
      return { exchange, answer: answerObject(turn), verdict: verdictObject(verdict) };
    }
    case "unverified":
      return { verdict: verdictObject(turn.verdict), error: saidBy(turn.said) };
    case "refused": {
      const { message, fix, verdict, exchange } = turn.error;
      return { exchange, verdict: verdictObject(verdict), error: { message, fix } };
    }
    case "failed": {
      const { message, fix } = turn.error;
      return { error: { message, fix } };
    }
    case "stopped":
      return { error: { message: "the answer was stopped", fix: "ask again" } };
    default:
      return turn satisfies never;
  }
}

function answerObject({
  text,
  claims,
  tokensPerSecond,
}: Answer): Readonly<Record<string, unknown>> {
  const { model, outcome } = claims;
  const { finishReason, promptTokens, completionTokens, seed, parameters } = outcome;
  return {
    text,
    model: model === null ? null : `${model.id}@${model.version}`,
    digest: model === null ? null : encodeHex(model.digest),
    finishReason: finishReason ?? null,
    promptTokens: promptTokens ?? null,
    completionTokens: completionTokens ?? null,
    seed: seed ?? null,
    parameters: parameters === undefined ? null : encodeHex(parameters),
    tokensPerSecond,
  };
}

function saidBy(said: string | null): { readonly message: string; readonly fix: string } | null {
  return said === null ? null : { message: said, fix: "the enclave could not go on: ask again" };
}
