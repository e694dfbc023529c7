/** Full batches for minutes on end: what grows. */
import type { Connection } from "@countersign/client";
import { type Heap, readHeap } from "./inspector.ts";
import type { SecureNode } from "./nodes.ts";
import { childOf, type Resident, residentOf } from "./processes.ts";
import { prompt } from "./smol.ts";
import { streamCompletion } from "./streams.ts";
import { asMB, bounded, type Findings, reported } from "./table.ts";

const PROMPT_TOKENS = 16;
const ANSWER_TOKENS = 48;
/** Compiled code, pools and arenas come with the first streams. */
const WARM_UP_SHARE = 0.1;
const SETTLE_MS = 3000;
/** Of live objects, as in memory.ts. */
const MAX_GROWTH_BYTES = 1e6;

interface Look {
  readonly host: Resident;
  readonly enclave: Resident;
  /** Of the enclave's main thread. */
  readonly heap: Heap;
}

export async function soak(
  node: SecureNode,
  connection: Connection,
  streams: number,
  minutes: number,
): Promise<Findings> {
  const totalMs = minutes * 60_000;
  const looks: Look[] = [];
  let answers = await stream(connection, streams, totalMs * WARM_UP_SHARE);
  looks.push(await look(node));
  for (let part = 0; part < 2; part++) {
    answers += await stream(connection, streams, (totalMs * (1 - WARM_UP_SHARE)) / 2);
    looks.push(await look(node));
  }
  const [first, , last] = looks;
  if (first === undefined || last === undefined) throw new TypeError("nothing was looked at");
  const over = `${minutes} minutes of ${streams} streams`;
  return {
    rows: [
      bounded(
        `enclave: live objects grew over ${over}`,
        live(last.heap) - live(first.heap),
        "<",
        MAX_GROWTH_BYTES,
        asMB,
      ),
      reported(`enclave: RSS grew over ${over}`, asMB(last.enclave.rss - first.enclave.rss)),
      reported(`host: RSS grew over ${over}`, asMB(last.host.rss - first.host.rss)),
    ],
    parts: looks.map(
      ({ host, enclave, heap }, i) =>
        `Soak, ${["warmed up", "middle", "end"][i] ?? ""}: host RSS ${asMB(host.rss)}; enclave RSS ` +
        `${asMB(enclave.rss)}, live objects ${asMB(heap.heapBytes)}, buffers ` +
        `${asMB(heap.bufferBytes)}${i === 2 ? `; ${answers} answers of ${ANSWER_TOKENS} tokens` : ""}.`,
    ),
  };
}

/** Keeps so many streams going, and returns how many ended. */
async function stream(
  connection: Connection,
  streams: number,
  durationMs: number,
): Promise<number> {
  const endMs = performance.now() + durationMs;
  let answers = 0;
  const loop = async (): Promise<void> => {
    while (performance.now() < endMs) {
      await streamCompletion(connection, prompt(PROMPT_TOKENS, answers++), ANSWER_TOKENS);
    }
  };
  await Promise.all(Array.from({ length: streams }, loop));
  return answers;
}

async function look(node: SecureNode): Promise<Look> {
  await new Promise((resolve) => {
    setTimeout(resolve, SETTLE_MS);
  });
  const pid = await childOf(node.pid);
  const heap = await readHeap(pid);
  return { host: await residentOf(node.pid), enclave: await residentOf(pid), heap };
}

function live({ heapBytes, bufferBytes }: Heap): number {
  return heapBytes + bufferBytes;
}
