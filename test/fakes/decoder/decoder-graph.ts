/** The graph of a whole decoder, with random weights. */
import { concatAttention, concatShared } from "./concat-attention.ts";
import { GraphWriter } from "./graph-writer.ts";
import { fusedWeights, groupedAttention, groupedShared } from "./grouped-attention.ts";
import { capped, embedding, floats, linear, mlp, plainNorm } from "./layers.ts";
import type { Build } from "./layers.ts";
import { TRAITS } from "./spec.ts";
import type { DecoderSpec } from "./spec.ts";
import { randomWeights } from "./weights.ts";

/** Adds to the residual stream, and norms it for what reads it next. */
type AddNorm = (residual: string, added: string | null, name: string) => AddNormed;

interface AddNormed {
  readonly sum: string;
  readonly normed: string;
}

type Attention = (x: string, layer: number) => string;

/** What the exporters say: ReduceMean still has its axes as an attribute in 17. */
const OPSETS = { concat: 17, gqa: 21 } as const;

/** @param externalName - the file beside the graph for large weights, or null. */
export function decoderGraph(
  spec: DecoderSpec,
  externalName: string | null,
): { readonly model: Uint8Array; readonly external: Uint8Array | null } {
  const float = spec.weights === "fp16" || spec.weights === "q4f16" ? "FP16" : "FP32";
  const traits = TRAITS[spec.architecture];
  const writer = new GraphWriter(OPSETS[spec.form], externalName);
  const build: Build = { writer, spec, traits, float };
  declareInputs(build);
  writer.scope = "/model/embed_tokens";
  const embedded = embedding(build, "input_ids");
  const attention = attentionOf(build);
  const addNorm = spec.form === "concat" ? concatAddNorm(build) : fusedAddNorm(build);

  let residual = embedded;
  let added: string | null = null;
  for (let layer = 0; layer < spec.layers; layer++) {
    const before = addNorm(residual, added, `model.layers.${layer}.input_layernorm`);
    const after = traits.parallel
      ? parallelLayer(build, before, layer, attention)
      : serialLayer(build, before, layer, attention, addNorm);
    residual = after.residual;
    added = after.added;
  }
  const finalNorm = traits.norm === "layer" ? "model.final_layernorm" : "model.norm";
  declareOutputs(build, logitsOf(build, addNorm(residual, added, finalNorm).normed));
  return writer.finish();
}

interface LayerOutput {
  readonly residual: string;
  /** Not added to the residual yet: the norm that follows does. */
  readonly added: string;
}

function serialLayer(
  build: Build,
  before: AddNormed,
  layer: number,
  attention: Attention,
  addNorm: AddNorm,
): LayerOutput {
  const { writer, traits } = build;
  const name = `model.layers.${layer}`;
  writer.scope = `/model/layers.${layer}/self_attn`;
  const read = attention(before.normed, layer);
  const post = traits.postNorms;
  const posted = post ? addNorm(read, null, `${name}.post_attention_layernorm`).normed : read;
  const second = post ? "pre_feedforward_layernorm" : "post_attention_layernorm";
  const middle = addNorm(before.sum, posted, `${name}.${second}`);
  writer.scope = `/model/layers.${layer}/mlp`;
  const thought = mlp(build, middle.normed, layer);
  const added = post
    ? addNorm(thought, null, `${name}.post_feedforward_layernorm`).normed
    : thought;
  return { residual: middle.sum, added };
}

function parallelLayer(
  build: Build,
  before: AddNormed,
  layer: number,
  attention: Attention,
): LayerOutput {
  const { writer } = build;
  writer.scope = `/model/layers.${layer}/self_attn`;
  const read = attention(before.normed, layer);
  writer.scope = `/model/layers.${layer}/mlp`;
  const thought = mlp(build, before.normed, layer);
  return { residual: before.sum, added: writer.op("Add", [read, thought]) };
}

function attentionOf(build: Build): Attention {
  if (build.spec.form === "concat") {
    const shared = concatShared(build);
    return (x, layer) => concatAttention(build, x, layer, shared);
  }
  const shared = groupedShared(build);
  return (x, layer) => groupedAttention(build, x, layer, shared);
}

function concatAddNorm(build: Build): AddNorm {
  const { writer, spec } = build;
  return (residual, added, name) => {
    const sum = added === null ? residual : writer.op("Add", [residual, added]);
    writer.scope = `/${name.replaceAll(".", "/")}`;
    return { sum, normed: plainNorm(build, sum, name, spec.hidden) };
  };
}

function fusedAddNorm(build: Build): AddNorm {
  const { writer, spec, traits } = build;
  const epsilon = { float: traits.epsilon };
  return (residual, added, name) => {
    writer.scope = `/${name.replaceAll(".", "/")}`;
    const layer = traits.norm === "layer";
    const weights = [
      fusedWeights(build, name, spec.hidden),
      ...(layer ? [biasOf(build, name)] : []),
    ];
    const type = layer ? "LayerNormalization" : "SimplifiedLayerNormalization";
    if (added === null) {
      const normed = writer.op(type, [residual, ...weights], { axis: -1, epsilon, stash_type: 1 });
      return { sum: residual, normed };
    }
    const [normed, sum] = [`${writer.scope}/output_0`, `${writer.scope}/output_3`];
    const skip = `com.microsoft.Skip${type}`;
    writer.node(skip, [residual, added, ...weights], [normed, "", "", sum], { epsilon });
    return { sum, normed };
  };
}

function biasOf(build: Build, name: string): string {
  const { hidden, seed } = build.spec;
  return floats(build, `${name}.bias`, [hidden], randomWeights(seed, `${name}.bias`, hidden, 0.2));
}

function declareInputs({ writer, spec, traits, float }: Build): void {
  const now = ["batch_size", "sequence_length"];
  writer.input("input_ids", "INT64", now);
  writer.input("attention_mask", "INT64", ["batch_size", "total_sequence_length"]);
  const grouped = spec.form === "gqa" && traits.rotary === 1;
  if (!grouped) writer.input("position_ids", "INT64", now);
  const past = ["batch_size", spec.kvHeads, "past_sequence_length", spec.headDim];
  for (let layer = 0; layer < spec.layers; layer++) {
    writer.input(`past_key_values.${layer}.key`, float, past);
    writer.input(`past_key_values.${layer}.value`, float, past);
  }
  if (spec.logitsToKeep) writer.input("num_logits_to_keep", "INT64", []);
}

function declareOutputs({ writer, spec, float }: Build, logits: "FP32" | "FP16"): void {
  writer.output("logits", logits, ["batch_size", "sequence_length", spec.vocabulary]);
  const present = ["batch_size", spec.kvHeads, "total_sequence_length", spec.headDim];
  for (let layer = 0; layer < spec.layers; layer++) {
    writer.output(`present.${layer}.key`, float, present);
    writer.output(`present.${layer}.value`, float, present);
  }
}

/** The last projection, its caps and its type; the model builder's graphs answer in 32 bits. */
function logitsOf(build: Build, normed: string): "FP32" | "FP16" {
  const { writer, spec, traits } = build;
  writer.scope = "/lm_head";
  let kept = normed;
  if (spec.logitsToKeep) {
    const start = writer.op("Unsqueeze", [
      writer.op("Neg", ["num_logits_to_keep"]),
      writer.int64([0]),
    ]);
    const end = writer.int64([Number.MAX_SAFE_INTEGER]);
    kept = writer.op("Slice", [normed, start, end, writer.int64([1])]);
  }
  const product = linear(
    build,
    kept,
    "lm_head",
    [spec.vocabulary, spec.hidden],
    traits.bias === "all",
  );
  const caps = traits.caps === null ? product : capped(build, product, traits.caps.logits);
  if (build.float === "FP16" && spec.form === "gqa") {
    writer.op("Cast", [caps], { to: 1 }, "logits");
    return "FP32";
  }
  writer.rename(caps, "logits");
  return build.float;
}
