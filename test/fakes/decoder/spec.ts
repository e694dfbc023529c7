/** What a made-up decoder looks like, and what each architecture does in its own way. */

export type Architecture =
  "llama" | "mistral" | "qwen2" | "qwen3" | "gemma" | "gemma2" | "gemma3_text" | "phi" | "phi3";

export interface DecoderSpec {
  readonly architecture: Architecture;
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  /** The same as `heads` for phi, which knows no groups. */
  readonly kvHeads: number;
  readonly headDim: number;
  readonly intermediate: number;
  /** Rows of the embedding; a few ids at its end have no token, as padded vocabularies have. */
  readonly vocabulary: number;
  readonly context: number;
  /** Tokens a sliding layer looks back on, itself among them; null: none slides. */
  readonly window: number | null;
  /** concat: as optimum writes; gqa: as ONNX Runtime's model builder and onnx-community write. */
  readonly form: "concat" | "gqa";
  /**
   * q8 and q4: MatMulNBits in blocks of 32; int8: DynamicQuantizeLinear and MatMulInteger; q4f16: q4
   * with all else, the cache too, in 16 bits.
   */
  readonly weights: "fp32" | "fp16" | "q8" | "q4" | "q4f16" | "int8";
  /** Large weights in `onnx/*.onnx_data`. */
  readonly external: boolean;
  /** Whether the graph has the input num_logits_to_keep, as transformers.js asks of newer exports. */
  readonly logitsToKeep: boolean;
  /** Of every weight: the same seed gives the same weights in every form and type. */
  readonly seed: number;
}

export const DEFAULT_SPEC: DecoderSpec = {
  architecture: "llama",
  layers: 2,
  hidden: 64,
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  intermediate: 128,
  vocabulary: 384,
  context: 512,
  window: null,
  form: "concat",
  weights: "fp32",
  external: false,
  logitsToKeep: false,
  seed: 1,
};

/** How an architecture differs from Llama. */
export interface Traits {
  readonly bias: "none" | "qkv" | "all";
  /** Keys and queries are normalised, each head by itself. */
  readonly queryNorm: boolean;
  /** The norm: RMS, RMS with one added to its weights, or with mean and bias. */
  readonly norm: "rms" | "rms-plus-one" | "layer";
  readonly activation: "silu" | "gelu-tanh";
  /** gate: two products in, one multiplied by the activation of the other; plain: one. */
  readonly mlp: "gate" | "plain";
  /** q, k and v are one matrix, gate and up another. */
  readonly fused: boolean;
  /** Norms after attention and MLP too. */
  readonly postNorms: boolean;
  /** Attention and MLP read the same norm and are added together. */
  readonly parallel: boolean;
  /** Part of each head that rotates. */
  readonly rotary: number;
  /** The embedding is multiplied by the root of the hidden size. */
  readonly scaledEmbedding: boolean;
  /** Logits are products with the embedding itself. */
  readonly tied: boolean;
  /** The largest absolute value of attention scores and of logits, by tanh. */
  readonly caps: { readonly attention: number; readonly logits: number } | null;
  /** Which layers slide, if any do. */
  readonly slides: (layer: number) => boolean;
  readonly epsilon: number;
  /** Base of the rotation's frequencies; `local` in the layers that slide. */
  readonly theta: { readonly global: number; readonly local: number };
}

const LLAMA: Traits = {
  bias: "none",
  queryNorm: false,
  norm: "rms",
  activation: "silu",
  mlp: "gate",
  fused: false,
  postNorms: false,
  parallel: false,
  rotary: 1,
  scaledEmbedding: false,
  tied: false,
  caps: null,
  slides: () => true,
  epsilon: 1e-5,
  theta: { global: 10_000, local: 10_000 },
};

const GEMMA: Traits = {
  ...LLAMA,
  norm: "rms-plus-one",
  activation: "gelu-tanh",
  scaledEmbedding: true,
  tied: true,
  epsilon: 1e-6,
};

export const TRAITS: Readonly<Record<Architecture, Traits>> = {
  llama: LLAMA,
  mistral: LLAMA,
  qwen2: { ...LLAMA, bias: "qkv", epsilon: 1e-6, theta: { global: 1e6, local: 1e6 } },
  qwen3: { ...LLAMA, queryNorm: true, epsilon: 1e-6, theta: { global: 1e6, local: 1e6 } },
  gemma: GEMMA,
  gemma2: {
    ...GEMMA,
    postNorms: true,
    caps: { attention: 50, logits: 30 },
    slides: (layer) => layer % 2 === 0,
  },
  gemma3_text: {
    ...GEMMA,
    postNorms: true,
    queryNorm: true,
    slides: (layer) => layer % 2 === 0,
    theta: { global: 1e6, local: 10_000 },
  },
  phi: {
    ...LLAMA,
    bias: "all",
    norm: "layer",
    activation: "gelu-tanh",
    mlp: "plain",
    parallel: true,
    rotary: 0.5,
  },
  phi3: { ...LLAMA, fused: true },
};
