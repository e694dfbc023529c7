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

/** What a request says of how much is to be generated. */
export interface Extent {
  /** `max_tokens` by the name that it came by; null where the request does not say. */
  readonly given: { readonly count: number; readonly param: string } | null;
  /** Takes its place, or what there is room for if that is less. */
  readonly most: number;
  readonly choices: number;
}

/**
 * How many tokens each answer may have.
 *
 * @throws {@link EnclaveError} `prompt/too-long`, with the member that asks for too much.
 */
export function resolveMaxTokens(
  { given, most, choices }: Extent,
  model: TextModel,
  prompts: readonly Prompt[],
): number {
  const { contextLength } = model;
  // Of each prompt: what a longer one needs of memory may be less, since its answer moves less often.
  const room = prompts.map(({ tokens: { length }, param }) => {
    if (length >= contextLength) {
      throw tooLong(`${length} tokens fill the context of ${contextLength}`, param);
    }
    const left = model.mostTokens(length, choices);
    if (left < 1) throw tooLong(`${length} tokens leave no memory for ${answers(choices)}`, param);
    return left;
  });
  const least = Math.min(...room);
  if (given === null) return Math.min(most, least);
  if (given.count <= least) return given.count;
  throw tooLong(
    `${given.count} tokens, where context (${contextLength}) and memory leave ${least} for ` +
      answers(choices),
    given.param,
  );
}

const answers = (choices: number): string =>
  choices === 1 ? "an answer" : `each of ${choices} answers`;

function tooLong(message: string, param: string): EnclaveError {
  return new EnclaveError("prompt/too-long", message, { param });
}

/**
 * Refuses what cannot be honoured before anything runs.
 *
 * @param param - where in the request the schemas come from.
 * @returns how many states the constraint has: what it cost.
 * @throws {@link EnclaveError} `constraint/schema`, its param the schema's place in the request.
 */
export function requireConstraint(constraint: Constraint, param: string): number {
  try {
    return compileConstraint(constraint).network.states.length;
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
