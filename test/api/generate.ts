/**
 * The public types of each package, checked in, so that a change of an interface is seen in review.
 *
 * `npx node test/api/generate.ts` compares the committed files with what the sources say now;
 * `--write` writes them.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { diff } from "node:util";
import { publicSurfaces, type Surface } from "./surfaces.ts";

const FOLDER: string = new URL(".", import.meta.url).pathname;
export const UPDATE = "npm run api";

/** Unchanged lines around a change. */
const CONTEXT_LINES = 3;

/** The text of each checked-in file, by its name. */
export function readCheckedIn(): ReadonlyMap<string, string> {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith(".d.ts"));
  return new Map(names.map((name) => [name, readFileSync(FOLDER + name, "utf8")]));
}

/** What differs, a text for each file; empty where all is as it is checked in. */
export function differences(
  checkedIn: ReadonlyMap<string, string>,
  surfaces: readonly Surface[],
): readonly string[] {
  const left = new Set(checkedIn.keys());
  const changed = surfaces.flatMap(({ file, specifier, text }) => {
    left.delete(file);
    const found = checkedIn.get(file);
    if (found === undefined) return [`${specifier}: test/api/${file} is not there`];
    return found === text ? [] : [`${specifier}: test/api/${file}\n${lineDiff(found, text)}`];
  });
  return [...changed, ...[...left].map((file) => `nothing exports what is in test/api/${file}`)];
}

/**
 * The lines that go (`-`) and come (`+`), with a few around them. Where lines are left out, `@@` and
 * the declaration that the next ones belong to.
 */
export function lineDiff(before: string, after: string): string {
  // util.diff marks with 1 what only its first argument has.
  const lines = diff(before.split("\n"), after.split("\n")).map(([operation, text]) => ({
    mark: { [-1]: "+", 0: " ", 1: "-" }[operation],
    text,
  }));
  const near = (at: number): boolean =>
    lines
      .slice(Math.max(0, at - CONTEXT_LINES), at + CONTEXT_LINES + 1)
      .some(({ mark }) => mark !== " ");
  const shown: string[] = [];
  lines.forEach(({ mark, text }, i) => {
    if (!near(i)) return;
    if (i > 0 && !near(i - 1)) {
      const opened = lines.slice(0, i + 1).findLast((line) => /^\w/u.test(line.text))?.text ?? "";
      shown.push(`@@ ${opened}`);
    }
    shown.push(`${mark} ${text}`);
  });
  return shown.join("\n");
}

function write(surfaces: readonly Surface[]): void {
  for (const file of readCheckedIn().keys()) rmSync(FOLDER + file);
  for (const { file, text } of surfaces) writeFileSync(FOLDER + file, text);
}

async function main(): Promise<void> {
  const surfaces = await publicSurfaces();
  if (process.argv.includes("--write")) {
    write(surfaces);
    return;
  }
  const found = differences(readCheckedIn(), surfaces);
  if (found.length === 0) return;
  console.error(found.join("\n\n"));
  console.error(`the public types are not those that are checked in: ${UPDATE}`);
  process.exitCode = 1;
}

if (import.meta.main) await main();
