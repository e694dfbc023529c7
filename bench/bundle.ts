/** What a page has to load: the sizes that the browser build prints. */
import { fileURLToPath } from "node:url";
import { startProgram } from "../client/cli/process.ts";
import { bounded, type Findings, reported, type Row } from "./table.ts";

const BUILD = fileURLToPath(new URL("../client/build.ts", import.meta.url));
const LINE = /^(?<name>\S.*?) +(?<bytes>\d+) bytes +(?<gzip>\d+) gzip$/u;
/** What a page may have to load before it can ask, and before it can judge evidence. */
const MAX_BYTES: ReadonlyMap<string, number> = new Map([
  ["client", 40_000],
  ["verifier", 20_000],
]);

export async function measureBundles(): Promise<Findings> {
  const lines: string[] = [];
  const errors: string[] = [];
  const build = startProgram(BUILD, [], {
    stdout: (line) => lines.push(line),
    stderr: (line) => errors.push(line),
  });
  await build.ended;
  const rows = lines.map(rowOf).filter((row) => row !== null);
  // It ends with 1 where the bundle is too large, and has printed its sizes all the same.
  if (rows.length === 0) throw new Error(`the browser build failed: ${errors.join("; ")}`);
  return { rows, parts: lines.map((line) => `Bundle: ${line.replaceAll(/ +/gu, " ")}.`) };
}

function rowOf(line: string): Row | null {
  const found = LINE.exec(line)?.groups;
  const name = found?.["name"];
  if (found === undefined || name === undefined) return null;
  const gzip = Number(found["gzip"]);
  const what = `browser bundle, ${name}, gzip`;
  const most = MAX_BYTES.get(name);
  if (most !== undefined) return bounded(what, gzip, "≤", most, asKilobytes);
  return reported(what, asKilobytes(gzip));
}

function asKilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1)} kB`;
}
