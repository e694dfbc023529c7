import type { Connection } from "@countersign/client";

import { CommandError, EXIT } from "../exit.ts";
import { exitCodeOf } from "../rendering.ts";
import { noteFailure } from "../reporting.ts";
import type { Terminal } from "../terminal.ts";
import type { ChatSettings } from "./completion.ts";
import { Conversation } from "./conversation.ts";
import type { ProofFiles } from "./proof-files.ts";
import type { Prompt } from "./prompt.ts";
import { answerText, failureLines, verdictLineOf } from "./screen.ts";
import { runSlash } from "./slash.ts";
import { askTurn, type Turn } from "./turn.ts";

/** What a chat goes on with. */
export interface ChatContext {
  readonly node: Connection;
  readonly settings: ChatSettings;
  readonly terminal: Terminal;
  readonly quiet: boolean;
  /** Whether text is shown as it comes, for a person; else once it is verified, for a program. */
  readonly live: boolean;
  readonly proofs: ProofFiles | null;
  readonly nowMs: () => number;
}

/** Asks one question and shows what came of it. Only a verified answer gets into the conversation. */
export async function say(
  context: ChatContext,
  conversation: Conversation,
  question: string,
  signal: AbortSignal,
): Promise<Turn> {
  const { node, settings, terminal, quiet, live, proofs, nowMs } = context;
  let shown = "";
  const show = (text: string): void => {
    const safe = answerText(text);
    shown += safe;
    terminal.write(Buffer.from(safe));
  };
  const turn = await askTurn(node, settings, conversation.ask(question), {
    signal,
    nowMs,
    onText: (text) => {
      if (live) show(text);
    },
  });
  if (!live && turn.kind === "answered") show(turn.text);
  if (shown !== "" && !shown.endsWith("\n")) terminal.print("");
  if (turn.kind !== "answered") {
    for (const line of failureLines(turn, shown !== "", terminal.paint)) terminal.note(line);
    const checkpoint = turn.kind === "unverified" ? turn.checkpoint : null;
    if (checkpoint !== null && proofs !== null) {
      const name = await proofs.write(checkpoint.proof());
      terminal.note(`what it signed is in ${name}, which verifies as truncated`);
    }
    return turn;
  }
  conversation.keep(question, turn);
  if (!quiet) terminal.note(verdictLineOf(turn, terminal.paint));
  if (proofs !== null) {
    const name = await proofs.write(turn.proof);
    if (!quiet) terminal.note(`proof written to ${name}; verify it: countersign verify ${name}`);
  }
  return turn;
}

/** The exit code that a turn asks for. */
export function exitOfTurn(turn: Turn): number {
  switch (turn.kind) {
    case "answered":
      return EXIT.ok;
    case "unverified":
      return exitCodeOf(turn.verdict);
    case "refused":
    case "failed":
      return turn.error.exitCode;
    case "stopped":
      return EXIT.unchecked;
    default:
      return turn satisfies never;
  }
}

/**
 * Talks until the person leaves. The exit code is 1 where an answer was rejected on the way, else 0: the
 * person saw what else went wrong.
 */
export async function converse(
  context: ChatContext,
  prompt: Prompt,
  system: string | null,
): Promise<number> {
  const { terminal } = context;
  const conversation = new Conversation(system);
  let exit: number = EXIT.ok;
  let leaving = false;
  for (;;) {
    const input = await prompt.next();
    if (input.kind === "end") {
      terminal.note("");
      return exit;
    }
    if (input.kind === "interrupt") {
      if (leaving) return exit;
      leaving = true;
      terminal.note("\nCtrl-C again leaves, and so does /exit");
      continue;
    }
    leaving = false;
    const line = input.text.trim();
    if (line === "") continue;
    try {
      if (line.startsWith("/")) {
        if (await runSlash(line, conversation, terminal)) return exit;
        continue;
      }
      const stop = new AbortController();
      prompt.onInterrupt(() => {
        stop.abort();
      });
      const turn = await say(context, conversation, line, stop.signal);
      if (exitOfTurn(turn) === EXIT.rejected) exit = EXIT.rejected;
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      noteFailure(terminal, error);
    } finally {
      prompt.onInterrupt(null);
    }
  }
}
