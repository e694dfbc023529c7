/**
 * Writes the corpus anew, for `npm run vectors`. With `--check` it only judges a fresh one.
 *
 * A vector is written only where judging it yields what it says; where one does not, the program
 * names it and ends with 1. Keys are fresh each time, so every file differs from the one before.
 */
import { collectVectors, type Misjudged, misjudgedVectors } from "./collect.ts";
import { writeCorpus } from "./files.ts";
import type { Outcome, Vector } from "./vector.ts";

const [option, ...more] = process.argv.slice(2);
if ((option !== undefined && option !== "--check") || more.length > 0) {
  throw new TypeError("usage: generate.ts [--check]");
}
const vectors = await collectVectors();
const wrong = await misjudgedVectors(vectors);
const refused = new Set(wrong.map(({ id }) => id));
const right = vectors.filter(({ id }) => !refused.has(id));
if (option === undefined) writeCorpus(right);
printCounts(right);
for (const misjudged of wrong) console.error(describe(misjudged));
process.exitCode = wrong.length === 0 ? 0 : 1;

function printCounts(counted: readonly Vector[]): void {
  for (const [stage, count] of tally(counted, ({ id }) => id.split("/")[0] ?? "")) {
    console.log(`${String(count).padStart(5)}  ${stage}`);
  }
  console.log();
  const codes = tally(counted, ({ expected }) => expected.outcome.code ?? "(accepted)");
  for (const [code, count] of codes) console.log(`${String(count).padStart(5)}  ${code}`);
  console.log(`\n${counted.length} vectors ${option === undefined ? "written" : "judged"}`);
}

function tally(
  counted: readonly Vector[],
  keyOf: (vector: Vector) => string,
): readonly (readonly [string, number])[] {
  const counts = new Map<string, number>();
  for (const vector of counted) {
    const key = keyOf(vector);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1));
}

function describe({ id, expected, found }: Misjudged): string {
  const words = (outcome: Outcome | string): string =>
    typeof outcome === "string" ? outcome : JSON.stringify(Object.values(outcome));
  return `${id}: expected ${words(expected)}, found ${words(found)}`;
}
