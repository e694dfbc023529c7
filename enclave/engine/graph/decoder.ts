/**
 * Reads the graph of a decoder: what goes in, what comes out, how its cache goes forward.
 *
 * The file is hostile like any other; but its hash is what the client's policy names, so whoever can
 * write it can have the model say anything. All that is at stake here is that a bad one is refused.
 */
import { EnclaveError } from "../../errors.ts";
import { forwardCache } from "./append.ts";
import type { CacheForm } from "./append.ts";
import { cacheError, readCache } from "./cache.ts";
import type { LayerCache } from "./cache.ts";
import { keepLastLogits } from "./logits.ts";
import { encodeModel, parseModel } from "./model.ts";
import type { GraphEdits, GraphModel, GraphValue } from "./model.ts";
import { FLOAT, FLOAT16, INT64 } from "./parts.ts";
import { readTablePositions } from "./rotation.ts";
import { wiringOf } from "./wiring.ts";

/** The inputs beside the cache that we can feed, with their axes. */
const INPUTS: ReadonlyMap<string, number> = new Map([
  ["input_ids", 2],
  ["attention_mask", 2],
  ["position_ids", 2],
  ["num_logits_to_keep", 0],
]);
/** Inputs or outputs: four for each layer of the cache, and a few. */
const MAX_VALUES = 4096;
const PAST = "past_key_values.";
/** optimum's merged graphs choose by this input between two graphs, with and without a cache. */
const MERGED = "use_cache_branch";

export interface DecoderGraph {
  /** The graph to open: converted where we could. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /**
   * append: outputs are the new keys and values only, [batch, kvHeads, new, headDim]; in-place:
   * com.microsoft.GroupQueryAttention, which writes present into past where both are one buffer;
   * whole: outputs are past and new together.
   */
  readonly form: CacheForm;
  /** Names of inputs and outputs of the graph in `bytes`. */
  readonly layers: readonly LayerCache[];
  readonly kvHeads: number;
  readonly headDim: number;
  readonly cacheType: "float32" | "float16";
  /** Positions that its tables of rotations have; null where it has none. */
  readonly tablePositions: number | null;
  /** Name of the output. */
  readonly logits: string;
  readonly logitsType: "float32" | "float16";
  /** Whether logits are [batch, 1, vocabulary], of the last position. */
  readonly lastOnly: boolean;
  /** Which of the usual inputs the graph has; all are int64. */
  readonly inputs: {
    readonly inputIds: "input_ids";
    readonly attentionMask: boolean;
    readonly positionIds: boolean;
    readonly numLogitsToKeep: boolean;
  };
}

/**
 * @throws {@link EnclaveError} `model/load` where it is no model of ONNX, `model/cache` where the cache
 * is not one we can keep, `model/unsupported` for inputs and outputs that we do not know.
 */
export function readDecoderGraph(graph: Uint8Array<ArrayBuffer>): DecoderGraph {
  // 1. What it is.
  const model = parseModel(graph);
  requireOnce(model.inputs);
  requireOnce(model.outputs);
  requireInputs(model.inputs);
  const cache = readCache(model);
  const logitsType = requireLogits(model);
  // 2. What we change.
  const edits: GraphEdits = {
    nodes: new Map(),
    rewired: new Map(),
    initializers: [],
    outputs: new Map(),
    forgotten: new Set(),
  };
  const wiring = wiringOf(model);
  const { form, layers } = forwardCache(wiring, cache, edits);
  const lastOnly = keepLastLogits(wiring, edits);
  // 3. A graph that stays as it was is not copied.
  const has = (name: string): boolean => model.inputs.some((input) => input.name === name);
  return {
    bytes: edits.outputs.size === 0 ? graph : encodeModel(model, edits),
    form,
    layers,
    kvHeads: cache.kvHeads,
    headDim: cache.headDim,
    cacheType: cache.cacheType,
    tablePositions: readTablePositions(model),
    logits: "logits",
    logitsType,
    lastOnly,
    inputs: {
      inputIds: "input_ids",
      attentionMask: has("attention_mask"),
      positionIds: has("position_ids"),
      numLogitsToKeep: has("num_logits_to_keep"),
    },
  };
}

function requireOnce(values: readonly GraphValue[]): void {
  if (values.length > MAX_VALUES) throw unsupported("graph", `has more than ${MAX_VALUES} values`);
  const names = new Set<string>();
  for (const { name } of values) {
    if (names.has(name)) throw cacheError(name, "is declared twice");
    names.add(name);
  }
}

function requireInputs(inputs: readonly GraphValue[]): void {
  if (!inputs.some(({ name }) => name === "input_ids")) {
    throw unsupported("input_ids", "is missing: this is no decoder of tokens");
  }
  for (const { name, elementType, shape } of inputs) {
    if (name === MERGED) throw cacheError(name, "is an input: merged decoders are not served");
    if (name.startsWith(PAST)) continue;
    const axes = INPUTS.get(name);
    if (axes === undefined) throw unsupported(name, "is an input that we cannot fill");
    if (elementType !== INT64) {
      throw unsupported(name, `has element type ${elementType}, not int64`);
    }
    if (shape?.length !== axes) {
      throw unsupported(name, `has ${shape?.length ?? "no"} axes, not ${axes}`);
    }
    const fixed = shape.find((size) => typeof size === "number");
    if (fixed !== undefined) throw unsupported(name, `fixes a size at ${fixed}: it has to be free`);
  }
}

function requireLogits({ outputs }: GraphModel): "float32" | "float16" {
  const logits = outputs.find(({ name }) => name === "logits");
  if (logits === undefined) throw unsupported("logits", "is missing: this is no decoder of tokens");
  if (logits.elementType === FLOAT) return "float32";
  if (logits.elementType === FLOAT16) return "float16";
  throw unsupported("logits", `has element type ${logits.elementType}, not float or float16`);
}

function unsupported(name: string, what: string): EnclaveError {
  return new EnclaveError("model/unsupported", `${JSON.stringify(name)} ${what}`, { param: name });
}
