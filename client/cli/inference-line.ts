/**
 * The JSON of one inference, or of one answer of a chat. Its form is
 * client/verdict.schema.json#/$defs/inference, and is API.
 */
import { VerdictError } from "@countersign/client";

import { clientFailure } from "./connecting.ts";
import { CommandError, UsageError } from "./exit.ts";
import { RefusedError } from "./refused.ts";
import { exitCodeOf, verdictObject } from "./rendering.ts";
import { noteFailure } from "./reporting.ts";
import { jsonLine, type Terminal } from "./terminal.ts";

/** The members of a line of `--json`, in their order, where there is nothing to say. */
export const NO_ANSWER = {
  version: 1,
  model: "",
  exchange: null,
  answer: null,
  verdict: null,
  proof: null,
  error: null,
} as const;

/** The line of `--json` where there is no answer. @throws `error` where it says nothing of that. */
export function reportNoAnswer(terminal: Terminal, model: string, error: unknown): number {
  if (error instanceof VerdictError) {
    const { verdict } = error;
    terminal.print(jsonLine({ ...NO_ANSWER, model, verdict: verdictObject(verdict) }));
    return exitCodeOf(verdict);
  }
  const failure = clientFailure(error) ?? error;
  if (!(failure instanceof CommandError) || failure instanceof UsageError) throw error;
  const refused = failure instanceof RefusedError ? failure : null;
  const { message, fix, exitCode } = failure;
  const line = {
    ...NO_ANSWER,
    model,
    exchange: refused?.exchange ?? null,
    verdict: refused === null ? null : verdictObject(refused.verdict),
    error: { message, fix },
  };
  terminal.print(jsonLine(line));
  noteFailure(terminal, failure);
  return exitCode;
}
