import { describe, expect, it } from "vitest";
import { type DecoderSettings, readDecoderSettings } from "../../../enclave/text/decoder-config.ts";
import { sectionOf } from "../../fakes/text-files.ts";
import type { Json } from "../../fakes/tokenizers.ts";

const SIZES = {
  hidden_size: 64,
  num_attention_heads: 4,
  num_hidden_layers: 2,
  vocab_size: 384,
  max_position_embeddings: 8192,
};

function read(
  config: Readonly<Record<string, Json>>,
  generation: Readonly<Record<string, Json>> | null = null,
): DecoderSettings {
  return readDecoderSettings(
    sectionOf({ ...SIZES, ...config }, "config.json", "model/config"),
    generation === null ? null : sectionOf(generation, "generation_config.json", "model/config"),
  );
}

describe("heads", () => {
  it("have the width that the configuration gives, or their share of the hidden size", () => {
    expect(read({ model_type: "llama" }).headDim).toBe(16);
    expect(read({ model_type: "qwen3", head_dim: 128 }).headDim).toBe(128);
    expect(read({ model_type: "qwen3", head_dim: 128, hidden_size: 65 }).headDim).toBe(128);
  });

  it("share keys and values where it says so", () => {
    expect(read({ model_type: "phi", num_key_value_heads: null }).kvHeads).toBe(4);
    expect(read({ model_type: "llama", num_key_value_heads: 1 }).kvHeads).toBe(1);
  });
});

describe("the sliding window", () => {
  it.each<[string, Readonly<Record<string, Json>>, boolean]>([
    ["of llama, which has none", { model_type: "llama", sliding_window: 16 }, false],
    ["of mistral", { model_type: "mistral", sliding_window: 4096 }, true],
    ["of mistral without one", { model_type: "mistral", sliding_window: null }, false],
    ["as long as the context", { model_type: "mistral", sliding_window: 8192 }, false],
    [
      "of qwen2, switched off",
      { model_type: "qwen2", sliding_window: 16, use_sliding_window: false },
      false,
    ],
    ["of qwen2, not switched on", { model_type: "qwen2", sliding_window: 16 }, false],
    [
      "of qwen2, switched on",
      { model_type: "qwen2", sliding_window: 16, use_sliding_window: true },
      true,
    ],
    ["of gemma2", { model_type: "gemma2", sliding_window: 4096 }, true],
    [
      "of gemma3 in some layers",
      {
        model_type: "gemma3_text",
        sliding_window: 512,
        layer_types: ["full_attention", "sliding_attention"],
      },
      true,
    ],
    [
      "of gemma3 in none",
      { model_type: "gemma3_text", sliding_window: 512, layer_types: ["full_attention"] },
      false,
    ],
    ["of phi3", { model_type: "phi3", sliding_window: 2047 }, true],
  ])("%s", (_, config, slides) => {
    expect(read(config).slidingWindow).toBe(slides);
  });
});

describe("the context", () => {
  it.each<[string, Json, number]>([
    ["none", null, 8192],
    ["linear", { type: "linear", factor: 4 }, 8192],
    ["llama3", { rope_type: "llama3", original_max_position_embeddings: 4096 }, 8192],
    ["yarn", { rope_type: "yarn", original_max_position_embeddings: 4096 }, 8192],
    [
      "longrope, whose angles change on the way",
      { type: "longrope", original_max_position_embeddings: 4096 },
      4096,
    ],
    ["dynamic, of which nothing is said", { type: "dynamic" }, 8192],
  ])("with rope scaling: %s", (_, scaling, length) => {
    expect(read({ model_type: "phi3", rope_scaling: scaling }).contextLength).toBe(length);
    expect(read({ model_type: "phi3", rope_parameters: scaling }).contextLength).toBe(length);
  });

  it("with phi3's original length in its own place", () => {
    const scaling = { type: "longrope", short_factor: [1], long_factor: [2] };
    const config = { model_type: "phi3", rope_scaling: scaling };
    expect(read({ ...config, original_max_position_embeddings: 4096 }).contextLength).toBe(4096);
  });
});

describe("end tokens", () => {
  it("are those of both files, one or several", () => {
    const end = (config: Json, generation: Json): readonly number[] =>
      read({ model_type: "llama", eos_token_id: config }, { eos_token_id: generation }).endTokens;
    expect(end(2, null)).toEqual([2]);
    expect(end(null, [7, 2])).toEqual([7, 2]);
    expect(end([2, 0], 7)).toEqual([7, 2, 0]);
    expect(end(null, null)).toEqual([]);
  });
});

describe("defaults of sampling", () => {
  const openai = { temperature: 1, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 };

  it.each<[string, Readonly<Record<string, Json>> | null, object]>([
    ["are OpenAI's without the file", null, openai],
    ["are OpenAI's where it says nothing", {}, openai],
    [
      "are the model's where it says something",
      {
        do_sample: true,
        temperature: 0.6,
        top_p: 0.9,
        top_k: 20,
        min_p: 0.05,
        repetition_penalty: 1.1,
      },
      { temperature: 0.6, topP: 0.9, topK: 20, minP: 0.05, repetitionPenalty: 1.1 },
    ],
    [
      "take the likeliest token where it does not sample",
      { do_sample: false, temperature: 0.6 },
      { ...openai, temperature: 0 },
    ],
  ])("%s", (_, generation, defaults) => {
    expect(read({ model_type: "llama" }, generation).defaults).toEqual(defaults);
  });
});
