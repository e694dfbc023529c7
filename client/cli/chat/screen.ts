/** What of a chat is shown: the answer as it comes, and the line of the verdict under it. */
import { encodeHex, formatTime } from "@countersign/attestation";
import type { Checkpoint } from "@countersign/client";

import { renderResult, simulationNotice, verdictNotes } from "../rendering.ts";
import { type Paint, printable, printableLines } from "../terminal.ts";
import type { Answer, Turn } from "./turn.ts";

const DIGEST_DIGITS = 16;
const TAB = "    ";

/**
 * Text of a model for a terminal: a model may have been taught to write escape sequences, or told to by
 * the text that it was asked about.
 */
export function answerText(text: string): string {
  return printableLines(text.replaceAll("\r\n", "\n").replaceAll("\t", TAB));
}

/** The line under an answer. */
export function verdictLineOf(answer: Answer, paint: Paint): string {
  const { claims, verdict, tokensPerSecond } = answer;
  const { model, outcome, index } = claims;
  const { completionTokens, finishReason, seed } = outcome;
  const facts: string[] = [];
  if (model !== null) {
    const digest = encodeHex(model.digest).slice(0, DIGEST_DIGITS);
    facts.push(`${printable(`${model.id} ${model.version}`)} ${digest}…`);
  }
  if (completionTokens !== undefined) {
    const rate = tokensPerSecond === null ? "" : ` at ${tokensPerSecond.toFixed(1)}/s`;
    facts.push(`${completionTokens} tokens${rate}`);
  }
  if (finishReason === "length") facts.push("cut at the limit of tokens");
  if (seed !== undefined) facts.push(`seed ${seed}`);
  facts.push(`index ${index}`);
  return `${paint.good("✓")} ${renderResult(verdict, paint)} ${paint.dim(facts.join(", "))}`;
}

/**
 * Lines on what came of a question that has no verified answer.
 *
 * @param shown - whether text of it is on the screen.
 */
export function failureLines(
  turn: Exclude<Turn, Answer>,
  shown: boolean,
  paint: Paint,
): readonly string[] {
  switch (turn.kind) {
    case "stopped":
      return [paint.warn("stopped: neither question nor answer stays in the conversation")];
    case "refused":
    case "failed": {
      const { message, fix } = turn.error;
      return [printable(message), ...(fix === null ? [] : [`  fix: ${printable(fix)}`])];
    }
    case "unverified": {
      const { verdict, said, checkpoint } = turn;
      const loud = shown ? "DO NOT USE THIS ANSWER" : "THERE IS NO ANSWER";
      const failed = verdict.checks.find(({ status }) => status === "fail");
      return [
        `${paint.bad(`✗ ${loud}:`)} ${renderResult(verdict, paint)}`,
        ...(said === null ? [] : [`  the enclave said: ${printable(said)}`]),
        ...verdictNotes(verdict)
          .filter((note) => note !== simulationNotice(verdict.platform))
          .map((note) => `  ${note}`),
        ...(failed === undefined ? [] : [`  ${failed.id}: ${printable(failed.found)}`]),
        ...(failed === undefined ? [] : [`  fix: ${printable(failed.fix)}`]),
        ...(checkpoint === null ? [] : [`  ${signedUntil(checkpoint)}`]),
        "  It does not stay in the conversation.",
      ];
    }
    default:
      return turn satisfies never;
  }
}

function signedUntil({ bytes, issuedAtMs }: Checkpoint): string {
  return `The enclave signed its first ${bytes} bytes, at ${formatTime(issuedAtMs)}.`;
}
