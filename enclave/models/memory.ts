/**
 * Whether the models will fit, asked before the first byte of one is fetched: a machine that runs out
 * while it loads ends without a word.
 *
 * The rule is measured with ONNX Runtime 1.30 on x86-64, weights of 32 and 8 bits, 150 MB to 1 GB, and
 * was 7 % below to 20 % above what the process took at its peak. Weights of 16 bits take half as much again:
 * ONNX Runtime widens them. What requests take comes on top. A sealed model takes no more than one in the
 * clear: it is opened piece by piece into the buffer that it would arrive in.
 */
import { EnclaveError } from "../errors.ts";
import type { Log } from "../log.ts";

/** The engine's thread and ONNX Runtime itself. Measured: 53 MB, and 105 MB with a tokenizer of 2000 tokens. */
const BASE_BYTES = 134_217_728;
/** Of a model that is loaded: its weights, and those that ONNX Runtime lays out anew. */
const TENSORS_HELD = 1.25;
const TEXT_HELD = 1.5;
/** Of the one that is being loaded, besides: what arrived, and of a decoder's graph its new form. */
const FILE_COPIES = 1;
const TEXT_GRAPH_COPIES = 2;

/** One model's share, as its manifest says it. */
export interface ModelSize {
  readonly kind: "tensors" | "text";
  readonly graphBytes: number;
  /** All other files. */
  readonly otherBytes: number;
}

/** Bytes that these models take at most, the largest of them while it is loaded. */
export function neededBytes(models: readonly ModelSize[], cacheBytes: number): number {
  let held = 0;
  let loading = 0;
  for (const { kind, graphBytes, otherBytes } of models) {
    const text = kind === "text";
    held += (text ? TEXT_HELD : TENSORS_HELD) * (graphBytes + otherBytes);
    const copies = text ? TEXT_GRAPH_COPIES : FILE_COPIES;
    loading = Math.max(loading, copies * graphBytes + FILE_COPIES * otherBytes);
  }
  // Only text has a cache.
  const cache = models.some(({ kind }) => kind === "text") ? cacheBytes : 0;
  return Math.ceil(BASE_BYTES + held + loading + cache);
}

/** Logs both numbers. @throws EnclaveError `boot/memory`. */
export function requireMemory(needBytes: number, haveBytes: number, log: Log): void {
  log("memory", { needBytes, haveBytes });
  if (needBytes <= haveBytes) return;
  throw new EnclaveError(
    "boot/memory",
    `the models need ${needBytes} bytes, and ${haveBytes} are there`,
  );
}
