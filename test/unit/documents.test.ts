import { existsSync, readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

const ROOT = new URL("../../", import.meta.url);
const PROTOCOL = read("PROTOCOL.md");

/** Where codes are declared, the heading of their table in PROTOCOL.md §16, and how few there cannot be. */
const SOURCES = [
  ["attestation/errors.ts", "Evidence, policies, receipts and proofs", 70],
  ["protocol/errors.ts", "Bytes on the wire", 24],
  ["enclave/errors.ts", "The enclave", 89],
  ["client/errors.ts", "The client", 10],
  ["host/errors.ts", "The host", 19],
  ["vsock/errors.ts", "Sockets to the parent", 7],
  ["image/errors.ts", "Enclave images", 5],
  ["sealing/errors.ts", "Sealing, and releasing keys", 24],
] as const;

/** What a row says in each column, by the column's heading, without backticks. */
type Row = ReadonlyMap<string, readonly string[]>;
/** The columns that every table has. A table whose codes have vectors has "vectors" besides. */
const COLUMNS = ["code", "meaning", "section", "test"] as const;

function read(path: string): string {
  return readFileSync(new URL(path, ROOT), "utf8");
}

/** Every code of every `…ErrorCode` union of a source file, sorted. */
function declaredCodes(path: string): readonly string[] {
  const unions = read(path).matchAll(/^export type \w+ErrorCode =([^;]*);/gmu);
  const codes = [...unions].flatMap(([, union = ""]) =>
    [...union.replaceAll(/\/\/.*$/gmu, "").matchAll(/"([^"]+)"/gu)].map(([, code = ""]) => code),
  );
  return codes.toSorted();
}

/** The text from a heading to the next of its level or above. */
function section(heading: string): string {
  const start = PROTOCOL.indexOf(`\n${heading}\n`);
  if (start === -1) throw new TypeError(`PROTOCOL.md has no "${heading}"`);
  const level = /^#+/u.exec(heading)?.[0].length ?? 0;
  const body = PROTOCOL.slice(start + heading.length + 2);
  const end = new RegExp(`^#{1,${level}} `, "mu").exec(body)?.index ?? body.length;
  return body.slice(0, end);
}

function cellsOf(line: string): readonly string[] {
  return line
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());
}

function documentedRows(heading: string): readonly Row[] {
  // The first table below the heading.
  const table = /(?:^\|.*\n)+/mu.exec(section(`### ${heading}`))?.[0] ?? "";
  const [columns = [], , ...rows] = table.trimEnd().split("\n").map(cellsOf);
  for (const wanted of COLUMNS) {
    if (!columns.includes(wanted)) throw new TypeError(`no column "${wanted}" in "${heading}"`);
  }
  return rows.map((cells) => {
    if (cells.length !== columns.length) throw new TypeError(`a row of ${cells.length} cells`);
    const values = cells.map((cell) => cell.replaceAll("`", "").split(", ").filter(Boolean));
    return new Map(columns.map((column, i) => [column, values[i] ?? []]));
  });
}

function codeOf(row: Row): string {
  const [code = "", ...others] = row.get("code") ?? [];
  if (code === "" || others.length > 0) throw new TypeError("a row without its one code");
  return code;
}

/** The text of a test without its comments: a code that only a comment names is not asked for. */
function testText(path: string): string {
  const withoutComments = read(`test/${path}`).replaceAll(/^\s*(?:\/\/|\/?\*).*$/gmu, "");
  // In a regular expression a code is spelt with its slash escaped.
  return withoutComments.replaceAll("\\/", "/");
}

/** What a vector must yield: the code of its failure, or of none. */
function vectorCode(id: string): unknown {
  const expected: unknown = JSON.parse(read(`test/vectors/${id}/expected.json`));
  const outcome = new Map<string, unknown>(Object.entries(expected ?? {})).get("outcome");
  return new Map<string, unknown>(Object.entries(outcome ?? {})).get("code");
}

describe.each(SOURCES)("the codes of %s in PROTOCOL.md", (path, heading, least) => {
  const rows = documentedRows(heading);

  it("are all there, and no others", () => {
    const declared = declaredCodes(path);
    expect(declared.length).toBeGreaterThanOrEqual(least);
    expect(rows.map(codeOf).toSorted()).toEqual(declared);
  });

  it("have a meaning, and sections that exist", () => {
    for (const row of rows) {
      expect(row.get("meaning"), codeOf(row)).not.toEqual([]);
      expect(row.get("section"), codeOf(row)).not.toEqual([]);
      for (const number of row.get("section") ?? []) {
        expect(PROTOCOL, codeOf(row)).toContain(`\n## ${number}. `);
      }
    }
  });

  it("name a test that asks for them by name, and vectors, if any, that are refused with them", () => {
    for (const row of rows) {
      const tests = row.get("test") ?? [];
      expect(tests, codeOf(row)).not.toEqual([]);
      for (const test of tests) {
        expect(existsSync(new URL(`test/${test}`, ROOT)), `${codeOf(row)}: test/${test}`).toBe(
          true,
        );
        expect(testText(test), `${test} on ${codeOf(row)}`).toContain(codeOf(row));
      }
      // The one code of a check that is passed over, and so of no refusal.
      const refusal = codeOf(row) === "policy/unchecked" ? null : codeOf(row);
      for (const id of row.get("vectors") ?? []) expect(vectorCode(id), id).toBe(refusal);
    }
  });
});

describe("PROTOCOL.md", () => {
  it("has every chapter of its table of contents", () => {
    const chapters = [...PROTOCOL.matchAll(/^(\d+)\. \[([^\]]+)\]\(#([^)]+)\)$/gmu)];
    expect(chapters.length).toBe(19);
    for (const [, number, title = "", anchor] of chapters) {
      expect(PROTOCOL).toContain(`\n## ${number}. ${title}\n`);
      const slug = `${number} ${title}`.toLowerCase().replaceAll(/[^a-z0-9 -]/gu, "");
      expect(anchor).toBe(slug.replaceAll(" ", "-"));
    }
  });
});
