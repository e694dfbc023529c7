import { readModelName, readUser } from "./chat-members.ts";
import {
  accepted,
  type Given,
  type MemberTable,
  type Reader,
  readMembers,
  refused,
} from "./members.ts";
import { integerIn, only } from "./readers.ts";
import { MAX_N, SAMPLING, type SamplingMembers } from "./sampling.ts";
import { STREAM, type StreamMembers } from "./stream-members.ts";

/** What a completion may ask for. */
export interface CompletionMembers extends SamplingMembers, StreamMembers {
  readonly model: string;
  /** Text or tokens, one or several: texts.ts reads it. */
  readonly prompt: unknown;
  readonly best_of: number;
  readonly logprobs: number;
}

/** OpenAI API reference, completions, "logprobs". */
const MAX_LOGPROBS = 5;

const anything: Reader<unknown> = (value) => value;

export const COMPLETION: MemberTable<CompletionMembers> = {
  honoured: {
    ...SAMPLING,
    ...STREAM,
    model: readModelName,
    prompt: anything,
    best_of: integerIn(1, MAX_N),
    logprobs: integerIn(0, MAX_LOGPROBS),
  },
  others: {
    user: accepted(
      readUser,
      "names the end user to whoever watches for misuse: nobody watches here",
    ),
    echo: accepted(only(false), "the prompt is not said again"),
    suffix: refused("is not done here: text is only continued"),
  },
};

/** @throws {@link EnclaveError} as {@link readMembers}. */
export function readCompletionMembers(value: unknown): Given<CompletionMembers> {
  return readMembers(COMPLETION, value, "");
}
