import { type InferenceSession, Tensor } from "onnxruntime-node";
import type { DecoderGraph } from "../graph/decoder.ts";
import { type CacheArray, type CacheShape, cacheTensor, rowElements } from "./arrays.ts";
import { widen } from "./float16.ts";

/** What is fed beside the cache: for each row the same number of tokens. */
export interface StepInput {
  readonly rows: number;
  readonly tokens: number;
  /** [rows, tokens] */
  readonly ids: BigInt64Array<ArrayBuffer>;
  /** [rows, tokens] */
  readonly positions: BigInt64Array<ArrayBuffer>;
  /** [rows, width]: 1 where a slot of the past, or a new token, is to be seen. */
  readonly mask: BigInt64Array<ArrayBuffer>;
  readonly width: number;
}

/** An open decoder: one run of its graph, with tensors instead of names. */
export class DecoderSession {
  readonly graph: DecoderGraph;
  readonly shape: CacheShape;
  readonly #session: InferenceSession;
  readonly #past: readonly string[];
  readonly #present: readonly string[];
  readonly #keepOne = new Tensor("int64", BigInt64Array.of(1n), []);
  #vocabularySize = 0;
  /** Where new keys and values are written before they have a slot: as many as were ever needed. */
  #added: { readonly slots: number; readonly arrays: readonly CacheArray[] } = NOTHING_ADDED;
  /** Of steps, by rows. */
  readonly #addedTensors = new Map<number, readonly Tensor[]>();
  #logits: Logits = { rows: 0, wide: new Float32Array(0), raw: null };

  constructor(session: InferenceSession, graph: DecoderGraph) {
    this.#session = session;
    this.graph = graph;
    const { kvHeads, headDim, cacheType: type, layers } = graph;
    this.shape = { type, arrays: 2 * layers.length, kvHeads, headDim };
    this.#past = layers.flatMap(({ pastKey, pastValue }) => [pastKey, pastValue]);
    this.#present = layers.flatMap(({ presentKey, presentValue }) => [presentKey, presentValue]);
  }

  /** Logits of one position. Known after {@link measure}. */
  get vocabularySize(): number {
    return this.#vocabularySize;
  }

  /** Runs one token without a past to see how many logits there are. @throws what the graph throws. */
  async measure(): Promise<number> {
    const { shape } = this;
    const past = Array.from({ length: shape.arrays }, () => emptyPast(shape));
    const one = { rows: 1, tokens: 1, width: 1, mask: BigInt64Array.of(1n) } as const;
    const input = { ...one, ids: BigInt64Array.of(0n), positions: BigInt64Array.of(0n) };
    const { logits } = this.graph;
    const results = await this.#session.run(this.#feeds(input, past), [logits]);
    this.#vocabularySize = results[logits]?.dims.at(-1) ?? 0;
    return this.#vocabularySize;
  }

  /** Room for the new keys and values of a run: the same memory each time. */
  added(rows: number, tokens: number): Added {
    const slots = rows * tokens;
    if (slots > this.#added.slots) {
      const { type, arrays: count } = this.shape;
      const elements = rowElements(this.shape, slots);
      const arrays = Array.from({ length: count }, () =>
        type === "float32" ? new Float32Array(elements) : new Uint16Array(elements),
      );
      this.#added = { slots, arrays };
      this.#addedTensors.clear();
    }
    const { arrays } = this.#added;
    let tensors = tokens === 1 ? this.#addedTensors.get(rows) : undefined;
    tensors ??= arrays.map((array) => cacheTensor(this.shape, array, rows, tokens));
    if (tokens === 1) this.#addedTensors.set(rows, tensors);
    return { arrays, tensors };
  }

  /**
   * Runs the graph once: `present` is written with keys and values.
   *
   * @returns the logits of each row's last token, [rows, vocabularySize], valid until the next run; null
   * where none are wanted. @throws what ONNX Runtime throws, which may quote what is in a tensor.
   */
  async run(
    input: StepInput,
    past: readonly Tensor[],
    present: readonly Tensor[],
    wanted: boolean,
  ): Promise<Float32Array | null> {
    const fetches = named();
    this.#present.forEach((name, i) => {
      fetches[name] = present[i] ?? null;
    });
    const { logits: name } = this.graph;
    // A graph that gives logits of each token of a prompt decides by itself where they go.
    const { lastOnly, inputs } = this.graph;
    const direct = input.tokens === 1 || lastOnly || inputs.numLogitsToKeep;
    if (wanted) fetches[name] = direct ? this.#logitsTensor(input.rows) : null;
    const results = await this.#session.run(this.#feeds(input, past), fetches);
    const last = wanted && !direct ? this.#lastOf(results[name]) : null;
    giveBack(results);
    return wanted && direct ? this.#read(input.rows) : last;
  }

  #feeds(input: StepInput, past: readonly Tensor[]): Record<string, Tensor> {
    const { attentionMask, positionIds, numLogitsToKeep } = this.graph.inputs;
    const { rows, tokens } = input;
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Object.create returns any
    const feeds = Object.create(null) as Record<string, Tensor>;
    feeds["input_ids"] = new Tensor("int64", input.ids, [rows, tokens]);
    if (attentionMask)
      feeds["attention_mask"] = new Tensor("int64", input.mask, [rows, input.width]);
    if (positionIds) feeds["position_ids"] = new Tensor("int64", input.positions, [rows, tokens]);
    if (numLogitsToKeep) feeds["num_logits_to_keep"] = this.#keepOne;
    this.#past.forEach((name, i) => {
      const tensor = past[i];
      if (tensor === undefined) throw new TypeError("a past is missing");
      feeds[name] = tensor;
    });
    return feeds;
  }

  /** A view of as many rows of the one buffer. */
  #logitsTensor(rows: number): Tensor {
    const elements = rows * this.#vocabularySize;
    if (this.#logits.rows < rows) {
      const raw = this.graph.logitsType === "float16" ? new Uint16Array(elements) : null;
      this.#logits = { rows, wide: new Float32Array(elements), raw };
    }
    const { wide, raw } = this.#logits;
    const dims = [rows, 1, this.#vocabularySize];
    return raw === null
      ? new Tensor("float32", wide.subarray(0, elements), dims)
      : new Tensor("float16", raw.subarray(0, elements), dims);
  }

  /** What was written into {@link #logitsTensor}. */
  #read(rows: number): Float32Array {
    const { wide, raw } = this.#logits;
    const elements = rows * this.#vocabularySize;
    if (raw !== null) widen(raw.subarray(0, elements), wide);
    return wide.subarray(0, elements);
  }

  /** The last position of the one row of a prompt. */
  #lastOf(tensor: Tensor | undefined): Float32Array {
    const last = new Float32Array(this.#vocabularySize);
    const data = tensor?.data;
    if (data instanceof Float32Array) last.set(data.subarray(data.length - last.length));
    else if (data instanceof Uint16Array) widen(data.subarray(data.length - last.length), last);
    else throw new TypeError("logits of another type");
    return last;
  }

  /** Gives the session's memory back. */
  async release(): Promise<void> {
    this.#added = NOTHING_ADDED;
    this.#addedTensors.clear();
    await this.#session.release();
  }
}

/** For as many rows as were ever needed. */
interface Logits {
  readonly rows: number;
  readonly wide: Float32Array<ArrayBuffer>;
  /** Where the graph gives them in 16 bits. */
  readonly raw: Uint16Array<ArrayBuffer> | null;
}

const NOTHING_ADDED = { slots: 0, arrays: [] } as const;

/** New keys and values, at the beginning of each array, and the same as tensors. */
export interface Added {
  readonly arrays: readonly CacheArray[];
  readonly tensors: readonly Tensor[];
}

/**
 * Detaches the binding's own views of what was written into our arrays.
 *
 * V8 reckons each as new memory, as large as the whole cache in every step, and would collect garbage
 * every other step: a sixth of the processors' time at full batch.
 */
function giveBack(results: InferenceSession.ReturnType): void {
  for (const { data } of Object.values(results)) {
    if (ArrayBuffer.isView(data) && data.buffer instanceof ArrayBuffer) data.buffer.transfer(0);
  }
}

function named(): Record<string, Tensor | null> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Object.create returns any
  return Object.create(null) as Record<string, Tensor | null>;
}

function emptyPast(shape: CacheShape): Tensor {
  const dims = [1, shape.kvHeads, 0, shape.headDim];
  return shape.type === "float32"
    ? new Tensor("float32", new Float32Array(0), dims)
    : new Tensor("float16", new Uint16Array(0), dims);
}
