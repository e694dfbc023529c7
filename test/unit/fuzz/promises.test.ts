import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { runCampaign } from "../../fuzz/campaign.ts";
import { readFinding, writeFindings } from "../../fuzz/finding.ts";
import type { Finding, FindingKind, Job } from "../../fuzz/job.ts";
import { type Life, superviseWorker } from "../../fuzz/supervisor.ts";

const HERE = new URL("./", import.meta.url).href;
const WORD = [0x6b, 0x65, 0x79];
const folder = mkdtempSync(join(tmpdir(), "countersign-fuzz-"));
afterAll(() => rmSync(folder, { recursive: true }));

let journals = 0;
function campaign(fault: string | null, changes: Partial<Job> = {}): Promise<Life> {
  const module = `${HERE}faulty.ts${fault === null ? "" : `?fault=${fault}`}`;
  const limits = { cpuMs: 60_000, executions: 50_000, findings: 1 };
  const journal = join(folder, `${journals++}.journal`);
  const job = { module, seed: 7, covered: `${HERE}lock.ts`, ...limits, journal, replay: null };
  return superviseWorker({ ...job, ...changes }, "faulty");
}

describe("a planted fault is found, with the input that shows it", () => {
  const FAULTS: readonly (readonly [fault: string, kind: FindingKind, reason: RegExp])[] = [
    ["crash", "crash", /^TypeError: a planted crash\n.*faulty\.ts/u],
    ["hang", "hang", /more than 2000 ms/u],
    ["silence", "hang", /more than 2000 ms/u],
    ["accept", "breach", /a mutant was accepted/u],
    ["heap", "heap", /more than 64 MiB of heap/u],
    ["buffers", "heap", /64 MiB of buffers in one execution/u],
    ["exit", "death", /died/u],
  ];
  it.each(FAULTS)("%s", async (fault, kind, reason) => {
    const { findings } = await campaign(fault);
    expect(findings.map((finding) => finding.kind)).toEqual([kind]);
    expect(findings[0]?.reason).toMatch(reason);
    expect([...(findings[0]?.input.bytes.slice(0, 3) ?? [])]).toEqual(WORD);
  });

  it("a leak, whichever input it shows at", async () => {
    const { findings } = await campaign("leak", { findings: 2 });
    expect(findings.map(({ kind, reason }) => [kind, reason])).toEqual([
      ["heap", "more than 64 MiB of buffers are held after a collection"],
    ]);
  });

  it("a genuine seed that is refused", async () => {
    const { findings } = await campaign("refused", { executions: 50 });
    expect(findings.map(({ kind }) => kind)).toEqual(["refused"]);
  });
});

describe("without a fault", () => {
  it("nothing is found, and what is behind the lock is reached", async () => {
    const { findings, figures, ended } = await campaign(null, { executions: 50_000 });
    expect([findings, ended]).toEqual([[], true]);
    expect(figures).toMatchObject({ outcomes: 2, kept: 4, coveredBlocks: 9, knownBlocks: 9 });
    expect(figures?.executions).toBeGreaterThanOrEqual(50_000);
  });

  it("the same seed makes the same choices, another one others", async () => {
    const key = async (seed: number): Promise<unknown> => {
      const { findings } = await campaign("accept", { seed });
      return findings.map(({ input }) => input);
    };
    expect(await key(13)).toEqual(await key(13));
    expect(await key(13)).not.toEqual(await key(7));
  });

  it("coverage is what finds the word: where none counts, it is not found", async () => {
    const { findings } = await campaign("crash", { covered: "none:", executions: 50_000 });
    expect(findings).toEqual([]);
  });
});

describe("a finding", () => {
  it("is written, read and run again", async () => {
    const { findings } = await campaign("crash");
    const [path = ""] = writeFindings(join(folder, "out"), findings);
    const found = readFinding(path);
    expect(found).toEqual(findings[0]);
    const again = await campaign("crash", { replay: found.input });
    expect(again.findings.map(({ kind }) => kind)).toEqual(["crash"]);
    const mended = await campaign(null, { replay: found.input });
    expect([mended.findings, mended.outcome]).toEqual([[], "word/open"]);
  });
});

describe("a campaign", () => {
  it("goes on with another worker after a death, four times at most", async () => {
    const covered = `${HERE}lock.ts`;
    const assignments = [
      { name: "exit", module: `${HERE}faulty.ts?fault=exit`, covered, cpuMs: 60_000 },
      { name: "accept", module: `${HERE}faulty.ts?fault=accept`, covered, cpuMs: 2000 },
    ];
    const plan = { assignments, seed: 7, workers: 2, folder: join(folder, "plan") };
    const { reports } = await runCampaign(plan, () => undefined);
    const kinds = (name: string): readonly FindingKind[] =>
      reports.find((report) => report.name === name)?.findings.map(({ kind }: Finding) => kind) ??
      [];
    expect(kinds("exit")).toEqual(["death", "death", "death", "death"]);
    expect(kinds("accept")).toEqual(["breach"]);
    expect(readdirSync(join(folder, "plan"))).toEqual([]);
  });
});
