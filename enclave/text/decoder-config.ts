/**
 * What `config.json` and `generation_config.json` say of a decoder-only model, as far as we act on it.
 */
import type { SamplingDefaults } from "./model.ts";
import {
  booleanAt,
  integerAt,
  isList,
  listAt,
  memberAt,
  numberAt,
  requireInteger,
  type Section,
  sectionAt,
  textAt,
  wrong,
} from "./model-json.ts";

export interface DecoderSettings {
  /** Tokens of prompt and answer together. */
  readonly contextLength: number;
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Whether a layer sees fewer tokens than the context has. */
  readonly slidingWindow: boolean;
  /** Rows of the logits; tokenizers may fill fewer. */
  readonly vocabularySize: number;
  /** Every token that one of the two files names as the end of an answer. */
  readonly endTokens: readonly number[];
  readonly defaults: SamplingDefaults;
}

/**
 * Architectures whose cache is one key and one value tensor a layer, [batch, heads, tokens, width].
 * The value says where its window slides: always if there is a size, or only if a flag says so too.
 */
const ARCHITECTURES: ReadonlyMap<string, "by-size" | "by-flag" | "never"> = new Map([
  ["gemma", "never"],
  ["gemma2", "by-size"],
  ["gemma3_text", "by-size"],
  ["llama", "never"],
  ["mistral", "by-size"],
  ["phi", "never"],
  ["phi3", "by-size"],
  ["qwen2", "by-flag"],
  ["qwen3", "by-flag"],
  ["smollm3", "by-flag"],
]);
/** Rotary position embeddings whose angles are the same whatever the length of the text. */
const FIXED_ROPE = ["default", "linear", "llama3", "yarn"];
/** Those that change where a text passes the original length: cached keys would be of the old angles. */
const CHANGING_ROPE = ["dynamic", "longrope", "su"];

const MAX_LAYERS = 512;
const MAX_HEADS = 1024;
const MAX_WIDTH = 2 ** 20;
export const MAX_VOCABULARY = 1_048_576;
const MAX_CONTEXT = 2 ** 22;

/** Whether a model of this type is one that we continue text with. */
export function isDecoder(modelType: string): boolean {
  return ARCHITECTURES.has(modelType);
}

/** @throws {@link EnclaveError} `model/config` with the field's name. */
export function readDecoderSettings(config: Section, generation: Section | null): DecoderSettings {
  const modelType = requireDecoder(config);
  const heads = requireInteger(config, "num_attention_heads", 1, MAX_HEADS);
  const kvHeads = integerAt(config, "num_key_value_heads", 1, heads) ?? heads;
  if (heads % kvHeads !== 0) {
    throw wrong(config, "num_key_value_heads", `${kvHeads} does not divide ${heads} heads`);
  }
  const vocabularySize = requireInteger(config, "vocab_size", 2, MAX_VOCABULARY);
  const contextLength = readContextLength(config);
  return {
    contextLength,
    layers: requireInteger(config, "num_hidden_layers", 1, MAX_LAYERS),
    kvHeads,
    headDim: readHeadDim(config, heads),
    slidingWindow: slides(config, modelType, contextLength),
    vocabularySize,
    endTokens: readEndTokens(config, generation, vocabularySize),
    defaults: generation === null ? OPENAI_DEFAULTS : readDefaults(generation),
  };
}

function requireDecoder(config: Section): string {
  const modelType = textAt(config, "model_type");
  if (modelType === null) throw wrong(config, "model_type", "is missing");
  if (!isDecoder(modelType)) {
    const known = [...ARCHITECTURES.keys()].join(", ");
    throw wrong(config, "model_type", `is "${modelType.slice(0, 64)}", want one of ${known}`);
  }
  return modelType;
}

function readHeadDim(config: Section, heads: number): number {
  const headDim = integerAt(config, "head_dim", 1, MAX_WIDTH);
  if (headDim !== null) return headDim;
  const hidden = requireInteger(config, "hidden_size", 1, MAX_WIDTH);
  if (hidden % heads !== 0) {
    throw wrong(config, "hidden_size", `${hidden} is no multiple of ${heads} heads`);
  }
  return hidden / heads;
}

/** The length that the model knows; where rotary angles change on the way, the length before that. */
function readContextLength(config: Section): number {
  const length = requireInteger(config, "max_position_embeddings", 1, MAX_CONTEXT);
  const rope = sectionAt(config, "rope_scaling") ?? sectionAt(config, "rope_parameters");
  if (rope === null) return length;
  const type = textAt(rope, "rope_type") ?? textAt(rope, "type") ?? "default";
  if (FIXED_ROPE.includes(type)) return length;
  if (!CHANGING_ROPE.includes(type)) throw wrong(rope, "rope_type", `"${type}" is not known`);
  const original =
    integerAt(rope, "original_max_position_embeddings", 1, MAX_CONTEXT) ??
    integerAt(config, "original_max_position_embeddings", 1, MAX_CONTEXT);
  return Math.min(length, original ?? length);
}

function slides(config: Section, modelType: string, contextLength: number): boolean {
  const rule = ARCHITECTURES.get(modelType);
  const window = integerAt(config, "sliding_window", 1, MAX_CONTEXT);
  if (rule === "never" || window === null || window >= contextLength) return false;
  if (rule === "by-flag" && booleanAt(config, "use_sliding_window") !== true) return false;
  const types = listAt(config, "layer_types");
  return types === null || types.includes("sliding_attention");
}

/** One id or a list of them, in either file. */
function readEndTokens(
  config: Section,
  generation: Section | null,
  vocabularySize: number,
): readonly number[] {
  const ids = new Set<number>();
  for (const section of generation === null ? [config] : [generation, config]) {
    const value = memberAt(section, "eos_token_id");
    if (value === null) continue;
    for (const id of isList(value) ? value : [value]) {
      if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= vocabularySize) {
        throw wrong(section, "eos_token_id", `is no token below ${vocabularySize}`);
      }
      ids.add(id);
    }
  }
  return [...ids];
}

/** What OpenAI's API does where a request says nothing. */
const OPENAI_DEFAULTS: SamplingDefaults = {
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
};

/** The model's own word where it has one; `do_sample: false` is a temperature of 0. */
function readDefaults(generation: Section): SamplingDefaults {
  const greedy = booleanAt(generation, "do_sample") === false;
  const temperature = numberAt(generation, "temperature", 0, 2) ?? OPENAI_DEFAULTS.temperature;
  const topP = numberAt(generation, "top_p", 0, 1) ?? OPENAI_DEFAULTS.topP;
  if (topP === 0) throw wrong(generation, "top_p", "is 0, which leaves no token");
  const repetitionPenalty = numberAt(generation, "repetition_penalty", 0, 100) ?? 1;
  if (repetitionPenalty === 0) throw wrong(generation, "repetition_penalty", "is 0");
  return {
    temperature: greedy ? 0 : temperature,
    topP,
    topK: integerAt(generation, "top_k", 0, MAX_VOCABULARY) ?? OPENAI_DEFAULTS.topK,
    minP: numberAt(generation, "min_p", 0, 1) ?? OPENAI_DEFAULTS.minP,
    repetitionPenalty,
  };
}
