/**
 * The verdict: a list of checks in a fixed order, and what follows from them.
 *
 * Appraisal stops at the first check that fails: later facts rest on earlier ones, so what comes
 * after is "not reached". A check that the policy switched off in words, or that does not apply to
 * what was judged, is a `skip` that says so and does not hinder "verified". Any other skip does.
 */
import { type CheckId, EVIDENCE_CHECKS, type FailureClass } from "./checks.ts";
import { AttestationError, type AttestationErrorCode } from "./errors.ts";
import { EVIDENCE_WORDS } from "./evidence-words.ts";
import { purposeOf, remedyOf, SKIPS, type Words } from "./words.ts";

/** One check of a verdict. */
export interface Check {
  readonly id: CheckId;
  readonly status: "pass" | "fail" | "skip";
  readonly found: string;
  readonly wanted: string;
  /** Why this happens in practice; of a check that passed, what it proves. */
  readonly why: string;
  /** What to do about it. */
  readonly fix: string;
  /** Of a failure, the rule that was broken. */
  readonly code: AttestationErrorCode | null;
}

/** `live`: judged now, to be used now. `archive`: judged at the document's own time. */
export type Mode = "live" | "archive";

/** The result of an appraisal (RFC 9334 §8.4): its checks, and what follows from them. */
export interface Verdict {
  readonly result: "verified" | "rejected" | "incomplete";
  readonly failure: FailureClass | null;
  readonly checks: readonly Check[];
  readonly platform: string | null;
  readonly mode: Mode;
  /** Unix milliseconds of the moment at which it was judged. */
  readonly judgedAtMs: number;
  /** The policy's name for the code that ran; null where none matched or none was asked for. */
  readonly measurement: string | null;
}

/** What a step reports of the check it made. */
export interface Finding<T> {
  readonly found: string;
  readonly wanted: string;
  readonly value: T;
  /** What passing shows, where that is less or other than what the check shows by itself. */
  readonly why?: string;
  /** Set where nothing was checked, with the reason why that is all right. */
  readonly skipped?: "by the policy" | "by design";
}

/** A refusal that can say what it found and what it wanted apart. */
export class Refusal extends AttestationError {
  readonly found: string;
  readonly wanted: string;

  constructor(code: AttestationErrorCode, found: string, wanted: string, options?: ErrorOptions) {
    super(code, `${found}, want ${wanted}`, options);
    this.found = found;
    this.wanted = wanted;
  }
}

/** Facts of a verdict that are no checks. */
export type VerdictFacts = Pick<Verdict, "platform" | "mode" | "judgedAtMs" | "measurement">;

/** The checks of one appraisal, filled in their fixed order. */
export class Checklist {
  readonly #ids: readonly CheckId[];
  readonly #words: Words;
  readonly #checks: Check[];
  #failure: FailureClass | null = null;

  /** @param before - checks already made and passed, which come first in the verdict. */
  constructor(ids: readonly CheckId[], words: Words, before: readonly Check[] = []) {
    this.#ids = ids;
    this.#words = words;
    this.#checks = [...before];
  }

  /**
   * Makes one check: records the step's finding, or its refusal, which is thrown on.
   *
   * @throws {@link AttestationError} what `step` threw.
   */
  async judge<T>(id: CheckId, step: () => Finding<T> | Promise<Finding<T>>): Promise<T> {
    try {
      const finding = await step();
      this.pass(id, finding);
      return finding.value;
    } catch (error) {
      if (error instanceof AttestationError) this.fail(id, error);
      throw error;
    }
  }

  pass(id: CheckId, finding: Finding<unknown>): void {
    const { found, wanted, skipped } = finding;
    if (skipped === undefined) {
      const why = finding.why ?? purposeOf(this.#words, id).proves;
      this.#checks.push({ id, status: "pass", found, wanted, why, fix: "Nothing.", code: null });
      return;
    }
    const { why, fix } = SKIPS[skipped];
    const code = skipped === "by the policy" ? "policy/unchecked" : null;
    this.#checks.push({ id, status: "skip", found, wanted, why, fix, code });
  }

  fail(id: CheckId, error: AttestationError): void {
    const { failure, why, fix } = remedyOf(this.#words, id, error.code);
    this.#failure ??= failure;
    const { wanted } = purposeOf(this.#words, id);
    const parts =
      error instanceof Refusal
        ? { found: error.found, wanted: error.wanted }
        : { found: error.message.slice(error.code.length + 2), wanted };
    this.#checks.push({ id, status: "fail", ...parts, why, fix, code: error.code });
  }

  /** The verdict: what was not reached is filled in; `verified` needs every check made or excused. */
  verdict(facts: VerdictFacts): Verdict {
    const made = new Map(this.#checks.map((check) => [check.id, check]));
    const before = this.#checks.filter((check) => !this.#ids.includes(check.id));
    const checks = this.#ids.map((id) => made.get(id) ?? notReached(id, this.#words));
    const complete = this.#ids.every((id) => made.has(id));
    const result = this.#failure !== null ? "rejected" : complete ? "verified" : "incomplete";
    return { result, failure: this.#failure, checks: [...before, ...checks], ...facts };
  }
}

/** The verdict where nothing could be judged: the node is away, or its keys rotated meanwhile. */
export function incompleteVerdict(
  failure: "unreachable" | "rotated",
  mode: Mode,
  judgedAtMs: number,
): Verdict {
  const checks = EVIDENCE_CHECKS.map((id) => notReached(id, EVIDENCE_WORDS));
  const facts = { platform: null, mode, judgedAtMs, measurement: null };
  return { result: "incomplete", failure, checks, ...facts };
}

function notReached(id: CheckId, words: Words): Check {
  const { why, fix } = SKIPS["not reached"];
  const { wanted } = purposeOf(words, id);
  return { id, status: "skip", found: "not reached", wanted, why, fix, code: null };
}
