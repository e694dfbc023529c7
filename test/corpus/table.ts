/**
 * The table that PROTOCOL.md ends with: which vectors test which clause, by the code of the refusal.
 *
 * `npm run vectors` puts the corpus on disk into it; a test compares the two.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { readCorpus } from "./files.ts";
import type { Vector } from "./vector.ts";

const PROTOCOL = new URL("../../PROTOCOL.md", import.meta.url);
const BEGIN = "<!-- vectors: made by test/corpus/table.ts -->\n\n";
const END = "\n<!-- end of vectors -->\n";
const HEAD = ["clause", "code", "vectors"] as const;

/** The rows for `vectors`, as Prettier writes a table. */
export function renderTable(vectors: readonly Vector[]): string {
  const rows = [...groupsOf(vectors).values()].map(({ code, clause, ids }) => [
    clause,
    code === null ? "accepted" : `\`${code}\``,
    rangesOf(ids),
  ]);
  const widths = HEAD.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const rule = widths.map((width) => "-".repeat(width));
  return [HEAD, rule, ...rows].map((cells) => `${line(cells)}\n`).join("");
}

/** What PROTOCOL.md has between its two marks. @throws TypeError where it has no such place. */
export function tableIn(text: string): string {
  const [from, to] = placeIn(text);
  return text.slice(from, to);
}

interface Group {
  readonly code: string | null;
  readonly clause: string;
  readonly ids: string[];
}

/** By clause, then by code, what is accepted first. */
function groupsOf(vectors: readonly Vector[]): ReadonlyMap<string, Group> {
  const groups = new Map<string, Group>();
  for (const { id, expected } of vectors) {
    const { clause, outcome } = expected;
    const name = JSON.stringify([id.split("/", 1), outcome.code, clause]);
    const group = groups.get(name) ?? { code: outcome.code, clause, ids: [] };
    group.ids.push(id);
    groups.set(name, group);
  }
  const collator = new Intl.Collator("en", { numeric: true });
  return new Map([...groups].toSorted(([, a], [, b]) => collator.compare(order(a), order(b))));
}

function order({ code, clause }: Group): string {
  return `${clause}\n${code ?? ""}`;
}

/** `chain/001–003, 007`: all of a group are of one stage. */
function rangesOf(ids: readonly string[]): string {
  const [first] = ids;
  const stage = first?.split("/", 1)[0] ?? "";
  const numbers = ids.map((id) => Number(id.slice(stage.length + 1, stage.length + 4)));
  const ranges: { from: number; to: number }[] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last !== undefined && last.to === number - 1) last.to = number;
    else ranges.push({ from: number, to: number });
  }
  const text = ranges.map(({ from, to }) =>
    from === to ? three(from) : `${three(from)}–${three(to)}`,
  );
  return `${stage}/${text.join(", ")}`;
}

function three(number: number): string {
  return String(number).padStart(3, "0");
}

function placeIn(text: string): readonly [from: number, to: number] {
  const from = text.indexOf(BEGIN);
  const to = text.indexOf(END);
  if (from === -1 || to < from) throw new TypeError("PROTOCOL.md has no place for the vectors");
  return [from + BEGIN.length, to];
}

if (process.argv[1] === import.meta.filename && process.argv.includes("--write")) {
  const text = readFileSync(PROTOCOL, "utf8");
  const [from, to] = placeIn(text);
  writeFileSync(PROTOCOL, text.slice(0, from) + renderTable(readCorpus()) + text.slice(to));
}
