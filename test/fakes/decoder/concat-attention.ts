/** Attention as torch.onnx writes it: the whole cache is made anew by Concat in every step. */
import {
  capped,
  floats,
  fromSingle,
  outputProjection,
  plainNorm,
  projections,
  scalar,
  toSingle,
} from "./layers.ts";
import type { Build } from "./layers.ts";
import type { DecoderSpec } from "./spec.ts";

/** What the layers share. */
export interface ConcatShared {
  /** [batch, 1, sequence, total]: zero or the most negative number. */
  readonly mask: string;
  readonly slidingMask: string;
  readonly rotation: Rotation;
  readonly slidingRotation: Rotation;
}

/** Cosines and sines, [batch, 1, sequence, rotary part of headDim]. */
interface Rotation {
  readonly cos: string;
  readonly sin: string;
}

const BOOL = { to: 9 };

export function slidesIn(build: Build, layer: number): boolean {
  return build.spec.window !== null && build.traits.slides(layer);
}

/** How many values of each head rotate. */
export function rotaryDim({ headDim }: DecoderSpec, part: number): number {
  return Math.floor(headDim * part);
}

/** Angle by which one position turns each pair of values. */
export function inverseFrequencies(dimension: number, theta: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: dimension / 2 }, (_, i) => theta ** ((-2 * i) / dimension));
}

export function concatShared(build: Build): ConcatShared {
  const { writer, spec, traits } = build;
  writer.scope = "/model";
  // Positions by index: the cache comes first, then what is new.
  const past = sizeOf(build, "past_key_values.0.key", 2);
  const sequence = sizeOf(build, "input_ids", 1);
  const total = writer.op("Add", [past, sequence]);
  const one = writer.int64(1);
  const queries = writer.op("Unsqueeze", [
    writer.op("Range", [past, total, one]),
    writer.int64([1]),
  ]);
  const keys = writer.op("Unsqueeze", [
    writer.op("Range", [writer.int64(0), total, one]),
    writer.int64([0]),
  ]);
  const causal = writer.op("LessOrEqual", [keys, queries]);
  const present = writer.op("Unsqueeze", [
    writer.op("Cast", ["attention_mask"], BOOL),
    writer.int64([1, 2]),
  ]);
  const additive = (allowed: string): string => {
    const lowest = build.float === "FP32" ? -3.4028234663852886e38 : -65504;
    const both = writer.op("And", [allowed, present]);
    return writer.op("Where", [both, scalar(build, 0), scalar(build, lowest)]);
  };
  const mask = additive(causal);
  const rotation = rotations(build, traits.theta.global);
  const slidingRotation =
    traits.theta.local === traits.theta.global ? rotation : rotations(build, traits.theta.local);
  if (spec.window === null) return { mask, slidingMask: mask, rotation, slidingRotation };
  const first = writer.op("Sub", [queries, writer.int64(spec.window)]);
  const near = writer.op("Greater", [keys, first]);
  const slidingMask = additive(writer.op("And", [causal, near]));
  return { mask, slidingMask, rotation, slidingRotation };
}

function sizeOf({ writer }: Build, value: string, axis: number): string {
  return writer.op("Gather", [writer.op("Shape", [value]), writer.int64(axis)]);
}

function rotations(build: Build, theta: number): Rotation {
  const { writer, spec, traits } = build;
  const dimension = rotaryDim(spec, traits.rotary);
  const frequencies = writer.initializer(
    `${writer.scope}/rotary_emb/inv_freq_${theta}`,
    "FP32",
    [1, 1, dimension / 2],
    inverseFrequencies(dimension, theta),
  );
  const positions = writer.op(
    "Cast",
    [writer.op("Unsqueeze", ["position_ids", writer.int64([2])])],
    { to: 1 },
  );
  const angles = writer.op("MatMul", [positions, frequencies]);
  const twice = writer.op("Concat", [angles, angles], { axis: -1 });
  const over = (type: string): string =>
    writer.op("Unsqueeze", [fromSingle(build, writer.op(type, [twice])), writer.int64([1])]);
  return { cos: over("Cos"), sin: over("Sin") };
}

export function concatAttention(
  build: Build,
  x: string,
  layer: number,
  shared: ConcatShared,
): string {
  const { writer, spec, traits } = build;
  const { heads, kvHeads, headDim } = spec;
  const slides = slidesIn(build, layer);
  // Gemma 3 turns its sliding layers otherwise, however far they see.
  const rotation = traits.slides(layer) ? shared.slidingRotation : shared.rotation;
  const name = `model.layers.${layer}.self_attn`;
  const [q, k, v] = projections(build, x, layer);
  // 1. [batch, sequence, heads, headDim], normed and turned, to [batch, heads, sequence, headDim].
  const split = (value: string, count: number): string =>
    writer.op("Reshape", [value, writer.int64([0, 0, count, headDim])]);
  const normed = (value: string, part: string): string =>
    traits.queryNorm ? plainNorm(build, value, `${name}.${part}`, headDim) : value;
  const across = (value: string): string => writer.op("Transpose", [value], { perm: [0, 2, 1, 3] });
  const query = turned(build, across(normed(split(q, heads), "q_norm")), rotation);
  const key = turned(build, across(normed(split(k, kvHeads), "k_norm")), rotation);
  const value = across(split(v, kvHeads));
  // 2. The cache grows.
  const past = `past_key_values.${layer}`;
  const keys = writer.op("Concat", [`${past}.key`, key], { axis: 2 }, `present.${layer}.key`);
  const values = writer.op(
    "Concat",
    [`${past}.value`, value],
    { axis: 2 },
    `present.${layer}.value`,
  );
  // 3. Scores, over single precision.
  const scores = writer.op("MatMul", [
    query,
    writer.op("Transpose", [repeated(build, keys)], { perm: [0, 1, 3, 2] }),
  ]);
  const scaled = writer.op("Mul", [scores, scalar(build, 1 / Math.sqrt(headDim))]);
  const bent = traits.caps === null ? scaled : capped(build, scaled, traits.caps.attention);
  const masked = writer.op("Add", [bent, slides ? shared.slidingMask : shared.mask]);
  const chances = fromSingle(build, writer.op("Softmax", [toSingle(build, masked)], { axis: -1 }));
  const read = across(writer.op("MatMul", [chances, repeated(build, values)]));
  const flat = writer.op("Reshape", [read, writer.int64([0, 0, heads * headDim])]);
  return outputProjection(build, flat, layer);
}

/** Rotary position embedding: of each pair (i, i + half), within the part that rotates. */
function turned(build: Build, value: string, { cos, sin }: Rotation): string {
  const { writer, spec, traits } = build;
  const dimension = rotaryDim(spec, traits.rotary);
  const axis = writer.int64([3]);
  const cut = (of: string, start: number, end: number): string =>
    writer.op("Slice", [of, writer.int64([start]), writer.int64([end]), axis]);
  const part = dimension === spec.headDim ? value : cut(value, 0, dimension);
  const half = dimension / 2;
  const second = writer.op("Neg", [cut(part, half, dimension)]);
  const swapped = writer.op("Concat", [second, cut(part, 0, half)], { axis: -1 });
  const turn = writer.op("Add", [writer.op("Mul", [part, cos]), writer.op("Mul", [swapped, sin])]);
  if (dimension === spec.headDim) return turn;
  return writer.op("Concat", [turn, cut(value, dimension, spec.headDim)], { axis: -1 });
}

/** Each key or value head once for every query head of its group. */
function repeated({ writer, spec }: Build, value: string): string {
  const { heads, kvHeads, headDim } = spec;
  const group = heads / kvHeads;
  if (group === 1) return value;
  const shape = writer.op("Shape", [value]);
  const part = (axis: number): string => writer.op("Gather", [shape, writer.int64([axis])]);
  const apart = writer.op("Unsqueeze", [value, writer.int64([2])]);
  const wide = writer.op(
    "Concat",
    [part(0), writer.int64([kvHeads, group]), part(2), writer.int64([headDim])],
    { axis: 0 },
  );
  const copies = writer.op("Expand", [apart, wide]);
  const together = writer.op(
    "Concat",
    [part(0), writer.int64([heads]), part(2), writer.int64([headDim])],
    { axis: 0 },
  );
  return writer.op("Reshape", [copies, together]);
}

/** The constant tables that GroupQueryAttention and RotaryEmbedding read: [positions, rotary / 2]. */
export function rotaryTables(build: Build, theta: number): Rotation {
  const { spec, traits } = build;
  const dimension = rotaryDim(spec, traits.rotary);
  const frequencies = inverseFrequencies(dimension, theta);
  const table = (name: string, of: (angle: number) => number): string => {
    const values = Float32Array.from({ length: spec.context * frequencies.length }, (_, i) =>
      of(
        Math.fround(
          Math.floor(i / frequencies.length) * (frequencies[i % frequencies.length] ?? 0),
        ),
      ),
    );
    return floats(build, `${name}_${theta}`, [spec.context, frequencies.length], values);
  };
  return { cos: table("cos_cache", Math.cos), sin: table("sin_cache", Math.sin) };
}
