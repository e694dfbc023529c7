/** Printing a verdict as the command line asks: for a person, in one line, or as JSON. */
import { incompleteVerdict, type Mode, type Verdict } from "@countersign/attestation";

import type { OptionSpec } from "./arguments.ts";
import type { Call } from "./command.ts";
import { clientFailure } from "./connecting.ts";
import { CommandError, EXIT } from "./exit.ts";
import { hangingLines, type Layout, PLAIN, usableColumns } from "./layout.ts";
import { PolicyError } from "./policies.ts";
import { exitCodeOf, renderChain, renderHeadline, verdictNotes } from "./rendering.ts";
import { jsonLine, printable, type Terminal } from "./terminal.ts";
import { type LineExtras, NO_EXTRAS, verdictLine } from "./verdict-line.ts";

/** How a command shows what it found. */
export interface OutputStyle {
  readonly json: boolean;
  /** One line a subject. */
  readonly quiet: boolean;
  readonly layout: Layout;
}

/** What to do where the error itself does not say. */
const LOOK_AGAIN = "check the address or path, and try again";

/** The option of the commands that print a whole verdict. */
export const VERBOSE_OPTION: OptionSpec = {
  name: "verbose",
  value: null,
  description: "says of every check why, too, and shows whole values",
};

/** The style that a command line asks for, on this process's terminal. */
export function outputStyle({ args, json, quiet }: Call): OutputStyle {
  const columns = process.stdout.isTTY ? usableColumns(process.stdout.columns) : null;
  return { json, quiet, layout: { columns, detail: args.flag("verbose") ? "all" : "wanted" } };
}

/**
 * Says of every subject that it could not be judged, because of `error`, and returns the exit code
 * for that. For a person a policy that cannot be used is one thing, to be said once: it is thrown on.
 *
 * @throws what `error` is, unless it says what could not be had.
 */
export function reportUnjudged(
  terminal: Terminal,
  style: OutputStyle,
  subjects: readonly string[],
  at: { readonly mode: Mode; readonly nowMs: number },
  error: unknown,
): number {
  const reason = clientFailure(error) ?? error;
  if (!(reason instanceof CommandError)) throw error;
  const ofPolicy = reason instanceof PolicyError;
  if (ofPolicy && !style.json) throw error;
  const failure = ofPolicy ? reason.failure : "unreachable";
  const verdict = { ...incompleteVerdict("unreachable", at.mode, at.nowMs), failure };
  for (const subject of subjects) report(terminal, style, subject, verdict, reason);
  if (ofPolicy) noteFailure(terminal, reason);
  return EXIT.unchecked;
}

/** Says on standard error, beside the lines of `--json`, why there is no result. */
export function noteFailure(
  terminal: Terminal,
  { message, fix }: Pick<CommandError, "message" | "fix">,
): void {
  terminal.note(`countersign: ${printable(message)}`);
  if (fix !== null) terminal.note(`  fix: ${printable(fix)}`);
}

function report(
  terminal: Terminal,
  style: OutputStyle,
  subject: string,
  verdict: Verdict,
  reason: CommandError,
): void {
  const { message } = reason;
  const fix = reason.fix ?? LOOK_AGAIN;
  if (style.json) {
    const extras = { ...NO_EXTRAS, error: { message, fix } };
    terminal.print(jsonLine(verdictLine(subject, verdict, extras)));
    return;
  }
  const { paint } = terminal;
  if (style.quiet) {
    const [headline = ""] = renderHeadline(subject, verdict, paint, PLAIN);
    terminal.print(`${headline}, ${printable(message)}`);
    return;
  }
  const { columns } = style.layout;
  printLines(terminal, renderHeadline(subject, verdict, paint, style.layout));
  printLines(terminal, hangingLines("  ", printable(message), columns));
  printLines(terminal, hangingLines("  fix: ", printable(fix), columns));
}

/**
 * Prints a verdict on `subject` as the style asks, and returns its exit code.
 *
 * @param notes - what is to be known of this subject, in sentences, beside what the verdict says.
 */
export function reportVerdict(
  terminal: Terminal,
  style: OutputStyle,
  subject: string,
  verdict: Verdict,
  notes: readonly string[] = [],
  extras: LineExtras = NO_EXTRAS,
): number {
  const exit = exitCodeOf(verdict);
  if (style.json) {
    terminal.print(jsonLine(verdictLine(subject, verdict, extras)));
    return exit;
  }
  const { paint } = terminal;
  const { layout } = style;
  if (style.quiet) {
    const [headline = ""] = renderHeadline(subject, verdict, paint, PLAIN);
    const failed = verdict.checks.find(({ status }) => status === "fail");
    terminal.print(failed === undefined ? headline : `${headline}, check ${failed.id}`);
    return exit;
  }
  printLines(terminal, renderHeadline(subject, verdict, paint, layout));
  for (const note of [...verdictNotes(verdict), ...notes]) {
    const lines = hangingLines("  ", printable(note), layout.columns);
    const painted = lines.map((line) => paint.warn(line));
    printLines(terminal, painted);
  }
  printLines(terminal, renderChain(verdict.checks, "from-root", paint, layout));
  return exit;
}

function printLines(terminal: Terminal, lines: readonly string[]): void {
  for (const line of lines) terminal.print(line);
}
