/**
 * What a person reads in a verdict, by check and by code.
 *
 * Texts are part of no protocol and may change. They lie beside the checks they belong to, so that a
 * page which judges evidence only does not load those of exchanges.
 */
import type { CheckId, FailureClass } from "./checks.ts";
import type { AttestationErrorCode } from "./errors.ts";

/** Of one check. */
export interface Purpose {
  /** What it shows where it passes. */
  readonly proves: string;
  readonly wanted: string;
  /** Why it fails in practice, and what to do, where its code has no words of its own. */
  readonly why: string;
  readonly fix: string;
}

/** Of one code: its class, and words that say more than those of its check. */
export interface Remedy {
  readonly failure: FailureClass;
  readonly why?: string;
  readonly fix?: string;
}

/** The words of one kind of appraisal: one row for each of its checks, and each code it can meet. */
export interface Words {
  readonly checks: Readonly<Partial<Record<CheckId, Purpose>>>;
  readonly codes: Readonly<Partial<Record<AttestationErrorCode, Remedy | FailureClass>>>;
}

/** Codes that judging evidence never meets. */
export type ExchangeErrorCode = Extract<
  AttestationErrorCode,
  `receipt/${string}` | `transcript/${string}` | `merkle/${string}` | `proof/${string}`
>;

/** The reasons for which a check is skipped. */
export type Skip = "not reached" | "by the policy" | "by design";

export const SKIPS: Readonly<Record<Skip, Pick<Purpose, "why" | "fix">>> = {
  "not reached": {
    why: "A check that this one rests on failed.",
    fix: "Mend the first check that failed, then judge again.",
  },
  "by the policy": {
    why: "The policy switches this check off in words.",
    fix: "List what you accept in the policy to have it checked.",
  },
  "by design": {
    why: "This check does not apply to what was judged.",
    fix: "Nothing. For this fact, judge a whole bundle or an opened proof, live.",
  },
};

export function purposeOf(words: Words, id: CheckId): Purpose {
  const purpose = words.checks[id];
  if (purpose === undefined) throw new TypeError(`check ${id} has no words`);
  return purpose;
}

/** Class of `code`, why `id` failed with it in practice, and what to do. */
export function remedyOf(words: Words, id: CheckId, code: AttestationErrorCode): Required<Remedy> {
  const row = words.codes[code];
  if (row === undefined) throw new TypeError(`code ${code} has no words`);
  const { why, fix } = purposeOf(words, id);
  return typeof row === "string" ? { failure: row, why, fix } : { why, fix, ...row };
}
