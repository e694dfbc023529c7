// Fuzzes the verifier, and the enclave's reader of key envelopes: looks for an input that breaks one of
// their promises. Run by `npm run fuzz`.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { missing } from "../shared.ts";
import { MAX_FINDINGS, runCampaign } from "./campaign.ts";
import { readFinding, writeFindings } from "./finding.ts";
import type { Figures, Finding } from "./job.ts";
import { progressLine, renderReports } from "./report.ts";
import { parseSettings, type Settings, targetNamed, USAGE } from "./settings.ts";
import { superviseWorker } from "./supervisor.ts";
import { ACCEPTED } from "./target.ts";
import { TARGETS } from "./targets.ts";

const PROGRESS_MS = 5000;

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  let settings: Settings | null;
  try {
    settings = parseSettings(argv);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 2;
  }
  if (settings === null) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (settings.replay !== null) return replay(settings, settings.replay);
  return fuzz(settings);
}

async function fuzz(settings: Settings): Promise<number> {
  const { seed, workers, minutes, out } = settings;
  const shares = settings.targets.map((name) => TARGETS[name].share);
  const total = shares.reduce((sum, share) => sum + share, 0);
  const assignments = settings.targets.map((name) => ({
    name,
    module: TARGETS[name].module,
    covered: TARGETS[name].covered,
    cpuMs: (minutes * 60_000 * TARGETS[name].share) / total,
  }));
  // Says so where there are no genuine documents: the lab's alone are less.
  missing("nitro");
  const plan = { assignments, seed, workers, folder: out };
  const { reports, blocks } = await runCampaign(plan, throttled());
  process.stdout.write(renderReports(reports, blocks));
  const findings = reports.flatMap((report) => report.findings);
  for (const [i, path] of writeFindings(out, findings).entries()) {
    process.stdout.write(`\n${described(findings[i])}\n  ${command(path)}\n`);
  }
  return findings.length === 0 ? 0 : 1;
}

async function replay({ out }: Settings, path: string): Promise<number> {
  const { target, kind, seed, input } = readFinding(path);
  mkdirSync(out, { recursive: true });
  const { module, covered } = TARGETS[targetNamed(target)];
  const life = await superviseWorker(
    {
      module,
      seed,
      covered,
      cpuMs: Number.MAX_SAFE_INTEGER,
      executions: 0,
      findings: MAX_FINDINGS,
      journal: join(out, "replay.journal"),
      replay: input,
    },
    target,
  );
  for (const finding of life.findings) process.stdout.write(`${described(finding)}\n`);
  if (life.outcome !== null) process.stdout.write(`${target}: ${life.outcome}\n`);
  const refused = kind === "refused" && life.outcome !== ACCEPTED;
  return life.findings.length === 0 && !refused ? 0 : 1;
}

/** A line a target every few seconds, whatever the number of workers. */
function throttled(): (name: string, figures: Figures) => void {
  const shownAtMs = new Map<string, number>();
  return (name, figures) => {
    if (performance.now() - (shownAtMs.get(name) ?? -PROGRESS_MS) < PROGRESS_MS) return;
    shownAtMs.set(name, performance.now());
    process.stderr.write(`${progressLine(name, figures)}\n`);
  };
}

/** All of the reason is in the file. */
function described(finding: Finding | undefined): string {
  if (finding === undefined) return "";
  const { target, kind, reason } = finding;
  const lines = reason.split("\n").slice(0, 4);
  return `${target}: ${kind}: ${lines.map((line) => line.slice(0, 200)).join("\n")}`;
}

/** By npm, whose Node is the one that the project pins. */
function command(path: string): string {
  return `npm run fuzz -- --replay ${path}`;
}
