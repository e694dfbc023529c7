/** Findings as files: the input, how it was judged, and why it is one. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeInput, encodeInput, type Finding } from "./job.ts";

/** Writes each finding into a file of its own; their paths. */
export function writeFindings(folder: string, findings: readonly Finding[]): readonly string[] {
  mkdirSync(folder, { recursive: true });
  return findings.map((finding, i) => {
    const path = join(folder, `${finding.target}-${finding.kind}-${i + 1}.json`);
    const { target, kind, reason, seed, input } = finding;
    const written = { target, kind, reason, seed, input: encodeInput(input) };
    writeFileSync(path, `${JSON.stringify(written, null, 2)}\n`);
    return path;
  });
}

/** The inverse, for one file. */
export function readFinding(path: string): Finding {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by writeFindings
  const written = JSON.parse(readFileSync(path, "utf8")) as Finding;
  return { ...written, input: decodeInput(written.input) };
}
