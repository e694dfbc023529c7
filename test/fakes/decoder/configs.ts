/** config.json and generation_config.json, as each architecture's own look on the hub. */
import { TRAITS } from "./spec.ts";
import type { DecoderSpec } from "./spec.ts";
import { specialIds } from "./tokenizer.ts";

/** What the larger windows of the Gemmas are where none was asked for. */
const WIDE_WINDOW = 4096;

const CLASSES = {
  llama: "LlamaForCausalLM",
  mistral: "MistralForCausalLM",
  qwen2: "Qwen2ForCausalLM",
  qwen3: "Qwen3ForCausalLM",
  gemma: "GemmaForCausalLM",
  gemma2: "Gemma2ForCausalLM",
  gemma3_text: "Gemma3ForCausalLM",
  phi: "PhiForCausalLM",
  phi3: "Phi3ForCausalLM",
} as const satisfies Record<DecoderSpec["architecture"], string>;

/** Members that are floats even where they are whole: transformers is strict about it. */
const FLOATS =
  /("(?:\w+_softcapping|rope_theta|rope_local_base_freq|partial_rotary_factor|attention_dropout)": \d+)(?=,?$)/gmu;

/** JSON as the hub has it: Python writes whole floats with their point. */
export function configText(config: object): string {
  return `${JSON.stringify(config, null, 2).replaceAll(FLOATS, "$1.0")}\n`;
}

export function configOf(spec: DecoderSpec): object {
  const traits = TRAITS[spec.architecture];
  const ids = specialIds(spec.vocabulary);
  return {
    architectures: [CLASSES[spec.architecture]],
    attention_dropout: 0,
    bos_token_id: ids.endOfText,
    eos_token_id: ids.turnEnd,
    pad_token_id: ids.endOfText,
    hidden_size: spec.hidden,
    initializer_range: 0.02,
    intermediate_size: spec.intermediate,
    max_position_embeddings: spec.context,
    model_type: spec.architecture,
    num_attention_heads: spec.heads,
    num_hidden_layers: spec.layers,
    num_key_value_heads: spec.kvHeads,
    rope_theta: traits.theta.global,
    tie_word_embeddings: traits.tied,
    torch_dtype: "float32",
    use_cache: true,
    vocab_size: spec.vocabulary,
    ...ownMembers(spec),
  };
}

function ownMembers(spec: DecoderSpec): object {
  const { epsilon, theta } = TRAITS[spec.architecture];
  const rms = { rms_norm_eps: epsilon };
  const gelu = { hidden_act: "gelu_pytorch_tanh", hidden_activation: "gelu_pytorch_tanh" };
  switch (spec.architecture) {
    case "llama":
      return {
        ...rms,
        hidden_act: "silu",
        head_dim: spec.headDim,
        attention_bias: false,
        mlp_bias: false,
        rope_scaling: null,
      };
    case "mistral":
      return { ...rms, hidden_act: "silu", head_dim: spec.headDim, sliding_window: spec.window };
    case "qwen2":
      return {
        ...rms,
        hidden_act: "silu",
        use_sliding_window: spec.window !== null,
        sliding_window: spec.window ?? WIDE_WINDOW,
        max_window_layers: spec.window === null ? spec.layers : 0,
      };
    case "qwen3":
      return {
        ...rms,
        hidden_act: "silu",
        head_dim: spec.headDim,
        attention_bias: false,
        use_sliding_window: spec.window !== null,
        sliding_window: spec.window,
        max_window_layers: spec.window === null ? spec.layers : 0,
      };
    case "gemma":
      return { ...rms, ...gelu, head_dim: spec.headDim };
    case "gemma2":
      return {
        ...rms,
        ...gelu,
        head_dim: spec.headDim,
        attn_logit_softcapping: TRAITS.gemma2.caps?.attention,
        final_logit_softcapping: TRAITS.gemma2.caps?.logits,
        query_pre_attn_scalar: spec.headDim,
        sliding_window: spec.window ?? WIDE_WINDOW,
        cache_implementation: "hybrid",
      };
    case "gemma3_text":
      return {
        ...rms,
        ...gelu,
        head_dim: spec.headDim,
        attn_logit_softcapping: null,
        final_logit_softcapping: null,
        query_pre_attn_scalar: spec.headDim,
        rope_local_base_freq: theta.local,
        sliding_window: spec.window ?? WIDE_WINDOW,
        sliding_window_pattern: 2,
        layer_types: Array.from({ length: spec.layers }, (_, layer) =>
          TRAITS.gemma3_text.slides(layer) ? "sliding_attention" : "full_attention",
        ),
      };
    case "phi":
      return {
        hidden_act: "gelu_new",
        layer_norm_eps: epsilon,
        partial_rotary_factor: TRAITS.phi.rotary,
        qk_layernorm: false,
        rope_scaling: null,
      };
    case "phi3":
      return {
        ...rms,
        hidden_act: "silu",
        original_max_position_embeddings: spec.context,
        partial_rotary_factor: 1,
        rope_scaling: null,
        sliding_window: spec.window ?? WIDE_WINDOW,
      };
    default:
      return spec.architecture satisfies never;
  }
}

export function generationConfigOf(spec: DecoderSpec): object {
  const ids = specialIds(spec.vocabulary);
  return {
    bos_token_id: ids.endOfText,
    do_sample: true,
    eos_token_id: [ids.turnEnd, ids.endOfText],
    pad_token_id: ids.endOfText,
    temperature: 0.7,
    top_k: 40,
    top_p: 0.95,
    transformers_version: "4.51.0",
  };
}
