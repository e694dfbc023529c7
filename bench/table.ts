/** One line of the table. */
export interface Row {
  readonly what: string;
  readonly figure: string;
  /** What it must not exceed or fall below, as people write it; null for a figure without a bound. */
  readonly bound: string | null;
  /** Whether it keeps to its bound. */
  readonly holds: boolean;
}

/** What one section found: lines of the table, and the parts that they are made of. */
export interface Findings {
  readonly rows: readonly Row[];
  readonly parts: readonly string[];
}

/** A figure that has to be at most, or at least, `limit`. `show` writes both, with their unit. */
export function bounded(
  what: string,
  value: number,
  direction: "≤" | "<" | "≥",
  limit: number,
  show: (value: number) => string,
): Row {
  const bound = `${direction} ${show(limit)}`;
  return { what, figure: show(value), bound, holds: compare(value, direction, limit) };
}

/** A figure that is only reported. */
export function reported(what: string, figure: string): Row {
  return { what, figure, bound: null, holds: true };
}

/** The rows as a Markdown table. */
export function renderTable(rows: readonly Row[]): string {
  const cells = rows.map(({ what, figure, bound, holds }) => [
    what,
    figure,
    bound ?? "",
    bound === null ? "" : holds ? "ok" : "**over**",
  ]);
  const lines = [["what", "figure", "bound", ""], ["---", "---", "---", "---"], ...cells];
  return lines.map((line) => `| ${line.join(" | ")} |\n`).join("");
}

export const asRatio = (value: number): string => value.toFixed(2);
export const asUs = (value: number): string => `${Math.round(value)} µs`;
export const asMs = (value: number): string => `${value.toFixed(1)} ms`;
export const asPercent = (value: number): string => `${(100 * value).toFixed(1)} %`;
export const asMB = (value: number): string => `${(value / 1e6).toFixed(1)} MB`;

function compare(value: number, direction: "≤" | "<" | "≥", limit: number): boolean {
  switch (direction) {
    case "≤":
      return value <= limit;
    case "<":
      return value < limit;
    case "≥":
      return value >= limit;
    default:
      return direction satisfies never;
  }
}
