/** All targets in turn, each with its share of the time. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { BlockTable } from "./blocks.ts";
import type { Figures, Finding, Job } from "./job.ts";
import { superviseWorker } from "./supervisor.ts";

/** A worker that died is followed by another one, with other choices, this many times. */
const MAX_LIVES = 4;
/** More findings of one worker are the same ones again. */
export const MAX_FINDINGS = 10;

export interface Assignment {
  readonly name: string;
  /** URL of the target's module. */
  readonly module: string;
  /** Coverage counts in modules whose URL begins so. */
  readonly covered: string;
  readonly cpuMs: number;
}

export interface Report {
  readonly name: string;
  /** Null where every worker died before it reported. */
  readonly figures: Figures | null;
  readonly findings: readonly Finding[];
}

export interface Plan {
  readonly assignments: readonly Assignment[];
  readonly seed: number;
  readonly workers: number;
  /** For journals. */
  readonly folder: string;
}

/** One report a target, in the order of the plan, and the blocks that any of them covered. */
export async function runCampaign(
  plan: Plan,
  progress: (name: string, figures: Figures) => void,
): Promise<{ readonly reports: readonly Report[]; readonly blocks: BlockTable }> {
  mkdirSync(plan.folder, { recursive: true });
  const blocks = new BlockTable();
  const reports: Report[] = [];
  const waiting = [...plan.assignments.entries()];
  // Each takes the next target as soon as it is done with one.
  const hand = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [at, assignment] = next;
      reports[at] = await fuzzTarget(plan, assignment, blocks, progress);
    }
  };
  await Promise.all(Array.from({ length: plan.workers }, hand));
  return { reports, blocks };
}

async function fuzzTarget(
  plan: Plan,
  { name, module, covered, cpuMs }: Assignment,
  blocks: BlockTable,
  progress: (name: string, figures: Figures) => void,
): Promise<Report> {
  const findings: Finding[] = [];
  let figures: Figures | null = null;
  for (let life = 0; life < MAX_LIVES && (figures?.cpuMs ?? 0) < cpuMs; life++) {
    const job: Job = {
      module,
      // Another sequence of choices after a death, or the same input would be the end again.
      seed: (plan.seed + life * 0x9e37_79b9) >>> 0,
      covered,
      cpuMs: cpuMs - (figures?.cpuMs ?? 0),
      executions: Number.MAX_SAFE_INTEGER,
      findings: MAX_FINDINGS,
      journal: join(plan.folder, `${name}.journal`),
      replay: null,
    };
    const before = figures;
    const done = await superviseWorker(job, name, {
      progress: (now) => progress(name, sum(before, now)),
    });
    findings.push(...done.findings);
    blocks.add(done.blocks);
    if (done.figures !== null) figures = sum(before, done.figures);
    if (done.ended) break;
  }
  return { name, figures, findings };
}

/** Figures of a target over the lives of its workers. */
function sum(before: Figures | null, now: Figures): Figures {
  if (before === null) return now;
  return {
    executions: before.executions + now.executions,
    accepted: before.accepted + now.accepted,
    outcomes: Math.max(before.outcomes, now.outcomes),
    kept: Math.max(before.kept, now.kept),
    cpuMs: before.cpuMs + now.cpuMs,
    peakHeapBytes: Math.max(before.peakHeapBytes, now.peakHeapBytes),
    baselineHeapBytes: Math.max(before.baselineHeapBytes, now.baselineHeapBytes),
    peakExternalBytes: Math.max(before.peakExternalBytes, now.peakExternalBytes),
    slowestMs: Math.max(before.slowestMs, now.slowestMs),
    coveredBlocks: Math.max(before.coveredBlocks, now.coveredBlocks),
    knownBlocks: Math.max(before.knownBlocks, now.knownBlocks),
  };
}
