import { styleText } from "node:util";

/** Colours, or the identity where nobody sees them. */
export interface Paint {
  good(text: string): string;
  bad(text: string): string;
  warn(text: string): string;
  dim(text: string): string;
  bold(text: string): string;
}

/** Where a command writes: results on standard output, everything else on standard error. */
export interface Terminal {
  readonly paint: Paint;
  /** A line of the result. */
  print(line: string): void;
  /** A line about the work, for a person: progress, warnings, errors. */
  note(line: string): void;
  /** Bytes of the result, as they are. */
  write(bytes: Uint8Array): void;
}

/** Control characters, ends of lines and paragraphs, and what turns the direction of text. */
const UNPRINTABLE = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

type Format = Parameters<typeof styleText>[0];

/** A terminal over two streams; `colour` decides for both. */
export function createTerminal(
  out: NodeJS.WritableStream,
  error: NodeJS.WritableStream,
  colour: boolean,
): Terminal {
  return {
    paint: createPaint(colour),
    print: (line) => void out.write(`${line}\n`),
    note: (line) => void error.write(`${line}\n`),
    write: (bytes) => void out.write(bytes),
  };
}

/** Whether to colour: a terminal, no `--no-color`, and none of the variables that say otherwise. */
export function wantsColour(
  isTerminal: boolean,
  noColour: boolean,
  environment: Readonly<Record<string, string | undefined>>,
): boolean {
  // https://no-color.org: present and not empty, whatever its value.
  const refused = (environment["NO_COLOR"] ?? "") !== "" || environment["TERM"] === "dumb";
  return isTerminal && !noColour && !refused;
}

/** `text` without the control characters with which a node could rewrite what we printed. */
export function printable(text: string): string {
  return text.replaceAll(UNPRINTABLE, "\u{fffd}");
}

/** {@link printable}, but for the ends of lines. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

/**
 * `value` as JSON in one line, with escapes for all that {@link printable} takes away: `--json` is
 * read on terminals too, and JSON itself escapes only what is below U+0020.
 */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replaceAll(UNPRINTABLE, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

function createPaint(colour: boolean): Paint {
  const styled = (format: Format) => (text: string) =>
    colour ? styleText(format, text, { validateStream: false }) : text;
  return {
    good: styled("green"),
    bad: styled("red"),
    warn: styled("yellow"),
    dim: styled("dim"),
    bold: styled("bold"),
  };
}
