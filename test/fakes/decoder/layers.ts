/** The pieces that every decoder is made of, in the graph of either form. */
import type { GraphWriter } from "./graph-writer.ts";
import type { DecoderSpec, Traits } from "./spec.ts";
import {
  BLOCK,
  quantizedBlocks,
  quantizedWhole,
  randomWeights,
  toFloat16,
  transposed,
} from "./weights.ts";

export interface Build {
  readonly writer: GraphWriter;
  readonly spec: DecoderSpec;
  readonly traits: Traits;
  /** Of hidden states and cache. */
  readonly float: "FP32" | "FP16";
}

/** Most of what MatMulNBits computes in: 4 is 8-bit integers, as onnx-community asks for. */
const ACCURACY_LEVEL = 4;
const CAST_FLOAT = { to: 1 };
const CAST_FLOAT16 = { to: 10 };

/** The lists of floats that a graph has in its own float type. */
export function floats(
  { writer, float }: Build,
  name: string,
  shape: readonly number[],
  values: Float32Array<ArrayBuffer>,
): string {
  return writer.initializer(name, float, shape, float === "FP32" ? values : toFloat16(values));
}

/** A constant scalar in the graph's float type. */
export function scalar(build: Build, value: number): string {
  const single = build.writer.float(value);
  return build.float === "FP32" ? single : build.writer.op("Cast", [single], CAST_FLOAT16);
}

export function toSingle({ writer, float }: Build, value: string): string {
  return float === "FP32" ? value : writer.op("Cast", [value], CAST_FLOAT);
}

export function fromSingle({ writer, float }: Build, value: string): string {
  return float === "FP32" ? value : writer.op("Cast", [value], CAST_FLOAT16);
}

/** `value[..., start:end]`. */
export function lastAxis(writer: GraphWriter, value: string, start: number, end: number): string {
  const [from, to, axis] = [writer.int64([start]), writer.int64([end]), writer.int64([-1])];
  return writer.op("Slice", [value, from, to, axis]);
}

/**
 * x · Wᵀ, and the bias if `biased`.
 *
 * @param name - as PyTorch has it, without `.weight`; what begins with it names the random weights.
 * @param gain - the deviation of what comes out, for inputs of deviation one.
 */
export function linear(
  build: Build,
  x: string,
  name: string,
  [outputs, inputs]: readonly [number, number],
  biased: boolean,
  gain = 1,
): string {
  const { writer, spec, traits } = build;
  const tied = name === "lm_head" && traits.tied;
  const rows = tied
    ? embeddingRows(build)
    : randomWeights(spec.seed, `${name}.weight`, outputs * inputs, gain / Math.sqrt(inputs));
  const product = multiply(build, x, name, [outputs, inputs], rows);
  if (!biased) return product;
  const bias = randomWeights(spec.seed, `${name}.bias`, outputs, 0.2);
  return writer.op("Add", [floats(build, `${name}.bias`, [outputs], bias), product]);
}

function multiply(
  build: Build,
  x: string,
  name: string,
  [outputs, inputs]: readonly [number, number],
  rows: Float32Array<ArrayBuffer>,
): string {
  const { writer, spec } = build;
  switch (spec.weights) {
    case "fp32":
    case "fp16": {
      const weight = floats(
        build,
        `${name}.MatMul.weight`,
        [inputs, outputs],
        transposed(rows, outputs),
      );
      return writer.op("MatMul", [x, weight]);
    }
    case "q8":
    case "q4":
    case "q4f16": {
      const bits = spec.weights === "q8" ? 8 : 4;
      const { packed, scales } = quantizedBlocks(rows, outputs, bits);
      const blocks = Math.ceil(inputs / BLOCK);
      const shape = [outputs, blocks, (BLOCK * bits) / 8];
      const weight = writer.initializer(`${name}.MatMul.weight_Q${bits}`, "UINT8", shape, packed);
      const scale = floats(build, `${name}.MatMul.weight_scales`, [outputs * blocks], scales);
      return writer.op("com.microsoft.MatMulNBits", [x, weight, scale], {
        K: inputs,
        N: outputs,
        bits,
        block_size: BLOCK,
        accuracy_level: ACCURACY_LEVEL,
      });
    }
    case "int8":
      return dynamicProduct(writer, x, name, [outputs, inputs], rows);
    default:
      return spec.weights satisfies never;
  }
}

/** optimum's dynamic quantisation: one scale for all rows of all sequences that share the run. */
function dynamicProduct(
  writer: GraphWriter,
  x: string,
  name: string,
  [outputs, inputs]: readonly [number, number],
  rows: Float32Array<ArrayBuffer>,
): string {
  const { levels, scale } = quantizedWhole(transposed(rows, outputs));
  const weight = writer.initializer(
    `${name}.MatMul.weight_quantized`,
    "INT8",
    [inputs, outputs],
    levels,
  );
  const zero = writer.initializer(`${name}.MatMul.weight_zero_point`, "INT8", [], new Int8Array(1));
  const quantized = ["x", "scale", "zero_point"].map((part) => `${writer.scope}/${name}_${part}`);
  const [values = "", scales = "", zeros = ""] = quantized;
  writer.node("DynamicQuantizeLinear", [x], [values, scales, zeros]);
  const sum = writer.op("MatMulInteger", [values, weight, zeros, zero]);
  const factor = writer.op("Mul", [scales, writer.float(scale)]);
  return writer.op("Mul", [writer.op("Cast", [sum], CAST_FLOAT), factor]);
}

/** Of deviation one once they are scaled, where the architecture scales them. */
function embeddingRows({ spec, traits }: Build): Float32Array<ArrayBuffer> {
  const deviation = traits.scaledEmbedding ? 1 / Math.sqrt(spec.hidden) : 1;
  const count = spec.vocabulary * spec.hidden;
  return randomWeights(spec.seed, "model.embed_tokens.weight", count, deviation);
}

export function embedding(build: Build, ids: string): string {
  const { writer, spec, traits } = build;
  const shape = [spec.vocabulary, spec.hidden];
  const rows = floats(build, "model.embed_tokens.weight", shape, embeddingRows(build));
  const found = writer.op("Gather", [rows, ids]);
  if (!traits.scaledEmbedding) return found;
  return writer.op("Mul", [found, scalar(build, Math.sqrt(spec.hidden))]);
}

/**
 * The weights of a norm over `size` values.
 *
 * Larger in the last one, so that logits differ much; and, where the architecture has them, after
 * attention and MLP: else the token itself would outweigh all that the layers add, and answers that
 * are products with the embedding would repeat it. (For the same reason such architectures have
 * larger weights at the end of both.)
 */
export function normWeights(build: Build, name: string, size: number): Float32Array<ArrayBuffer> {
  const last = name === "model.norm" || name === "model.final_layernorm";
  const post = build.traits.postNorms && /post_(attention|feedforward)_layernorm$/u.test(name);
  const mean = last || post ? 3 : 1;
  const added = build.traits.norm === "rms-plus-one" ? 1 : 0;
  return randomWeights(build.spec.seed, `${name}.weight`, size, 0.2, mean - added);
}

/** A norm in single operations, as torch.onnx writes it. */
export function plainNorm(build: Build, x: string, name: string, size: number): string {
  const { writer, traits } = build;
  const weight = floats(build, `${name}.weight`, [size], normWeights(build, name, size));
  if (traits.norm === "layer") {
    const bias = randomWeights(build.spec.seed, `${name}.bias`, size, 0.2);
    const inputs = [x, weight, floats(build, `${name}.bias`, [size], bias)];
    return writer.op("LayerNormalization", inputs, {
      axis: -1,
      epsilon: { float: traits.epsilon },
    });
  }
  const single = toSingle(build, x);
  const square = writer.op("Pow", [single, writer.float(2)]);
  const mean = writer.op("ReduceMean", [square], { axes: [-1], keepdims: 1 });
  const root = writer.op("Sqrt", [writer.op("Add", [mean, writer.float(traits.epsilon)])]);
  const inverse = writer.op("Div", [writer.float(1), root]);
  const normed = fromSingle(build, writer.op("Mul", [single, inverse]));
  const factor =
    traits.norm === "rms-plus-one" ? writer.op("Add", [weight, scalar(build, 1)]) : weight;
  return writer.op("Mul", [factor, normed]);
}

export function activation(build: Build, x: string): string {
  const { writer, traits } = build;
  if (traits.activation === "silu") return writer.op("Mul", [x, writer.op("Sigmoid", [x])]);
  // x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))
  const cube = writer.op("Mul", [writer.op("Mul", [x, x]), x]);
  const inner = writer.op("Add", [x, writer.op("Mul", [cube, scalar(build, 0.044715)])]);
  const bent = writer.op("Tanh", [
    writer.op("Mul", [inner, scalar(build, Math.sqrt(2 / Math.PI))]),
  ]);
  const half = writer.op("Mul", [x, scalar(build, 0.5)]);
  return writer.op("Mul", [half, writer.op("Add", [bent, scalar(build, 1)])]);
}

/** `cap · tanh(x / cap)`. */
export function capped(build: Build, x: string, cap: number): string {
  const { writer } = build;
  const bent = writer.op("Tanh", [writer.op("Div", [x, scalar(build, cap)])]);
  return writer.op("Mul", [bent, scalar(build, cap)]);
}

export function mlp(build: Build, x: string, layer: number): string {
  const { writer, spec, traits } = build;
  const name = `model.layers.${layer}.mlp`;
  const { hidden, intermediate } = spec;
  if (traits.mlp === "plain") {
    const wide = activation(build, linear(build, x, `${name}.fc1`, [intermediate, hidden], true));
    return linear(build, wide, `${name}.fc2`, [hidden, intermediate], true, 2);
  }
  let gate: string;
  let up: string;
  if (traits.fused) {
    const both = linear(build, x, `${name}.gate_up_proj`, [2 * intermediate, hidden], false);
    gate = lastAxis(writer, both, 0, intermediate);
    up = lastAxis(writer, both, intermediate, 2 * intermediate);
  } else {
    gate = linear(build, x, `${name}.gate_proj`, [intermediate, hidden], false);
    up = linear(build, x, `${name}.up_proj`, [intermediate, hidden], false);
  }
  const wide = writer.op("Mul", [activation(build, gate), up]);
  return linear(
    build,
    wide,
    `${name}.down_proj`,
    [hidden, intermediate],
    false,
    traits.tied ? 8 : 3,
  );
}

/** The three projections of attention, each [batch, sequence, heads · headDim]. */
export function projections(
  build: Build,
  x: string,
  layer: number,
): readonly [query: string, key: string, value: string] {
  const { writer, spec, traits } = build;
  const { hidden } = spec;
  const name = `model.layers.${layer}.self_attn`;
  const [q, kv] = [spec.heads * spec.headDim, spec.kvHeads * spec.headDim];
  if (traits.fused) {
    const all = linear(build, x, `${name}.qkv_proj`, [q + 2 * kv, hidden], false);
    return [
      lastAxis(writer, all, 0, q),
      lastAxis(writer, all, q, q + kv),
      lastAxis(writer, all, q + kv, q + 2 * kv),
    ];
  }
  const biased = traits.bias !== "none";
  return [
    linear(build, x, `${name}.q_proj`, [q, hidden], biased),
    linear(build, x, `${name}.k_proj`, [kv, hidden], biased),
    linear(build, x, `${name}.v_proj`, [kv, hidden], biased),
  ];
}

export function outputProjection(build: Build, x: string, layer: number): string {
  const { spec, traits } = build;
  const part = traits.parallel ? "dense" : "o_proj";
  const size = [spec.hidden, spec.heads * spec.headDim] as const;
  const name = `model.layers.${layer}.self_attn.${part}`;
  return linear(build, x, name, size, traits.bias === "all", traits.tied ? 6 : 2);
}
