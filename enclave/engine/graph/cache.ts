/** The key-value cache of a decoder, as its graph declares it. */
import { EnclaveError } from "../../errors.ts";
import type { Dimension, GraphModel, GraphValue } from "./model.ts";
import { FLOAT, FLOAT16 } from "./parts.ts";

/** As optimum and onnx-community name a layer's cache; `present_key_values` as older ones did. */
const PAST = /^past_key_values\.(\d{1,3})\.(key|value)$/u;
const PRESENT = /^present(?:_key_values)?\.(\d{1,3})\.(key|value)$/u;
/** Anything else that begins like a cache is a cache that we do not keep. */
const CACHE_LIKE = /^(?:past|present|cache)/u;

/** [batch, heads, positions, headDim]. */
const AXES = 4;
const AXIS_BATCH = 0;
const AXIS_HEADS = 1;
const AXIS_POSITIONS = 2;
const AXIS_SIZE = 3;

/** Names of one layer's inputs and outputs. */
export interface LayerCache {
  readonly pastKey: string;
  readonly pastValue: string;
  readonly presentKey: string;
  readonly presentValue: string;
}

export interface Cache {
  readonly layers: readonly LayerCache[];
  readonly kvHeads: number;
  readonly headDim: number;
  readonly cacheType: "float32" | "float16";
}

type Part = "key" | "value";

/**
 * Every layer's cache, all of one shape and type.
 *
 * @throws {@link EnclaveError} `model/cache`, with the name of the first input or output at fault.
 */
export function readCache(model: GraphModel): Cache {
  const past = named(model.inputs, PAST);
  const present = named(model.outputs, PRESENT);
  const first = past.get("0.key");
  if (first === undefined) {
    throw cacheError("past_key_values.0.key", "is missing: the graph has no key-value cache");
  }
  const { kvHeads, headDim } = sizesOf(first);
  const layers: LayerCache[] = [];
  for (let layer = 0; 2 * layer < past.size; layer++) {
    const take = (side: ReadonlyMap<string, GraphValue>, part: Part, wanted: string): string => {
      const value = side.get(`${layer}.${part}`);
      if (value === undefined) throw cacheError(`${wanted}.${layer}.${part}`, "is missing");
      requireAlike(value, first, side === past);
      return value.name;
    };
    layers.push({
      pastKey: take(past, "key", "past_key_values"),
      pastValue: take(past, "value", "past_key_values"),
      presentKey: take(present, "key", "present"),
      presentValue: take(present, "value", "present"),
    });
  }
  for (const [key, { name }] of present) {
    if (!past.has(key)) throw cacheError(name, "has no past_key_values to go with");
  }
  return { layers, kvHeads, headDim, cacheType: cacheTypeOf(first) };
}

/** The values whose names are a cache's, by `layer.part`. */
function named(values: readonly GraphValue[], pattern: RegExp): Map<string, GraphValue> {
  const found = new Map<string, GraphValue>();
  for (const value of values) {
    const [, layer = "", part = ""] = pattern.exec(value.name) ?? [];
    if (part !== "") {
      const key = `${Number(layer)}.${part}`;
      if (found.has(key)) throw cacheError(value.name, "is there twice");
      found.set(key, value);
    } else if (CACHE_LIKE.test(value.name)) {
      throw cacheError(value.name, "is not a cache of decoder-only attention");
    }
  }
  return found;
}

function sizesOf(value: GraphValue): { readonly kvHeads: number; readonly headDim: number } {
  const shape = shapeOf(value);
  const [kvHeads, headDim] = [shape[AXIS_HEADS], shape[AXIS_SIZE]];
  if (typeof kvHeads !== "number" || typeof headDim !== "number" || kvHeads * headDim === 0) {
    throw cacheError(value.name, "does not say how many heads it has, and of what size");
  }
  return { kvHeads, headDim };
}

function shapeOf({ name, shape }: GraphValue): readonly Dimension[] {
  if (shape?.length !== AXES) {
    throw cacheError(name, `has ${shape?.length ?? "no"} axes, not batch, heads, positions, size`);
  }
  return shape;
}

/** An output may leave sizes open: exporters often do not know them. */
function requireAlike(value: GraphValue, first: GraphValue, isInput: boolean): void {
  if (value.elementType !== first.elementType) {
    throw cacheError(value.name, `is not of the element type of ${first.name}`);
  }
  if (!isInput && value.shape === null) return;
  const [shape, wanted] = [shapeOf(value), shapeOf(first)];
  for (const axis of [AXIS_HEADS, AXIS_SIZE]) {
    const size = shape[axis];
    const open = !isInput && typeof size !== "number";
    if (size !== wanted[axis] && !open) {
      throw cacheError(
        value.name,
        `has ${size ?? "?"} on axis ${axis}, not ${wanted[axis] ?? "?"}`,
      );
    }
  }
  for (const axis of [AXIS_BATCH, AXIS_POSITIONS]) {
    if (typeof shape[axis] === "number") {
      throw cacheError(value.name, `fixes axis ${axis} at ${shape[axis]}: it has to be free`);
    }
  }
}

function cacheTypeOf({ name, elementType }: GraphValue): Cache["cacheType"] {
  if (elementType === FLOAT) return "float32";
  if (elementType === FLOAT16) return "float16";
  throw cacheError(name, `has element type ${elementType}, not float or float16`);
}

export function cacheError(name: string, what: string): EnclaveError {
  return new EnclaveError("model/cache", `${JSON.stringify(name)} ${what}`, { param: name });
}
