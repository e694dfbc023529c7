import type { Arguments, OptionSpec } from "./arguments.ts";
import type { Terminal } from "./terminal.ts";

/** One command of the command line. */
export interface Command {
  /** One word or two: `infer`, `policy init`. */
  readonly name: string;
  readonly summary: string;
  /** What follows the name in the usage line. */
  readonly synopsis: string;
  /** Paragraphs and examples under the options. */
  readonly details: string;
  readonly options: readonly OptionSpec[];
  readonly operands: readonly [minimum: number, maximum: number, name: string];
  /** Returns the exit code. */
  run(call: Call): Promise<number>;
}

/** One run of a command. */
export interface Call {
  readonly args: Arguments;
  readonly terminal: Terminal;
  readonly json: boolean;
  readonly quiet: boolean;
}
