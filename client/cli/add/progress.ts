import { printable } from "../terminal.ts";

/** How far a download is, shown on a terminal and nowhere else. */
export interface Progress {
  /** @param totalBytes - of all files; null where nobody knows. */
  begin(totalBytes: number | null): void;
  /** How many bytes of `file` are here, as often as that changes. */
  at(file: string, bytes: number): void;
  /** Takes the line away, so that another can be written. */
  clear(): void;
}

/** The part of a terminal's stream that is used. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const REDRAW_MS = 100;
/** The rate is measured over so long. */
const RATE_WINDOW_MS = 5000;
const BAR_CELLS = 24;
const DEFAULT_COLUMNS = 80;
const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** For pipes, `--quiet` and `--json`. */
export const NO_PROGRESS: Progress = {
  begin: () => undefined,
  at: () => undefined,
  clear: () => undefined,
};

/** A line on `stream` that is written over and over. */
export function createProgress(stream: ProgressStream, nowMs: () => number): Progress {
  if (stream.isTTY !== true) return NO_PROGRESS;
  const files = new Map<string, number>();
  const samples: { readonly atMs: number; readonly bytes: number }[] = [];
  let total: number | null = null;
  let drawnAtMs = -Infinity;
  let done = 0;
  return {
    begin(totalBytes) {
      total = totalBytes;
    },
    at(file, bytes) {
      done += bytes - (files.get(file) ?? 0);
      files.set(file, bytes);
      const now = nowMs();
      if (now - drawnAtMs < REDRAW_MS && done !== total) return;
      drawnAtMs = now;
      samples.push({ atMs: now, bytes: done });
      while ((samples[0]?.atMs ?? now) < now - RATE_WINDOW_MS) samples.shift();
      const [first] = samples;
      const elapsed = now - (first?.atMs ?? now);
      // What lay here from an earlier run, or is fetched anew, is no rate.
      const rate = elapsed > 0 ? ((done - (first?.bytes ?? done)) * 1000) / elapsed : 0;
      const line = progressLine({ file, done, total, rate });
      stream.write(`\r${fit(line, (stream.columns ?? DEFAULT_COLUMNS) - 1)}\u001b[K`);
    },
    clear() {
      if (drawnAtMs !== -Infinity) stream.write("\r\u001b[K");
    },
  };
}

/** One state of the line. */
export function progressLine(state: {
  readonly file: string;
  readonly done: number;
  readonly total: number | null;
  /** Bytes a second. */
  readonly rate: number;
}): string {
  const { file, done, total, rate } = state;
  const speed = rate > 0 ? `  ${showBytes(rate)}/s` : "";
  if (total === null || total === 0) return `${showBytes(done)}${speed}  ${printable(file)}`;
  const share = Math.min(done / total, 1);
  const full = Math.round(share * BAR_CELLS);
  const bar = "█".repeat(full) + "░".repeat(BAR_CELLS - full);
  const percent = `${String(Math.floor(share * 100)).padStart(3)} %`;
  return `${bar} ${percent}  ${showBytes(done)} of ${showBytes(total)}${speed}  ${printable(file)}`;
}

/** Bytes in decimal units, for people. */
export function showBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit] ?? ""}`;
}

function fit(line: string, columns: number): string {
  return line.length <= columns ? line : line.slice(0, Math.max(columns - 1, 0)) + "…";
}
