/** An encoder whose vector of a token is a row of a table: small, and its pooling can be reckoned. */
import type { OnnxDatatype } from "./onnx-proto.ts";
import { writeModel } from "./onnx-proto.ts";
import { jsonBytes } from "./text-files.ts";
import { type Json, wordPieceTokenizer } from "./tokenizers.ts";

export const DIMENSIONS = 4;
const TOKENIZER = wordPieceTokenizer(["the", "hello", "world"]);
const VOCABULARY = 128;

export interface EncoderOptions {
  readonly inputs?: readonly string[];
  readonly inputType?: OnnxDatatype;
  readonly output?: string;
  readonly config?: Readonly<Record<string, Json>>;
  /** More files, or null to leave one out. */
  readonly files?: Readonly<Record<string, Json | Uint8Array>>;
}

/** Of one token: value d is token + d / 10, so that none is like another. */
export function rowOf(token: number): readonly number[] {
  return Array.from({ length: DIMENSIONS }, (_, d) => Math.fround(token + d / 10));
}

/** The files that sentence-transformers writes for a model that pools by the mean and normalises. */
const SENTENCE_TRANSFORMERS: Readonly<Record<string, Json>> = {
  "modules.json": ["Transformer", "Pooling", "Normalize"].map((kind, idx) => ({
    idx,
    name: String(idx),
    path: idx === 0 ? "" : `${idx}_${kind}`,
    type: `sentence_transformers.models.${kind}`,
  })),
  "1_Pooling/config.json": {
    word_embedding_dimension: DIMENSIONS,
    pooling_mode_cls_token: false,
    pooling_mode_mean_tokens: true,
    pooling_mode_max_tokens: false,
    pooling_mode_mean_sqrt_len_tokens: false,
  },
  "sentence_bert_config.json": { max_seq_length: 16, do_lower_case: false },
};

/** path → bytes, as sentence-transformers and `optimum` lay them out. */
export function encoderExport(options: EncoderOptions = {}): Record<string, Uint8Array> {
  const files: Record<string, Json | Uint8Array> = {
    "config.json": {
      model_type: "bert",
      hidden_size: DIMENSIONS,
      max_position_embeddings: 32,
      vocab_size: VOCABULARY,
      pad_token_id: 0,
      ...options.config,
    },
    "tokenizer.json": TOKENIZER,
    "tokenizer_config.json": { pad_token: "[PAD]", unk_token: "[UNK]" },
    "onnx/model.onnx": tableGraph(options),
    ...SENTENCE_TRANSFORMERS,
    ...options.files,
  };
  return Object.fromEntries(
    Object.entries(files)
      .filter(([, file]) => file !== null)
      .map(([path, file]) => [path, file instanceof Uint8Array ? file : jsonBytes(file)]),
  );
}

function tableGraph(options: EncoderOptions): Uint8Array {
  const { inputs = ["input_ids", "attention_mask", "token_type_ids"] } = options;
  const { inputType = "INT64", output = "last_hidden_state" } = options;
  const rows = Array.from({ length: VOCABULARY }, (_, token) => rowOf(token));
  return writeModel({
    inputs: inputs.map((name) => ({ name, datatype: inputType, shape: ["batch", "sequence"] })),
    outputs: [{ name: output, datatype: "FP32", shape: ["batch", "sequence", DIMENSIONS] }],
    nodes: [{ op: "Gather", inputs: ["table", "input_ids"], outputs: [output] }],
    initializers: [
      {
        name: "table",
        datatype: "FP32",
        shape: [VOCABULARY, DIMENSIONS],
        data: new Uint8Array(Float32Array.from(rows.flat()).buffer),
      },
    ],
  });
}
