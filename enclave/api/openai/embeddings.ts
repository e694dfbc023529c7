import { EnclaveError } from "../../errors.ts";
import type { ExchangeRecord } from "../../exchange-record.ts";
import type { EmbeddingModel } from "../../text/model.ts";
import { readModelName, readUser } from "./chat-members.ts";
import {
  accepted,
  malformed,
  type MemberTable,
  readMembers,
  required,
  unsupported,
} from "./members.ts";
import { naming, withParam } from "./naming.ts";
import { integerIn, wordOf } from "./readers.ts";
import { type GivenText, readTexts } from "./texts.ts";
import { parametersDigest } from "./work.ts";

/** What an embedding request may ask for. */
export interface EmbeddingMembers {
  readonly model: string;
  /** Text or tokens, one or several: texts.ts reads it. */
  readonly input: unknown;
  readonly dimensions: number;
  readonly encoding_format: "float" | "base64";
}

/** OpenAI API reference, "input". */
const MAX_INPUTS = 2048;
const MAX_DIMENSIONS = 2 ** 20;

export const EMBEDDING: MemberTable<EmbeddingMembers> = {
  honoured: {
    model: readModelName,
    input: (value) => value,
    dimensions: integerIn(1, MAX_DIMENSIONS),
    encoding_format: wordOf(["float", "base64"]),
  },
  others: {
    user: accepted(
      readUser,
      "names the end user to whoever watches for misuse: nobody watches here",
    ),
  },
};

/**
 * Answers a request for embeddings.
 *
 * @throws {@link EnclaveError} the caller's `request/…` and `prompt/…` codes, the engine's.
 */
export async function embed(
  body: unknown,
  model: EmbeddingModel,
  exchange: ExchangeRecord,
  signal: AbortSignal,
): Promise<object> {
  const given = readMembers(EMBEDDING, body, "");
  const { dimensions } = model;
  if (given.dimensions !== null && given.dimensions !== dimensions) {
    throw unsupported("dimensions", `is ${given.dimensions}, and this model has ${dimensions}`);
  }
  const texts = readTexts(given.input, "input", MAX_INPUTS).map((text) => tokensOf(text, model));
  const promptTokens = texts.reduce((sum, { length }) => sum + length, 0);
  const encodingFormat = given.encoding_format ?? "float";
  exchange.outcome = {
    promptTokens,
    parameters: parametersDigest({ endpoint: "embeddings", dimensions, encodingFormat }),
  };
  const vectors = await model.embed(texts, signal).catch((error: unknown) => {
    throw withParam(error, "input");
  });
  return {
    object: "list",
    data: vectors.map((vector, index) => ({
      object: "embedding",
      index,
      embedding: encodingFormat === "base64" ? base64Of(vector) : numbersOf(vector),
    })),
    model: required(given.model, "model"),
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
  };
}

function tokensOf(given: GivenText, model: EmbeddingModel): Int32Array<ArrayBuffer> {
  const { param } = given;
  const tokens =
    given.kind === "text" ? naming(param, () => model.encode(given.text)) : given.tokens;
  if (tokens.length === 0) throw malformed(param, "has no tokens");
  if (tokens.length <= model.contextLength) return tokens;
  const message = `${tokens.length} tokens, and the model takes ${model.contextLength}`;
  throw new EnclaveError("prompt/too-long", message, { param });
}

/** Single-precision numbers, little-endian, as OpenAI's client reads them. */
function base64Of(vector: Float32Array<ArrayBuffer>): string {
  const bytes = Buffer.alloc(vector.byteLength);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString("base64");
}

function numbersOf(vector: Float32Array<ArrayBuffer>): readonly number[] {
  return [...vector];
}
