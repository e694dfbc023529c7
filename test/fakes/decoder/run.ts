/** Runs a decoder's graph step by step with ONNX Runtime, and keeps its cache, as plainly as can be. */
import "../../../enclave/engine/environment.ts";
import type { DecoderGraph } from "../../../enclave/engine/graph/decoder.ts";
import type { InferenceSession } from "onnxruntime-node";

// The binding reads a Float16Array as one of no bytes (microsoft/onnxruntime#32323); without the class,
// 16-bit floats are a Uint16Array. ONNX Runtime looks when it makes its first tensor.
Reflect.deleteProperty(globalThis, "Float16Array");
const { InferenceSession: Sessions, Tensor } = await import("onnxruntime-node");

type Floats = Float32Array | Uint16Array;

/** Logits of a step: those of the last position of each sequence, and the bits they came as. */
export interface Step {
  readonly logits: readonly Float32Array[];
  readonly tokens: readonly number[];
  readonly bits: readonly Uint8Array[];
}

/** A graph as an exporter wrote it, with its usual names. */
export function unconverted(graph: DecoderGraph, bytes: Uint8Array<ArrayBuffer>): DecoderGraph {
  const layers = graph.layers.map((layer, i) => ({
    ...layer,
    presentKey: `present.${i}.key`,
    presentValue: `present.${i}.value`,
  }));
  return { ...graph, bytes, form: "whole", layers, lastOnly: false };
}

/** Several sequences of one length, run together. */
export class DecoderRun {
  readonly #session: InferenceSession;
  readonly #graph: DecoderGraph;
  readonly #batch: number;
  /** Positions that the cache has room for; null: exactly as many as it holds. */
  readonly #capacity: number | null;
  /** [batch, kvHeads, capacity or filled, headDim] for each layer, keys before values. */
  #cache: Floats[];
  #filled = 0;

  private constructor(
    session: InferenceSession,
    graph: DecoderGraph,
    batch: number,
    capacity: number | null,
  ) {
    this.#session = session;
    this.#graph = graph;
    this.#batch = batch;
    this.#capacity = capacity;
    const { layers } = graph;
    this.#cache = layers.flatMap(() => [this.#floats(capacity ?? 0), this.#floats(capacity ?? 0)]);
  }

  static async open(
    graph: DecoderGraph,
    external: readonly { readonly path: string; readonly data: Uint8Array }[],
    batch: number,
    capacity: number | null,
  ): Promise<DecoderRun> {
    const session = await Sessions.create(graph.bytes, {
      executionProviders: ["cpu"],
      externalData: [...external],
      intraOpNumThreads: 1,
      logSeverityLevel: 4,
    });
    return new DecoderRun(session, graph, batch, capacity);
  }

  /** Keys and values so far, [batch, kvHeads, filled, headDim], as bytes. */
  cacheBytes(): Uint8Array[] {
    return this.#cache.map((whole) => bytesOf(this.#cut(whole, this.#capacity ?? this.#filled)));
  }

  /** Runs these tokens, a row for each sequence. */
  async step(rows: readonly (readonly number[])[]): Promise<Step> {
    const count = rows[0]?.length ?? 0;
    const feeds = this.#feeds(rows, count);
    const { outputs, results } = this.#fetches();
    const answer = await this.#session.run(feeds, outputs);
    for (const [name, target] of results) this.#take(name, target, answer[name], count);
    this.#filled += count;
    return this.#read(answer["logits"], count);
  }

  async close(): Promise<void> {
    await this.#session.release();
  }

  #floats(positions: number): Floats {
    const { cacheType, kvHeads, headDim } = this.#graph;
    const count = this.#batch * kvHeads * positions * headDim;
    return cacheType === "float32" ? new Float32Array(count) : new Uint16Array(count);
  }

  #tensor(values: Floats, positions: number): InstanceType<typeof Tensor> {
    const { cacheType, kvHeads, headDim } = this.#graph;
    return new Tensor(cacheType, values, [this.#batch, kvHeads, positions, headDim]);
  }

  #feeds(
    rows: readonly (readonly number[])[],
    count: number,
  ): Record<string, InstanceType<typeof Tensor>> {
    const { layers, inputs, form } = this.#graph;
    const past = this.#capacity ?? this.#filled;
    // GroupQueryAttention counts the mask; elsewhere it has a place for each of past and new.
    const before = form === "in-place" ? this.#filled : past;
    const mask = rows.flatMap(() => [
      ...Array.from({ length: before }, (_, i) => (i < this.#filled ? 1n : 0n)),
      ...Array.from({ length: count }, () => 1n),
    ]);
    const positions = rows.flatMap((row) => row.map((_, i) => BigInt(this.#filled + i)));
    const int64 = (values: bigint[], width: number): InstanceType<typeof Tensor> =>
      new Tensor("int64", BigInt64Array.from(values), [this.#batch, width]);
    return {
      input_ids: int64(rows.flat().map(BigInt), count),
      ...(inputs.attentionMask ? { attention_mask: int64(mask, before + count) } : {}),
      ...(inputs.positionIds ? { position_ids: int64(positions, count) } : {}),
      ...(inputs.numLogitsToKeep
        ? { num_logits_to_keep: new Tensor("int64", BigInt64Array.of(1n), []) }
        : {}),
      ...Object.fromEntries(
        layers.flatMap(({ pastKey, pastValue }, i) =>
          [pastKey, pastValue].map((name, part) => [
            name,
            this.#tensor(this.#cache[2 * i + part] ?? this.#floats(0), past),
          ]),
        ),
      ),
    };
  }

  /** What to fetch, and which part of the cache each output is for. */
  #fetches(): {
    readonly outputs: Record<string, InstanceType<typeof Tensor> | null>;
    readonly results: readonly (readonly [name: string, target: number])[];
  } {
    const { layers, form } = this.#graph;
    const results = layers.flatMap(({ presentKey, presentValue }, i) => [
      [presentKey, 2 * i] as const,
      [presentValue, 2 * i + 1] as const,
    ]);
    const shared = form === "in-place" ? this.#capacity : null;
    const outputs = results.map(([name, target]) => {
      const buffer = this.#cache[target];
      return [name, shared !== null && buffer ? this.#tensor(buffer, shared) : null] as const;
    });
    return { outputs: { logits: null, ...Object.fromEntries(outputs) }, results };
  }

  #take(
    name: string,
    target: number,
    tensor: InstanceType<typeof Tensor> | undefined,
    count: number,
  ): void {
    const before = this.#cache[target];
    if (tensor === undefined || before === undefined) throw new TypeError(`no ${name}`);
    const values = floatsOf(tensor.data);
    const { form, headDim } = this.#graph;
    if (form === "in-place" && this.#capacity !== null) return;
    if (form !== "append") {
      if (this.#capacity !== null) throw new TypeError("a whole cache has no padding");
      this.#cache[target] = values;
      return;
    }
    // Behind what each head holds already.
    const whole = this.#capacity === null ? this.#floats(this.#filled + count) : before;
    const [from, to] = [this.#capacity ?? this.#filled, this.#capacity ?? this.#filled + count];
    const heads = values.length / (count * headDim);
    for (let head = 0; head < heads; head++) {
      const kept = before.subarray(head * from * headDim, (head * from + this.#filled) * headDim);
      whole.set(kept, head * to * headDim);
      const added = values.subarray(head * count * headDim, (head + 1) * count * headDim);
      whole.set(added, (head * to + this.#filled) * headDim);
    }
    this.#cache[target] = whole;
  }

  /** Of each head, the positions that are filled. */
  #cut(values: Floats, positions: number): Floats {
    const { headDim } = this.#graph;
    const out = this.#floats(this.#filled);
    const heads = out.length / (this.#filled * headDim);
    for (let head = 0; head < heads; head++) {
      const start = head * positions * headDim;
      out.set(
        values.subarray(start, start + this.#filled * headDim),
        head * this.#filled * headDim,
      );
    }
    return out;
  }

  #read(tensor: InstanceType<typeof Tensor> | undefined, count: number): Step {
    if (tensor === undefined) throw new TypeError("no logits");
    const values = floatsOf(tensor.data);
    const [, positions = 0, vocabulary = 0] = tensor.dims;
    const { lastOnly, inputs } = this.#graph;
    const wanted = lastOnly || inputs.numLogitsToKeep ? 1 : count;
    if (positions !== wanted) throw new TypeError(`logits of ${positions} positions`);
    const rows = Array.from({ length: this.#batch }, (_, row) => {
      const end = (row + 1) * positions * vocabulary;
      return values.slice(end - vocabulary, end);
    });
    const logits = rows.map((row) => (row instanceof Float32Array ? row : fromFloat16(row)));
    return {
      logits,
      tokens: logits.map((row) => row.indexOf(Math.max(...row))),
      bits: rows.map(bytesOf),
    };
  }
}

function floatsOf(data: unknown): Floats {
  if (data instanceof Float32Array || data instanceof Uint16Array) return data;
  throw new TypeError("neither 32-bit nor 16-bit floats");
}

function bytesOf(values: Floats): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** IEEE 754 binary16. */
function fromFloat16(values: Uint16Array): Float32Array {
  return Float32Array.from(values, (bits) => {
    const sign = (bits & 0x8000) === 0 ? 1 : -1;
    const exponent = (bits >> 10) & 0x1f;
    const fraction = bits & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : Number.NaN;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}
