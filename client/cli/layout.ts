/** How verdicts are laid out for the eye: the width there is, and how much is said. */
export interface Layout {
  /** Columns to keep within; null in a pipe, where a field stays in one line for `grep`. */
  readonly columns: number | null;
  /**
   * What checks say that did not fail: what was found, what was wanted besides, or also why. One
   * that failed says all of it.
   */
  readonly detail: "found" | "wanted" | "all";
}

/** One line a field, in few words. */
export const PLAIN: Layout = { columns: null, detail: "found" };

/** Longer lines are hard to read, however wide the terminal is. */
const MAX_COLUMNS = 100;
/** Below this a hanging indent leaves no room for words; such a terminal wraps by itself. */
const MIN_COLUMNS = 40;

/** The columns to keep within on a terminal that is `columns` wide; null where there is none. */
export function usableColumns(columns: number | undefined): number | null {
  if (columns === undefined || columns < MIN_COLUMNS) return null;
  return Math.min(columns, MAX_COLUMNS);
}

/**
 * `text` in lines of at most `columns` less `indent`, broken at spaces; a longer word stays whole,
 * so that a digest can be copied.
 */
export function wrapText(text: string, indent: number, columns: number | null): readonly string[] {
  if (columns === null) return [text];
  const room = columns - indent;
  const lines: string[] = [];
  let line: string | null = null;
  for (const word of text.split(" ")) {
    if (line === null) {
      line = word;
    } else if (line.length + 1 + word.length <= room) {
      line += ` ${word}`;
    } else {
      lines.push(line);
      line = word;
    }
  }
  return [...lines, line ?? ""];
}

/** `text` behind `prefix`, wrapped; the lines after the first are indented to the same column. */
export function hangingLines(
  prefix: string,
  text: string,
  columns: number | null,
): readonly string[] {
  const [first = "", ...rest] = wrapText(text, prefix.length, columns);
  return [prefix + first, ...rest.map((line) => " ".repeat(prefix.length) + line)];
}
