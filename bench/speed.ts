/** The secure path beside the plain one: throughput at 16 connections, latency at one. */
import { equalBytes } from "@countersign/attestation";
import { runFor, type Window } from "./load.ts";
import { connectTo, startPlainNode, startSecureNode } from "./nodes.ts";
import { type Parts, plainSend, secureSend, type Send, timedSecureSend } from "./senders.ts";
import type { Settings } from "./settings.ts";
import { median, paired } from "./statistics.ts";
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
    const throughput = await measureThroughput(secure, plain, settings);
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

async function measureThroughput(
  secure: Send,
  plain: Send,
  { rounds, windowMs, warmUpMs }: Settings,
): Promise<{ readonly ratio: number; readonly about: string }> {
  for (const send of [secure, plain]) await runFor(send, CONNECTIONS, warmUpMs);
  const rates: Record<"secure" | "plain", number[]> = { secure: [], plain: [] };
  for (let round = 0; round < rounds; round++) {
    rates.secure.push((await runFor(secure, CONNECTIONS, windowMs)).perSecond);
    rates.plain.push((await runFor(plain, CONNECTIONS, windowMs)).perSecond);
  }
  const ratios = paired(rates.secure, rates.plain, (a, b) => a / b);
  const [low, high] = [Math.min(...ratios), Math.max(...ratios)];
  const about =
    `Throughput: secure ${median(rates.secure).toFixed(0)}/s, plain ${median(rates.plain).toFixed(0)}/s ` +
    `(medians of ${rounds} windows each, in turn); ratios ${asRatio(low)} to ${asRatio(high)}.`;
  return { ratio: median(ratios), about };
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
