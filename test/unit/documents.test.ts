import { existsSync, readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

const ROOT = new URL("../../", import.meta.url);
const PROTOCOL = read("PROTOCOL.md");

/** Where codes are declared, with the heading of their table in PROTOCOL.md §16. */
const SOURCES = [
  ["attestation/errors.ts", "Evidence, policies, receipts and proofs"],
  ["protocol/errors.ts", "Bytes on the wire"],
  ["enclave/errors.ts", "The enclave"],
  ["client/errors.ts", "The client"],
  ["host/errors.ts", "The host"],
] as const;

interface Row {
  readonly code: string;
  readonly sections: readonly string[];
  readonly test: string;
}

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

function documentedRows(heading: string): readonly Row[] {
  const rows: Row[] = [];
  for (const line of section(`### ${heading}`).split("\n")) {
    const cells = line.split("|").map((cell) => cell.trim());
    const code = /^`([^`]+)`$/u.exec(cells[1] ?? "")?.[1];
    if (code === undefined) continue;
    const [, , meaning = "", sections = "", test = ""] = cells;
    if (meaning === "") throw new TypeError(`${code} has no meaning`);
    rows.push({ code, sections: sections.split(", "), test: test.replaceAll("`", "") });
  }
  return rows;
}

describe.each(SOURCES)("the codes of %s in PROTOCOL.md", (path, heading) => {
  const rows = documentedRows(heading);

  it("are all there, and no others", () => {
    const declared = declaredCodes(path);
    expect(declared.length).toBeGreaterThan(9);
    expect(rows.map(({ code }) => code).toSorted()).toEqual(declared);
  });

  it("name tests that name them, and sections that exist", () => {
    for (const { code, sections, test } of rows) {
      for (const number of sections) expect(PROTOCOL).toContain(`\n## ${number}. `);
      if (test === "none") continue;
      expect(existsSync(new URL(`test/${test}`, ROOT)), test).toBe(true);
      expect(read(`test/${test}`), `${test} on ${code}`).toContain(code);
    }
  });
});

describe("PROTOCOL.md", () => {
  it("has every chapter of its table of contents", () => {
    const chapters = [...PROTOCOL.matchAll(/^(\d+)\. \[([^\]]+)\]\(#([^)]+)\)$/gmu)];
    expect(chapters.length).toBe(16);
    for (const [, number, title = "", anchor] of chapters) {
      expect(PROTOCOL).toContain(`\n## ${number}. ${title}\n`);
      const slug = `${number} ${title}`.toLowerCase().replaceAll(/[^a-z0-9 -]/gu, "");
      expect(anchor).toBe(slug.replaceAll(" ", "-"));
    }
  });
});
