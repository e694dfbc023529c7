/**
 * Runs a worker and watches it from outside: what hangs is ended, what dies is accounted for, and
 * either way the input that ran is a finding.
 */
import { type ChildProcess, fork } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import {
  type Figures,
  type Finding,
  type FindingKind,
  type FunctionBlocks,
  type Job,
  MAX_HEAP_MIB,
  type Message,
} from "./job.ts";
import { readHeartbeat, readRunning } from "./journal.ts";

const WORKER = new URL("worker.ts", import.meta.url);
/** What one execution may take, both runs and the oracle's reading together. */
const EXECUTION_MS = 2000;
const POLL_MS = 100;
/** The collector is called by name, to tell what is held from garbage. */
const NODE_OPTIONS = [`--max-heap-size=${MAX_HEAP_MIB}`, "--expose-gc"];
/** Of what a worker says before it dies: V8's stack, at most. */
const MAX_STDERR = 16_384;

/** What one worker did in its life. */
export interface Life {
  /** Null where it died before its first report. */
  readonly figures: Figures | null;
  readonly findings: readonly Finding[];
  readonly blocks: readonly FunctionBlocks[];
  /** Of a replay. */
  readonly outcome: string | null;
  /** Whether it ended as it should, not by a finding. */
  readonly ended: boolean;
}

/**
 * @param name - the target's, for findings that the worker itself cannot report.
 * @throws Error where the worker died while no input ran: a fault of the fuzzer's own.
 */
export async function superviseWorker(
  job: Job,
  name: string,
  listener: { progress(figures: Figures): void } = { progress: () => undefined },
): Promise<Life> {
  // Empty: what an earlier worker wrote is no heartbeat of this one.
  writeFileSync(job.journal, "");
  const worker = fork(WORKER, {
    execArgv: NODE_OPTIONS,
    serialization: "advanced",
    stdio: ["ignore", "inherit", "pipe", "ipc"],
  });
  const said: string[] = [];
  worker.stderr?.on("data", (text: Buffer) => said.push(text.toString("utf8")));
  const heard = listen(worker, listener);
  const watch = watchdog(worker, job.journal);
  const ended = new Promise<void>((resolve, reject) => {
    worker.once("close", () => resolve());
    worker.once("error", reject);
  });
  worker.send(job);
  try {
    await ended;
  } finally {
    watch.stop();
  }
  const running = readRunning(job.journal);
  rmSync(job.journal);
  const { done, figures, findings } = heard;
  if (done !== null) return { ...done, findings, ended: true };
  const stderr = said.join("").slice(-MAX_STDERR);
  if (running === null) throw new Error(`worker of ${name} died while no input ran:\n${stderr}`);
  const finding = {
    target: name,
    seed: job.seed,
    input: running,
    ...causeOfDeath(watch.hung(), stderr),
  };
  return { figures, findings: [...findings, finding], blocks: [], outcome: null, ended: false };
}

interface Heard {
  done: Extract<Message, { readonly kind: "done" }> | null;
  figures: Figures | null;
  readonly findings: Finding[];
}

function listen(worker: ChildProcess, listener: { progress(figures: Figures): void }): Heard {
  const heard: Heard = { done: null, figures: null, findings: [] };
  worker.on("message", (raw) => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our worker's own words
    const message = raw as unknown as Message;
    switch (message.kind) {
      case "progress":
        heard.figures = message.figures;
        listener.progress(message.figures);
        return;
      case "finding":
        heard.findings.push(message.finding);
        return;
      case "done":
        heard.done = message;
        return;
      default:
        message satisfies never;
    }
  });
  return heard;
}

/** Ends `worker` once one input has run for as long as it may. */
function watchdog(worker: ChildProcess, journal: string): { stop(): void; hung(): boolean } {
  let count = -1;
  let polls = 0;
  let hung = false;
  const timer = setInterval(() => {
    const heartbeat = readHeartbeat(journal);
    const same = heartbeat !== null && heartbeat.running && heartbeat.count === count;
    count = heartbeat?.count ?? -1;
    // Polls, not a clock: where the machine stops, both stop.
    polls = same ? polls + 1 : 0;
    if (polls * POLL_MS < EXECUTION_MS) return;
    hung = true;
    worker.kill("SIGKILL");
  }, POLL_MS);
  return { stop: () => clearInterval(timer), hung: () => hung };
}

function causeOfDeath(
  hung: boolean,
  stderr: string,
): { readonly kind: FindingKind; readonly reason: string } {
  if (hung) return { kind: "hang", reason: `one execution took more than ${EXECUTION_MS} ms` };
  if (/heap out of memory|Reached heap limit/u.test(stderr)) {
    return { kind: "heap", reason: `V8 needed more than ${MAX_HEAP_MIB} MiB of heap` };
  }
  return { kind: "death", reason: `the worker died:\n${stderr}` };
}
