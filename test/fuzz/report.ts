/** What a person reads: a line a second while it runs, a table at the end. */
import type { BlockTable } from "./blocks.ts";
import type { Report } from "./campaign.ts";
import type { Figures } from "./job.ts";

const MIB = 1 << 20;

export function progressLine(name: string, figures: Figures): string {
  const { executions, kept, coveredBlocks, cpuMs } = figures;
  const seconds = (cpuMs / 1000).toFixed(0);
  return `${name}: ${executions} executions, ${kept} inputs, ${coveredBlocks} blocks, ${seconds} s of CPU`;
}

const COLUMNS: readonly (readonly [title: string, cell: (figures: Figures) => string])[] = [
  ["executions", ({ executions }) => String(executions)],
  ["per CPU second", ({ executions, cpuMs }) => ((1000 * executions) / cpuMs).toFixed(0)],
  ["accepted", ({ accepted }) => String(accepted)],
  ["outcomes", ({ outcomes }) => String(outcomes)],
  ["corpus", ({ kept }) => String(kept)],
  ["blocks", ({ coveredBlocks, knownBlocks }) => `${coveredBlocks} of ${knownBlocks}`],
  ["peak heap", ({ peakHeapBytes }) => mib(peakHeapBytes)],
  ["at start", ({ baselineHeapBytes }) => mib(baselineHeapBytes)],
  ["buffers", ({ peakExternalBytes }) => mib(peakExternalBytes)],
  ["slowest", ({ slowestMs }) => `${slowestMs.toFixed(0)} ms`],
  ["CPU", ({ cpuMs }) => `${(cpuMs / 1000).toFixed(1)} s`],
];

/** One row a target, in columns of equal width. */
export function renderReports(reports: readonly Report[], blocks: BlockTable): string {
  const rows = [["target", ...COLUMNS.map(([title]) => title), "verdict"]];
  for (const { name, figures, findings } of reports) {
    const cells = COLUMNS.map(([, cell]) => (figures === null ? "-" : cell(figures)));
    const { length } = findings;
    const verdict = length === 0 ? "kept" : length === 1 ? "1 finding" : `${length} findings`;
    rows.push([name, ...cells, verdict]);
  }
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const { covered, known } = blocks.count();
  return `${lines.join("\n")}\nblocks of what is judged, all targets together: ${covered} of ${known}\n`;
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}
