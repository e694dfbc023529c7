/** A request for text, resolved: what the engine is asked, and what the receipt says was asked. */
import { encodeUtf8 } from "@countersign/attestation/attester";
import { createHash } from "node:crypto";
import { EnclaveError } from "../../errors.ts";
import { compileConstraint } from "../../text/constraint.ts";
import type { Constraint } from "../../text/generation.ts";
import type { TextModel } from "../../text/model.ts";
import { malformed, unsupported } from "./members.ts";
import { encodeParameters, type EmbeddingParameters, type TextParameters } from "./parameters.ts";
import type { StreamMembers } from "./stream-members.ts";
import type { ToolUse } from "./tools.ts";

export interface Prompt {
  readonly tokens: Int32Array<ArrayBuffer>;
  /** Where in the request it came from. */
  readonly param: string;
}

export interface TextWork {
  readonly model: TextModel;
  /** As the request named it. */
  readonly name: string;
  readonly prompts: readonly Prompt[];
  readonly constraint: Constraint | null;
  readonly use: ToolUse | null;
  readonly parameters: TextParameters;
  readonly delivery: Delivery;
}

/** How the answer comes. */
export type Delivery =
  { readonly kind: "whole" } | { readonly kind: "stream"; readonly includeUsage: boolean };

/** @throws {@link EnclaveError} `request/structure` for options of a stream where there is none. */
export function resolveDelivery(given: {
  readonly [K in keyof StreamMembers]: StreamMembers[K] | null;
}): Delivery {
  if (given.stream !== true) {
    if (given.stream_options !== null) throw malformed("stream_options", "is without a stream");
    return { kind: "whole" };
  }
  return { kind: "stream", includeUsage: given.stream_options?.include_usage ?? false };
}

/**
 * How many tokens each answer may have.
 *
 * @param most - where the request does not say: this, or what the context leaves.
 * @throws {@link EnclaveError} `prompt/too-long`, with the member that asks for too much.
 */
export function resolveMaxTokens(
  given: { readonly count: number; readonly param: string } | null,
  most: number,
  contextLength: number,
  prompts: readonly Prompt[],
): number {
  let left = contextLength;
  for (const { tokens, param } of prompts) {
    if (tokens.length >= contextLength) {
      throw tooLong(`${tokens.length} tokens fill the context of ${contextLength}`, param);
    }
    left = Math.min(left, contextLength - tokens.length);
  }
  if (given === null) return Math.min(most, left);
  if (given.count <= left) return given.count;
  throw tooLong(
    `${given.count} tokens after a prompt of ${contextLength - left} are more than the context of ${contextLength}`,
    given.param,
  );
}

function tooLong(message: string, param: string): EnclaveError {
  return new EnclaveError("prompt/too-long", message, { param });
}

/**
 * Refuses what cannot be honoured before anything runs.
 *
 * @param param - where in the request the schemas come from.
 * @throws {@link EnclaveError} `constraint/schema`, its param the schema's place in the request.
 */
export function requireConstraint(constraint: Constraint, param: string): void {
  try {
    compileConstraint(constraint);
  } catch (error) {
    if (!(error instanceof EnclaveError) || error.code !== "constraint/schema") throw error;
    const text = error.message.slice(error.code.length + 2);
    throw new EnclaveError(error.code, text, { param: `${param}${error.param ?? ""}` });
  }
}

/** @throws {@link EnclaveError} `request/unsupported`: one member may say what an answer is. */
export function requireOneConstraint(tools: ToolUse | null, format: Constraint | null): void {
  if (tools === null || format === null) return;
  throw unsupported("response_format", 'is not done together with tools: set tool_choice "none"');
}

export function constraintDigest(constraint: Constraint | null): Uint8Array | null {
  return constraint === null ? null : sha256(encodeUtf8(JSON.stringify(constraint)));
}

/** For the receipt. */
export function parametersDigest(parameters: TextParameters | EmbeddingParameters): Uint8Array {
  return sha256(encodeParameters(parameters));
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}
