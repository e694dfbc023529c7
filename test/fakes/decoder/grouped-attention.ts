/** Attention as ONNX Runtime's model builder writes it: one GroupQueryAttention a layer. */
import { rotaryDim, rotaryTables, slidesIn } from "./concat-attention.ts";
import { floats, normWeights, outputProjection, projections } from "./layers.ts";
import type { Build } from "./layers.ts";

/** What the layers share. */
export interface GroupedShared {
  /** Tokens of each sequence less one, int32. */
  readonly lengths: string;
  /** The longest row of the attention mask, int32 scalar. */
  readonly total: string;
  readonly tables: Tables;
  readonly slidingTables: Tables;
}

interface Tables {
  readonly cos: string;
  readonly sin: string;
}

const INT32 = { to: 6 };

/** Whether RotaryEmbedding turns keys and queries, since GroupQueryAttention turns whole heads. */
export function turnsApart(build: Build): boolean {
  return build.traits.rotary !== 1;
}

export function groupedShared(build: Build): GroupedShared {
  const { writer, traits } = build;
  writer.scope = "/model/attn_mask_reformat/attn_mask_subgraph";
  const ones = writer.op("ReduceSum", ["attention_mask", writer.int64([1])], { keepdims: 0 });
  const lengths = writer.op("Cast", [writer.op("Sub", [ones, writer.int64([1])])], INT32);
  const size = writer.op("Gather", [writer.op("Shape", ["attention_mask"]), writer.int64(1)]);
  const total = writer.op("Cast", [size], INT32);
  const tables = rotaryTables(build, traits.theta.global);
  const slidingTables =
    traits.theta.local === traits.theta.global ? tables : rotaryTables(build, traits.theta.local);
  return { lengths, total, tables, slidingTables };
}

/** A norm in one operation; the one that Gemma adds is in the weights already. */
export function fusedWeights(build: Build, name: string, size: number): string {
  const added = build.traits.norm === "rms-plus-one" ? 1 : 0;
  const weights = normWeights(build, name, size).map((weight) => weight + added);
  return floats(build, `${name}.weight`, [size], weights);
}

export function groupedAttention(
  build: Build,
  x: string,
  layer: number,
  shared: GroupedShared,
): string {
  const { writer, spec, traits } = build;
  const slides = slidesIn(build, layer);
  const tables = traits.slides(layer) ? shared.slidingTables : shared.tables;
  const name = `model.layers.${layer}.self_attn`;
  const [q, k, v] = projections(build, x, layer);
  const apart = turnsApart(build);
  const prepared = (value: string, part: string, heads: number): string => {
    const normed = traits.queryNorm ? headNorm(build, value, `${name}.${part}_norm`, heads) : value;
    return apart ? turned(build, normed, heads, tables) : normed;
  };
  const read = `${writer.scope}/GroupQueryAttention_output_0`;
  const past = [`past_key_values.${layer}.key`, `past_key_values.${layer}.value`];
  writer.node(
    "com.microsoft.GroupQueryAttention",
    [
      prepared(q, "q", spec.heads),
      prepared(k, "k", spec.kvHeads),
      v,
      ...past,
      shared.lengths,
      shared.total,
      ...(apart ? [] : [tables.cos, tables.sin]),
    ],
    [read, `present.${layer}.key`, `present.${layer}.value`],
    {
      num_heads: spec.heads,
      kv_num_heads: spec.kvHeads,
      scale: { float: 1 / Math.sqrt(spec.headDim) },
      do_rotary: apart ? 0 : 1,
      rotary_interleaved: 0,
      local_window_size: slides && spec.window !== null ? spec.window : -1,
      ...(traits.caps === null ? {} : { softcap: { float: traits.caps.attention } }),
    },
  );
  return outputProjection(build, read, layer);
}

function headNorm(build: Build, value: string, name: string, heads: number): string {
  const { writer, spec, traits } = build;
  const rows = writer.op("Reshape", [value, writer.int64([0, -1, spec.headDim])]);
  const weights = fusedWeights(build, name, spec.headDim);
  const normed = writer.op("SimplifiedLayerNormalization", [rows, weights], {
    axis: -1,
    epsilon: { float: traits.epsilon },
    stash_type: 1,
  });
  return writer.op("Reshape", [normed, writer.int64([0, -1, heads * spec.headDim])]);
}

function turned(build: Build, value: string, heads: number, { cos, sin }: Tables): string {
  const { writer, spec, traits } = build;
  return writer.op("com.microsoft.RotaryEmbedding", [value, "position_ids", cos, sin], {
    interleaved: 0,
    num_heads: heads,
    rotary_embedding_dim: rotaryDim(spec, traits.rotary),
  });
}
