import { VerdictError } from "@countersign/client";
import { parseArguments, SHARED_OPTIONS } from "./arguments.ts";
import type { Command } from "./command.ts";
import { COMMANDS } from "./commands/index.ts";
import { clientFailure } from "./connecting.ts";
import { CommandError, EXIT, UsageError } from "./exit.ts";
import { commandHelp, overview, usageLine } from "./help.ts";
import { NodeStartError } from "./node-process.ts";
import {
  exitCodeOf,
  renderChain,
  renderResult,
  simulationNotice,
  verdictObject,
} from "./rendering.ts";
import { nearest } from "./suggestion.ts";
import {
  createTerminal,
  jsonLine,
  printable,
  printableLines,
  type Terminal,
  wantsColour,
} from "./terminal.ts";

/** Runs one command line and returns its exit code. Never rejects. */
export async function main(words: readonly string[]): Promise<number> {
  endQuietlyOnClosedPipe();
  const json = words.includes("--json");
  const colour = wantsColour(process.stdout.isTTY, words.includes("--no-color"), process.env);
  const terminal = createTerminal(process.stdout, process.stderr, colour);
  let command: Command | null = null;
  try {
    const found = findCommand(words);
    if (found === null) {
      terminal.print(overview(COMMANDS, terminal.paint));
      return EXIT.ok;
    }
    command = found.command;
    return await runCommand(command, found.rest, terminal);
  } catch (error) {
    return reportError(error, command, terminal, json);
  }
}

async function runCommand(
  command: Command,
  words: readonly string[],
  terminal: Terminal,
): Promise<number> {
  if (words.includes("--help") || words.includes("-h")) {
    terminal.print(commandHelp(command, terminal.paint));
    return EXIT.ok;
  }
  const args = parseArguments(words, [...command.options, ...SHARED_OPTIONS], command.operands);
  return await command.run({ args, terminal, json: args.flag("json"), quiet: args.flag("quiet") });
}

/** The command that `words` begin with; null where they ask for the overview. @throws UsageError */
export function findCommand(
  words: readonly string[],
): { readonly command: Command; readonly rest: readonly string[] } | null {
  const [first, second] = words;
  if (first === undefined || first === "--help" || first === "-h") return null;
  if (first === "--version") return findCommand(["version", ...words.slice(1)]);
  if (first === "help") {
    if (second === undefined) return null;
    return findCommand([...words.slice(1), "--help"]);
  }
  // Two words first: "release rebuild" is not "release" with an operand.
  const double = COMMANDS.find(({ name }) => name === `${first} ${second ?? ""}`);
  if (double !== undefined) return { command: double, rest: words.slice(2) };
  const single = COMMANDS.find(({ name }) => name === first);
  if (single !== undefined) return { command: single, rest: words.slice(1) };
  throw unknownCommand(first, second);
}

function unknownCommand(first: string, second: string | undefined): UsageError {
  const group = COMMANDS.filter(({ name }) => name.startsWith(`${first} `));
  if (group.length > 0) {
    const choices = group.map(({ name }) => `"countersign ${name}"`).join(", ");
    const asked = second === undefined || second.startsWith("-") ? first : `${first} ${second}`;
    return new UsageError(`there is no command "${asked}"`, `there is ${choices}`);
  }
  const names = [...new Set(COMMANDS.flatMap(({ name }) => [name, name.split(" ", 1)[0] ?? name]))];
  const near = nearest(first, names);
  const hint =
    near === null ? '"countersign --help" lists them' : `did you mean "countersign ${near}"?`;
  return new UsageError(`there is no command "${first}"`, hint);
}

function reportError(
  error: unknown,
  command: Command | null,
  terminal: Terminal,
  json: boolean,
): number {
  if (error instanceof VerdictError) return reportRejection(error, terminal, json);
  const failure = error instanceof CommandError ? error : clientFailure(error);
  if (failure === null) {
    // A fault of ours: its place helps whoever mends it.
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    terminal.note(`countersign: this is a bug of Countersign's own: ${printableLines(what)}`);
    return EXIT.unchecked;
  }
  const { message, fix, exitCode } = failure;
  if (json) terminal.print(jsonLine({ error: message, fix, exitCode }));
  // Both may quote a model's metadata, a file, or a node.
  // What a host said has its lines indented, so that none can pass for one of ours.
  const shown = failure instanceof NodeStartError ? printableLines : printable;
  terminal.note(`countersign: ${shown(message)}`);
  if (fix !== null) terminal.note(`  fix: ${printable(fix)}`);
  if (failure instanceof UsageError && command !== null) {
    terminal.note(usageLine(command, terminal.paint));
  }
  return exitCode;
}

/** Nothing that was not verified is shown as an answer: what stands here is why. */
function reportRejection(error: VerdictError, terminal: Terminal, json: boolean): number {
  const { verdict } = error;
  if (json) {
    terminal.print(jsonLine({ verdict: verdictObject(verdict) }));
    return exitCodeOf(verdict);
  }
  const { paint } = terminal;
  terminal.note(renderResult(verdict, paint));
  for (const line of renderChain(verdict.checks, "from-root", paint)) terminal.note(line);
  const notice = simulationNotice(verdict.platform);
  if (notice !== null) terminal.note(`  ${notice}`);
  return exitCodeOf(verdict);
}

/** `countersign … | head` ends us without a trace, as other programs do. */
function endQuietlyOnClosedPipe(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(EXIT.ok);
    throw error;
  });
}
