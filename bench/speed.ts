/** The secure path beside the plain one: throughput at 16 connections, latency at one. */
import { equalBytes } from "@countersign/attestation";
import { availableParallelism } from "node:os";
import { runFor, type Window } from "./load.ts";
import { type BenchNode, connectTo, startPlainNode, startSecureNode } from "./nodes.ts";
import { childOf, cpuOf, cpuOfMachine } from "./processes.ts";
import { type Parts, plainSend, secureSend, type Send, timedSecureSend } from "./senders.ts";
import type { Settings } from "./settings.ts";
import { median, paired, quantile } from "./statistics.ts";
import { asRatio, asUs, bounded, type Findings } from "./table.ts";
import { chain, digits, type Workload } from "./workloads.ts";

const CONNECTIONS = 16;
const MAX_ADDED_US = 250;

export async function measureSpeed(settings: Settings): Promise<Findings> {
  const small = await measureWorkload(digits(), 0.2, settings);
  const large = await measureWorkload(await chain(), 0.8, settings);
  return { rows: [...small.rows, ...large.rows], parts: [...small.parts, ...large.parts] };
}

async function measureWorkload(
  workload: Workload,
  minRatio: number,
  settings: Settings,
): Promise<Findings> {
  const { name, models, path } = workload;
  const secureNode = await startSecureNode(models);
  const plainNode = await startPlainNode(models, path);
  try {
    const secure = secureSend(await connectTo(secureNode), workload);
    const plain = plainSend(plainNode, workload);
    if (!equalBytes(await secure(), await plain())) throw new Error("the answers differ");
    const throughput = await measureThroughput(
      { send: secure, processes: await processesOf(secureNode) },
      { send: plain, processes: await processesOf(plainNode) },
      settings,
    );
    const parts: Parts[] = [];
    const timed = await timedSecureSend(secureNode, workload, parts);
    const latency = await measureLatency(timed, parts, plain, settings);
    return {
      rows: [
        bounded(
          `${name}: throughput at ${CONNECTIONS} connections, secure ÷ plain`,
          throughput.ratio,
          "≥",
          minRatio,
          asRatio,
        ),
        bounded(
          `${name}: latency added by enclave and host at 1 connection, median`,
          latency.addedUs,
          "≤",
          MAX_ADDED_US,
          asUs,
        ),
      ],
      parts: [workload.about, throughput.about, latency.about],
    };
  } finally {
    await Promise.all([secureNode.stop(), plainNode.stop()]);
    await workload.remove();
  }
}

/** One of the two paths, and who works on it: this process, a host, an enclave. */
interface Path {
  readonly send: Send;
  readonly processes: readonly number[];
}

/** A window at full load, and what it cost. */
interface LoadedWindow {
  readonly perSecond: number;
  /** CPU time of each process per request, µs. */
  readonly cpuUs: readonly number[];
  /** Share of the machine that went to processes of other people, 0 to 1. */
  readonly othersShare: number;
}

async function processesOf(node: BenchNode): Promise<readonly number[]> {
  return [process.pid, node.pid, await childOf(node.pid)];
}

async function measureThroughput(
  secure: Path,
  plain: Path,
  { rounds, windowMs, warmUpMs }: Settings,
): Promise<{ readonly ratio: number; readonly about: string }> {
  for (const { send } of [secure, plain]) await runFor(send, CONNECTIONS, warmUpMs);
  const [secureWindows, plainWindows]: [LoadedWindow[], LoadedWindow[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    secureWindows.push(await loadedWindow(secure, windowMs));
    plainWindows.push(await loadedWindow(plain, windowMs));
  }
  const [secureRates, plainRates] = [secureWindows, plainWindows].map((windows) =>
    windows.map(({ perSecond }) => perSecond),
  );
  const ratios = paired(secureRates ?? [], plainRates ?? [], (a, b) => a / b);
  const others = median([...secureWindows, ...plainWindows].map(({ othersShare }) => othersShare));
  const about =
    `Throughput: secure ${describe(secureWindows)}; plain ${describe(plainWindows)}. Medians of ` +
    `${rounds} windows each, in turn; the middle half of the ratios lies between ` +
    `${asRatio(quantile(ratios, 0.25))} and ${asRatio(quantile(ratios, 0.75))}. Meanwhile other ` +
    `processes took ${Math.round(others * 100)} % of the machine.`;
  return { ratio: median(ratios), about };
}

async function loadedWindow({ send, processes }: Path, windowMs: number): Promise<LoadedWindow> {
  const spent = (): Promise<readonly number[]> =>
    Promise.all([cpuOfMachine(), ...processes.map(cpuOf)]);
  const startMs = performance.now();
  const before = await spent();
  const { perSecond, latenciesUs } = await runFor(send, CONNECTIONS, windowMs);
  const [machine = 0, ...ours] = (await spent()).map((after, i) => after - (before[i] ?? 0));
  const seconds = (performance.now() - startMs) / 1000;
  const others = ours.reduce((rest, one) => rest - one, machine);
  return {
    perSecond,
    cpuUs: ours.map((one) => (one / latenciesUs.length) * 1e6),
    othersShare: Math.max(0, others / seconds / availableParallelism()),
  };
}

function describe(windows: readonly LoadedWindow[]): string {
  const cpu = ["client", "host", "enclave"].map(
    (name, i) => `${name} ${asUs(median(windows.map(({ cpuUs }) => cpuUs[i] ?? Number.NaN)))}`,
  );
  const rate = median(windows.map(({ perSecond }) => perSecond)).toFixed(0);
  return `${rate}/s, CPU time a request ${cpu.join(", ")}`;
}

/**
 * What enclave and host add: the time from handing a request to `fetch` until its whole answer is
 * there, secure less plain. What the client does before and after is counted apart.
 */
async function measureLatency(
  secure: Send,
  parts: Parts[],
  plain: Send,
  { rounds, windowMs, warmUpMs }: Settings,
): Promise<{ readonly addedUs: number; readonly about: string }> {
  for (const send of [secure, plain]) await runFor(send, 1, warmUpMs);
  const found: Record<"total" | "seal" | "outer" | "open" | "plain", number[]> = {
    total: [],
    seal: [],
    outer: [],
    open: [],
    plain: [],
  };
  for (let round = 0; round < rounds; round++) {
    parts.length = 0;
    found.total.push(typical(await runFor(secure, 1, windowMs)));
    found.seal.push(median(parts.map(({ sealUs }) => sealUs)));
    found.outer.push(median(parts.map(({ outerUs }) => outerUs)));
    found.open.push(median(parts.map(({ openUs }) => openUs)));
    found.plain.push(typical(await runFor(plain, 1, windowMs)));
  }
  const addedUs = median(paired(found.outer, found.plain, (a, b) => a - b));
  const [total, seal, outer, open, base] = [
    found.total,
    found.seal,
    found.outer,
    found.open,
    found.plain,
  ].map((values) => asUs(median(values)));
  const about =
    `Latency: secure ${total} = client seals ${seal} + network, host and enclave ${outer} + ` +
    `client opens and verifies ${open} (+ what the clock costs); plain ${base}, all of it network, ` +
    `host and enclave.`;
  return { addedUs, about };
}

function typical({ latenciesUs }: Window): number {
  return median(latenciesUs);
}
