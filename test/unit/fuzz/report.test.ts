import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { BlockTable } from "../../fuzz/blocks.ts";
import type { Figures, FunctionBlocks } from "../../fuzz/job.ts";
import { Journal, readHeartbeat, readRunning } from "../../fuzz/journal.ts";
import { progressLine, renderReports } from "../../fuzz/report.ts";
import { parseSettings } from "../../fuzz/settings.ts";
import type { Input } from "../../fuzz/target.ts";
import { TARGETS } from "../../fuzz/targets.ts";

const folder = mkdtempSync(join(tmpdir(), "countersign-journal-"));
afterAll(() => rmSync(folder, { recursive: true }));

const FIGURES: Figures = {
  executions: 4000,
  accepted: 12,
  outcomes: 7,
  kept: 30,
  cpuMs: 2000,
  peakHeapBytes: 20 << 20,
  baselineHeapBytes: 10 << 20,
  peakExternalBytes: 5 << 20,
  slowestMs: 31.4,
  coveredBlocks: 90,
  knownBlocks: 120,
};

describe("arguments", () => {
  it("have defaults: ten minutes over all targets", () => {
    expect(parseSettings([])).toEqual({
      targets: Object.keys(TARGETS),
      minutes: 10,
      seed: 1,
      workers: 1,
      out: ".build/fuzz",
      replay: null,
    });
  });

  it("are read", () => {
    const text = "--minutes 0.5 --seed 7 --workers 2 --target cbor --target policy --out here";
    expect(parseSettings([...text.split(" "), "--replay", "file"])).toEqual({
      targets: ["cbor", "policy"],
      minutes: 0.5,
      seed: 7,
      workers: 2,
      out: "here",
      replay: "file",
    });
    expect(parseSettings(["--help"])).toBeNull();
  });

  it.each([
    "--minutes 0",
    "--minutes -1",
    "--minutes x",
    "--minutes Infinity",
    "--seed 1.5",
    "--seed -1",
    "--seed 4294967296",
    "--workers 0",
    "--target x",
    "--surplus",
    "surplus",
  ])("%s are refused", (text) => {
    expect(() => parseSettings(text.split(" "))).toThrow(TypeError);
  });
});

describe("blocks of several workers", () => {
  const blocks = (edges: readonly number[], covered: readonly boolean[]): FunctionBlocks => {
    return { url: "a", start: 0, end: 100, edges, covered };
  };

  it("are cut at the edges that any of them saw", () => {
    const table = new BlockTable();
    expect(table.count()).toEqual({ covered: 0, known: 0 });
    table.add([blocks([0, 100], [false])]);
    expect(table.count()).toEqual({ covered: 0, known: 1 });
    table.add([blocks([0, 40, 100], [true, false])]);
    expect(table.count()).toEqual({ covered: 1, known: 2 });
    table.add([blocks([0, 60, 100], [false, true])]);
    // 0 to 40 and 60 to 100, but not what is between.
    expect(table.count()).toEqual({ covered: 2, known: 3 });
    table.add([{ ...blocks([0, 100], [true]), start: 1 }]);
    expect(table.count()).toEqual({ covered: 3, known: 4 });
  });
});

describe("the report", () => {
  it("has a row a target, with its verdict", () => {
    const input = { bytes: new Uint8Array(), stance: null, signed: [] };
    const finding = { target: "b", kind: "hang", reason: "slow", seed: 1, input } as const;
    const reports = [
      { name: "a", figures: FIGURES, findings: [] },
      { name: "b", figures: null, findings: [finding] },
    ];
    const [head, ...rows] = renderReports(reports, new BlockTable()).split("\n");
    expect(head).toMatch(/^target +executions +per CPU second .* verdict$/u);
    expect(rows[0]).toMatch(/^a +4000 +2000 +12 +7 +30 +90 of 120 +20\.0 MiB .*31 ms .* kept$/u);
    expect(rows[1]).toMatch(/^b +- .* 1 finding$/u);
    expect(rows[2]).toMatch(/0 of 0$/u);
    expect(progressLine("a", FIGURES)).toBe("a: 4000 executions, 30 inputs, 90 blocks, 2 s of CPU");
  });
});

describe("the journal", () => {
  const input: Input = {
    bytes: Uint8Array.of(0, 255, 128),
    stance: { policy: "{}", mode: "archive", nowMs: 5, nonce: null },
    signed: ["ab"],
  };

  it("tells what runs, and holds it", () => {
    const path = join(folder, "journal");
    writeFileSync(path, "");
    expect([readHeartbeat(path), readRunning(path)]).toEqual([null, null]);
    const journal = new Journal(path);
    journal.begin({ ...input, bytes: new Uint8Array(5000) });
    journal.begin(input);
    expect(readHeartbeat(path)).toEqual({ count: 2, running: true });
    expect(readRunning(path)).toEqual(input);
    journal.idle();
    expect(readHeartbeat(path)).toEqual({ count: 2, running: false });
    expect(readRunning(path)).toBeNull();
    journal.close();
  });
});
