/** What chats and completions have in common of an answer. */
import { encodeHex } from "@countersign/attestation/attester";
import type { TokenLogprob } from "../../text/generation.ts";
import type { TextModel } from "../../text/model.ts";
import type { EventBodies } from "./events.ts";
import type { Delta } from "./choice.ts";
import type { Run, Usage } from "./run.ts";
import type { TextWork } from "./work.ts";

/** What is the same in every event of an answer, and in a whole one. */
export interface AnswerHead {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
}

/** The forms of one endpoint's answers. */
export interface AnswerForm {
  chunk(head: AnswerHead, model: TextModel, index: number, delta: Delta, first: boolean): object;
  /** The event that counts tokens, without its usage. */
  last(head: AnswerHead): object;
  whole(head: AnswerHead, model: TextModel, deltas: readonly Delta[]): object;
}

/** Hexadecimal digits of the model's digest: enough to tell two models apart. */
const FINGERPRINT_DIGITS = 16;

/** @param engineVersion - another engine may answer otherwise to the same seed. */
export function answerHead(
  work: TextWork,
  id: string,
  engineVersion: string,
  nowMs: number,
): AnswerHead {
  const digest = encodeHex(work.model.ref.digest).slice(0, FINGERPRINT_DIGITS);
  return {
    id,
    created: Math.floor(nowMs / 1000),
    model: work.name,
    system_fingerprint: `fp_${digest}_${engineVersion}`,
  };
}

export function eventBodies(
  form: AnswerForm,
  head: AnswerHead,
  work: TextWork,
  run: Run,
): EventBodies {
  const { model, delivery } = work;
  const counted = delivery.kind === "stream" && delivery.includeUsage;
  return {
    chunk: (index, delta, first) => ({
      ...form.chunk(head, model, index, delta, first),
      // OpenAI API reference, "include_usage": every other event then has it as null.
      ...(counted ? { usage: null } : {}),
    }),
    usage: () => (counted ? { ...form.last(head), usage: usageBody(run.usage) } : null),
  };
}

/** A whole answer, once its run has ended. @throws what ended it before its time. */
export async function wholeBody(
  form: AnswerForm,
  head: AnswerHead,
  work: TextWork,
  run: Run,
): Promise<object> {
  await run.end();
  if (run.failure !== null) throw run.failure;
  const deltas = run.choices.map((choice) => choice.take());
  return { ...form.whole(head, work.model, deltas), usage: usageBody(run.usage) };
}

function usageBody({ promptTokens, completionTokens }: Usage): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

/** A token as chats' logprobs show it. */
export function tokenBody(model: TextModel, { token, logprob }: TokenLogprob): object {
  const { text, bytes } = model.tokenText(token);
  return { token: text, logprob: finite(logprob), bytes: [...bytes] };
}

/** JSON has no infinity: what OpenAI's API says of a token that could not come. */
export function finite(logprob: number): number {
  return Number.isFinite(logprob) ? logprob : -9999;
}
