import { parseArguments, SHARED_OPTIONS } from "../../../client/cli/arguments.ts";
import type { Command } from "../../../client/cli/command.ts";
import type { Paint, Terminal } from "../../../client/cli/terminal.ts";

const plain = (text: string): string => text;
/** No colours. */
export const PAINT: Paint = { good: plain, bad: plain, warn: plain, dim: plain, bold: plain };

/** What a command printed, and how it ended. */
export interface Ran {
  readonly exit: number;
  /** Standard output. */
  readonly lines: readonly string[];
  /** Bytes that went to standard output as they are, as text. */
  readonly written: string;
  /** Standard error. */
  readonly notes: readonly string[];
}

/** Runs a command in this process, as main.ts does. @throws what the command throws. */
export async function runCommand(command: Command, words: readonly string[]): Promise<Ran> {
  const lines: string[] = [];
  const notes: string[] = [];
  let written = "";
  const terminal: Terminal = {
    paint: PAINT,
    print: (line) => lines.push(...line.split("\n")),
    note: (line) => notes.push(...line.split("\n")),
    write: (bytes) => {
      written += Buffer.from(bytes).toString();
    },
  };
  const options = [...command.options, ...SHARED_OPTIONS];
  const args = parseArguments(words, options, command.operands);
  const call = { args, terminal, json: args.flag("json"), quiet: args.flag("quiet") };
  const exit = await command.run(call);
  return { exit, lines, notes, written };
}
