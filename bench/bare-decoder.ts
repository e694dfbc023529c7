/**
 * The barest loop around a decoder, as a process of its own: no queue, no sampling but the largest logit,
 * no text. What Countersign adds is measured against it.
 *
 * `bare-decoder.ts GRAPH EXTERNAL THREADS`; its parent sends {@link BareRequest}s one at a time.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import type { Tensor as OnnxTensor } from "onnxruntime-node";
import { type DecoderGraph, readDecoderGraph } from "../enclave/engine/graph/decoder.ts";
import { sessionOptions } from "../enclave/engine/session-options.ts";

/** Continues `prompt` by `count` tokens. */
export interface BareRequest {
  readonly prompt: readonly number[];
  readonly count: number;
}

export interface BareAnswer {
  /** The prompt, until its last logits are there and the first token is chosen. */
  readonly prefillMs: number;
  /** All tokens after the first, together. */
  readonly decodeMs: number;
  readonly tokens: readonly number[];
}

interface Cache {
  readonly feeds: Record<string, OnnxTensor>;
  readonly fetches: Record<string, OnnxTensor | null>;
}

// As in the enclave's worker: the binding reads a Float16Array as one of no bytes.
Reflect.deleteProperty(globalThis, "Float16Array");
const { InferenceSession, Tensor } = await import("onnxruntime-node");

const [graphFile = "", externalFile = "", threads = ""] = process.argv.slice(2);
const graph = readDecoderGraph(new Uint8Array(readFileSync(graphFile)));
if (graph.form !== "in-place" || graph.cacheType !== "float32" || graph.inputs.positionIds) {
  throw new TypeError("the bare loop knows one kind of graph");
}
const external = [
  { path: basename(externalFile), bytes: new Uint8Array(readFileSync(externalFile)) },
];
const session = await InferenceSession.create(
  graph.bytes,
  sessionOptions(external, Number(threads)),
);
process.on("message", (request: BareRequest) => {
  // A failure is unhandled, and ends the process: its parent sees that.
  void answer(request).then((result) => process.send?.(result));
});
process.send?.("ready");

async function answer({ prompt, count }: BareRequest): Promise<BareAnswer> {
  // No longer than this answer needs: V8 counts it as new memory in every step.
  const cache = cacheOf(graph, prompt.length + count);
  const startMs = performance.now();
  const tokens = [await step(cache, prompt, 0)];
  const firstMs = performance.now();
  while (tokens.length < count) {
    const last = tokens.at(-1) ?? 0;
    tokens.push(await step(cache, [last], prompt.length + tokens.length - 1));
  }
  return { prefillMs: firstMs - startMs, decodeMs: performance.now() - firstMs, tokens };
}

/** Reads `tokens` behind what the cache holds, and returns the most likely next one. */
async function step(cache: Cache, tokens: readonly number[], filled: number): Promise<number> {
  const total = filled + tokens.length;
  const answers = await session.run(
    {
      ...cache.feeds,
      input_ids: new Tensor("int64", BigInt64Array.from(tokens, BigInt), [1, tokens.length]),
      attention_mask: new Tensor("int64", new BigInt64Array(total).fill(1n), [1, total]),
    },
    cache.fetches,
  );
  const logits = answers["logits"]?.data;
  if (!(logits instanceof Float32Array)) throw new TypeError("logits of another type");
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] ?? 0) > (logits[best] ?? 0)) best = i;
  // As in the enclave: else V8 reckons the whole cache as new memory in every step, and collects.
  for (const { data } of Object.values(answers)) {
    if (ArrayBuffer.isView(data) && data.buffer instanceof ArrayBuffer) data.buffer.transfer(0);
  }
  return best;
}

/** One buffer for past and present of each part: written in place, which is the fastest way there is. */
function cacheOf({ layers, kvHeads, headDim }: DecoderGraph, slots: number): Cache {
  const shape = [1, kvHeads, slots, headDim];
  const past: Record<string, OnnxTensor> = {};
  const present: Record<string, OnnxTensor | null> = { logits: null };
  for (const layer of layers) {
    const names = [
      [layer.pastKey, layer.presentKey],
      [layer.pastValue, layer.presentValue],
    ] as const;
    for (const [from, to] of names) {
      const buffer = new Float32Array(kvHeads * slots * headDim);
      past[from] = new Tensor("float32", buffer, shape);
      present[to] = new Tensor("float32", buffer, shape);
    }
  }
  return { feeds: past, fetches: present };
}
