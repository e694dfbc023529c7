/** An encoder that turns texts into vectors: tokenizer, graph, pooling. */
import type { ModelRef } from "@countersign/attestation/attester";
import { numericView, type Tensor, type TensorInfo } from "../engine/datatypes.ts";
import type { Session } from "../engine/engine.ts";
import { requireFeeds } from "../engine/feeds.ts";
import { EnclaveError } from "../errors.ts";
import type { TextMetadata } from "../models/metadata.ts";
import { type EmbeddingSettings, readEmbeddingSettings } from "./embedding-config.ts";
import type { ExportFiles } from "./export-files.ts";
import type { EmbeddingModel } from "./model.ts";
import { wrong } from "./model-json.ts";
import { normalize, pool } from "./pooling.ts";
import type { TextEngine } from "./text-engine.ts";
import { createTokenizer } from "./tokenizer.ts";

/** What every encoder's input is for a single text that is not padded. */
const INPUTS: ReadonlyMap<string, (tokens: Tokens) => BigInt64Array<ArrayBuffer>> = new Map([
  ["input_ids", (tokens) => BigInt64Array.from(tokens, BigInt)],
  ["attention_mask", (tokens) => new BigInt64Array(tokens.length).fill(1n)],
  ["token_type_ids", (tokens) => new BigInt64Array(tokens.length)],
]);
/** One vector for each token; `optimum` calls it the first, sentence-transformers the second. */
const TOKEN_OUTPUTS = ["last_hidden_state", "token_embeddings"];

type Tokens = Int32Array<ArrayBuffer>;

interface Encoder {
  readonly engine: TextEngine;
  readonly session: Session;
  readonly output: number;
  readonly settings: EmbeddingSettings;
}

/**
 * @throws {@link EnclaveError} `model/config`, `model/tokenizer`, `model/unsupported`, `model/load`,
 * `model/external-data`, `inference/failed`.
 */
export async function loadEmbeddingModel(
  engine: TextEngine,
  files: ExportFiles,
  metadata: TextMetadata,
  ref: ModelRef,
): Promise<EmbeddingModel> {
  // 1. The files that are words and numbers.
  const settings = readEmbeddingSettings(files, metadata);
  const { contextLength } = settings;
  const tokenizer = createTokenizer(files.tokenizer, files.tokenizerConfig, contextLength);
  if (tokenizer.file.pieces.length > settings.vocabularySize) {
    const found = `has more ids than the ${settings.vocabularySize} of config.json`;
    throw wrong(tokenizer.file.section, "model", found);
  }
  // 2. The graph.
  const session = await engine.load(files.session);
  const encoder = { engine, session, output: requireOutput(session), settings };
  // 3. One run, which finds a graph that does not run, and says how long vectors are.
  const first = await embedOne(encoder, tokenizer.encode("A probe.", "add"), NEVER);
  return {
    kind: "embedding",
    ref,
    dimensions: first.length,
    contextLength,
    encode(text) {
      const trimmed = settings.trims ? text.trim() : text;
      const tokens = tokenizer.encode(settings.lowercases ? trimmed.toLowerCase() : trimmed, "add");
      if (tokens.length <= contextLength) return tokens;
      const found = `${tokens.length} tokens of a text, of ${contextLength}`;
      throw new EnclaveError("prompt/too-long", found);
    },
    async embed(texts, signal) {
      const vectors: Float32Array<ArrayBuffer>[] = [];
      // One after the other: a request takes one place in the queue, however many texts it brings,
      // and no text's vector depends on what it was embedded together with.
      for (const tokens of texts) {
        requireTokens(tokens, settings);
        vectors.push(await embedOne(encoder, tokens, signal));
      }
      return vectors;
    },
  };
}

/** Tokens may be a caller's own. */
function requireTokens(tokens: Tokens, { contextLength, vocabularySize }: EmbeddingSettings): void {
  if (tokens.length > contextLength) {
    const found = `${tokens.length} tokens of a text, of ${contextLength}`;
    throw new EnclaveError("prompt/too-long", found);
  }
  if (tokens.length === 0 || tokens.some((id) => id < 0 || id >= vocabularySize)) {
    throw new EnclaveError(
      "request/parameter",
      "no tokens, or tokens that the model does not have",
    );
  }
}

const NEVER = new AbortController().signal;

/** Index of the output with a vector for each token. @throws EnclaveError `model/unsupported`. */
function requireOutput({ inputs, outputs }: Session): number {
  for (const { name, datatype, shape } of inputs) {
    if (INPUTS.has(name) && datatype === "INT64" && shape.length === 2) continue;
    throw unsupported(name, `input of type ${datatype} and ${shape.length} dimensions`);
  }
  const index = outputs.findIndex(({ name }) => TOKEN_OUTPUTS.includes(name));
  const output = outputs[index];
  if (output === undefined) {
    throw unsupported(TOKEN_OUTPUTS[0] ?? "", "output is missing: export with feature-extraction");
  }
  if (output.datatype !== "FP32" || output.shape.length !== 3) {
    throw unsupported(output.name, `output is ${output.datatype}, want FP32 for each token`);
  }
  return index;
}

function unsupported(name: string, what: string): EnclaveError {
  const param = name.slice(0, 64);
  return new EnclaveError("model/unsupported", `the graph's ${param}: ${what}`, { param });
}

async function embedOne(
  { engine, session, output, settings }: Encoder,
  tokens: Tokens,
  signal: AbortSignal,
): Promise<Float32Array<ArrayBuffer>> {
  const inputs = session.inputs.map((info) => ({ ...info, allowEmpty: false }));
  const tensors = new Map(inputs.map((info) => [info.name, inputTensor(info, tokens)]));
  const feeds = requireFeeds(inputs, tensors, Number.MAX_SAFE_INTEGER);
  const [result] = await engine.run(session, feeds, [output], signal);
  const rows = result === undefined ? null : floats(result);
  const [batch, length, dimensions = 0] = result?.shape ?? [];
  if (rows === null || batch !== 1 || length !== tokens.length || dimensions < 1) {
    throw new EnclaveError("inference/failed", "the model gave no vector for each token");
  }
  const pooled = pool(rows, dimensions, settings.pooling);
  const vector = Float32Array.from(settings.normalizes ? normalize(pooled) : pooled);
  if (vector.every(Number.isFinite)) return vector;
  throw new EnclaveError("inference/failed", "the model gave a vector that is not finite");
}

function inputTensor({ name, datatype }: TensorInfo, tokens: Tokens): Tensor {
  const values = INPUTS.get(name)?.(tokens);
  if (values === undefined) throw new TypeError("inputs were required before");
  return { datatype, shape: [1, tokens.length], elements: new Uint8Array(values.buffer) };
}

function floats({ datatype, elements }: Tensor): Float32Array | null {
  if (datatype !== "FP32" || !(elements instanceof Uint8Array)) return null;
  const values = numericView(datatype, elements);
  return values instanceof Float32Array ? values : null;
}
