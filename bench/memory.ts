/** Memory of host and enclave: at rest, and over many requests. */
import { type Heap, readHeap } from "./inspector.ts";
import { runTimes } from "./load.ts";
import { connectTo, type SecureNode, startSecureNode } from "./nodes.ts";
import { childOf, type Resident, residentOf } from "./processes.ts";
import { secureSend } from "./senders.ts";
import type { Settings } from "./settings.ts";
import { asMB, bounded, type Findings, reported, type Row } from "./table.ts";
import { digits } from "./workloads.ts";

const CONNECTIONS = 16;
const MAX_REST_BYTES = 250e6;
/** After this long nothing of the start is under way any more. */
const REST_MS = 5000;
/** Garbage that a server has not collected yet counts as memory: it gets a moment without requests. */
const SETTLE_MS = 3000;
/** Of live objects: caches of the runtime's own that fill late, and the reading of it. */
const MAX_HEAP_GROWTH_BYTES = 1e6;

/** Host and enclave, in this order. */
interface Snapshot {
  readonly resident: readonly [Resident, Resident];
  readonly heap: readonly [Heap, Heap] | null;
}

export async function measureMemory(settings: Settings): Promise<Findings> {
  const workload = digits();
  const node = await startSecureNode(workload.models);
  try {
    await delay(REST_MS);
    const rest = await snapshot(node, false);
    const send = secureSend(await connectTo(node), workload);
    const snapshots: Snapshot[] = [];
    // Compiled code, pools of buffers and the pages of the replay table come with the first requests.
    await runTimes(send, CONNECTIONS, settings.warmUpRequests);
    snapshots.push(await snapshot(node, true));
    for (const part of [0, 1]) {
      const half = Math.floor(settings.requests / 2);
      await runTimes(send, CONNECTIONS, part === 0 ? half : settings.requests - half);
      snapshots.push(await snapshot(node, true));
    }
    return {
      rows: [...restRows(rest), ...growthRows(snapshots, settings)],
      parts: [
        `Memory at rest: ${describe(rest)}.`,
        ...snapshots.map((found, i) => `Memory ${when(i, settings)}: ${describe(found)}.`),
      ],
    };
  } finally {
    await node.stop();
  }
}

/**
 * RSS counts the pages of Node's own file twice. PSS does not, but spreads them over every other Node
 * process of the machine too, this one included; so what is of a file is counted once here.
 */
function restRows({ resident: [host, enclave] }: Snapshot): Row[] {
  const files = Math.max(host.rss - host.anonymous, enclave.rss - enclave.anonymous);
  const once = host.anonymous + enclave.anonymous + files;
  const rss = host.rss + enclave.rss;
  return [
    bounded("node at rest, RSS of host and enclave", rss, "<", MAX_REST_BYTES, asMB),
    bounded("node at rest, pages of files counted once", once, "<", MAX_REST_BYTES, asMB),
  ];
}

/** Live objects decide whether it grows; pages also come and go with the collector's moods. */
function growthRows(snapshots: readonly Snapshot[], { requests }: Settings): Row[] {
  const [first, last] = [snapshots[0], snapshots.at(-1)];
  if (first === undefined || last === undefined) throw new TypeError("nothing was looked at");
  return (["host", "enclave"] as const).flatMap((name, i) => {
    const [from, to] = [first.resident[i]?.rss ?? Number.NaN, last.resident[i]?.rss ?? Number.NaN];
    const over = `over ${requests} requests`;
    const rss = reported(`${name}: RSS grew ${over}`, asMB(to - from));
    const [live, liveLast] = [first.heap?.[i], last.heap?.[i]];
    if (live === undefined || liveLast === undefined) return [rss];
    const grown = total(liveLast) - total(live);
    const what = `${name}: live objects grew ${over}`;
    return [bounded(what, grown, "<", MAX_HEAP_GROWTH_BYTES, asMB), rss];
  });
}

async function snapshot(node: SecureNode, withHeap: boolean): Promise<Snapshot> {
  const enclave = await childOf(node.pid);
  await delay(withHeap ? SETTLE_MS : 0);
  // One after the other: both would open their inspector at the same port.
  const heap = withHeap ? ([await readHeap(node.pid), await readHeap(enclave)] as const) : null;
  return { resident: [await residentOf(node.pid), await residentOf(enclave)], heap };
}

function when(index: number, { requests, warmUpRequests }: Settings): string {
  if (index === 0) return `after ${warmUpRequests} requests to warm up`;
  return `after ${index === 1 ? "half of" : "all"} ${requests} more`;
}

function describe({ resident, heap }: Snapshot): string {
  const [host, enclave] = resident;
  return `host ${describeOne(host, heap?.[0])}; enclave ${describeOne(enclave, heap?.[1])}`;
}

function describeOne({ rss, pss, anonymous }: Resident, live: Heap | undefined): string {
  const pages = `RSS ${asMB(rss)} (PSS ${asMB(pss)}, of no file ${asMB(anonymous)})`;
  if (live === undefined) return pages;
  return `${pages}, live objects ${asMB(live.heapBytes)} and buffers ${asMB(live.bufferBytes)}`;
}

function total({ heapBytes, bufferBytes }: Heap): number {
  return heapBytes + bufferBytes;
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
