/**
 * The digest of the parameters as resolved, which a receipt carries.
 *
 * Pure, so that a client can make the same bytes. Deterministic CBOR has no floating point here, so
 * every number that may be no integer is text: the shortest decimal that reads back as the same
 * double, as ECMA-262 writes it (Number::toString, §6.1.6.1.20).
 *
 * ```cddl
 * Parameters = {
 *   "tag": "countersign/parameters/v1", "endpoint": "chat" / "completions",
 *   "choices": uint, "seed": uint, "maxTokens": uint, "stop": [* tstr],
 *   "temperature": decimal, "topP": decimal, "topK": uint, "minP": decimal,
 *   "frequencyPenalty": decimal, "presencePenalty": decimal, "repetitionPenalty": decimal,
 *   "logitBias": [* [token: uint, decimal]], "topLogprobs": uint / null,
 *   "constraint": bstr .size 32 / null, "toolChoice": tstr, "parallelToolCalls": bool,
 *   "template": [* [name: tstr, tstr]]
 * } / {
 *   "tag": "countersign/parameters/v1", "endpoint": "embeddings",
 *   "dimensions": uint, "encodingFormat": "float" / "base64"
 * }
 * decimal = tstr
 * ```
 *
 * A constraint's digest is the SHA-256 of its JSON; a template variable's text is its JSON. Biases
 * come in ascending order of tokens, variables in that of their names. The prompt, the messages and
 * the tools are in the transcript, and not here.
 */
import {
  type CborKey,
  type CborValue,
  compareBytes,
  encodeCbor,
  encodeUtf8,
} from "@countersign/attestation/attester";
import type { SamplingParameters } from "../../text/generation.ts";

const TAG = "countersign/parameters/v1";

/** All that decides an answer, besides the model and what it was asked. */
export interface TextParameters {
  readonly endpoint: "chat" | "completions";
  /** Of each prompt. */
  readonly choices: number;
  /** Of the first choice; the next one has the next. */
  readonly seed: number;
  readonly maxTokens: number;
  readonly stop: readonly string[];
  readonly sampling: SamplingParameters;
  /** SHA-256 of the constraint's JSON. */
  readonly constraintDigest: Uint8Array | null;
  readonly toolChoice: string;
  readonly parallelToolCalls: boolean;
  readonly template: Readonly<Record<string, string | number | boolean>>;
}

export interface EmbeddingParameters {
  readonly endpoint: "embeddings";
  readonly dimensions: number;
  readonly encodingFormat: "float" | "base64";
}

/** The bytes whose SHA-256 is the receipt's digest of parameters. */
export function encodeParameters(parameters: TextParameters | EmbeddingParameters): Uint8Array {
  return encodeCbor(
    new Map<CborKey, CborValue>([
      ["tag", TAG],
      ["endpoint", parameters.endpoint],
      ...(parameters.endpoint === "embeddings"
        ? embeddingEntries(parameters)
        : textEntries(parameters)),
    ]),
  );
}

function embeddingEntries(parameters: EmbeddingParameters): [CborKey, CborValue][] {
  return [
    ["dimensions", parameters.dimensions],
    ["encodingFormat", parameters.encodingFormat],
  ];
}

function textEntries(parameters: TextParameters): [CborKey, CborValue][] {
  const { sampling } = parameters;
  return [
    ["choices", parameters.choices],
    ["seed", parameters.seed],
    ["maxTokens", parameters.maxTokens],
    ["stop", parameters.stop],
    ["temperature", decimal(sampling.temperature)],
    ["topP", decimal(sampling.topP)],
    ["topK", sampling.topK],
    ["minP", decimal(sampling.minP)],
    ["frequencyPenalty", decimal(sampling.frequencyPenalty)],
    ["presencePenalty", decimal(sampling.presencePenalty)],
    ["repetitionPenalty", decimal(sampling.repetitionPenalty)],
    [
      "logitBias",
      sampling.logitBias
        .toSorted((a, b) => a[0] - b[0])
        .map(([token, bias]) => [token, decimal(bias)]),
    ],
    ["topLogprobs", sampling.topLogprobs],
    ["constraint", parameters.constraintDigest],
    ["toolChoice", parameters.toolChoice],
    ["parallelToolCalls", parameters.parallelToolCalls],
    [
      "template",
      Object.entries(parameters.template)
        .toSorted((a, b) => compareBytes(encodeUtf8(a[0]), encodeUtf8(b[0])))
        .map(([name, value]) => [name, JSON.stringify(value)]),
    ],
  ];
}

/** A negative zero is a zero. */
function decimal(value: number): string {
  return String(value);
}
