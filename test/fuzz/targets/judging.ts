/** What the targets that yield verdicts share: judging twice, with a memory and without. */
import {
  type AppraisalContext,
  AttestationError,
  decodeHex,
  EvidenceCache,
  parsePolicy,
  type Policy,
  type Verdict,
} from "@countersign/attestation";
import type { Judged } from "../oracle/document.ts";
import { ACCEPTED, Breach, type Input, requireHeld, type Run, type Stance } from "../target.ts";

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
/** Inside every validity and age, at their ends and past them. */
const SHIFTS_MS = [-50 * YEAR_MS, -YEAR_MS, -1, 1, 2 * HOUR_MS, YEAR_MS, 50 * YEAR_MS];
/** One input in so many is judged at another time too. */
const SHIFTED = 4;
const POLICIES = 64;

/** Judges `bytes` once. */
export type Appraise = (
  bytes: Uint8Array,
  policy: Policy,
  context: AppraisalContext,
) => Promise<Verdict>;

/** An oracle: throws {@link Breach} where what was accepted should not have been. */
export type Oracle = (bytes: Uint8Array, judged: Judged) => void;

export class Judge {
  readonly #appraise: Appraise;
  readonly #oracle: Oracle;
  readonly #known: Set<string>;
  /** One for the whole campaign: what is in it must never change a verdict. */
  readonly #cache = new EvidenceCache();
  readonly #policies = new Map<string, Policy | AttestationError>();

  /** @param known - marks of all that the seeds hold. */
  constructor(appraise: Appraise, oracle: Oracle, known: Iterable<string>) {
    this.#appraise = appraise;
    this.#oracle = oracle;
    this.#known = new Set(known);
  }

  /** Marks of what the lab signed now. */
  know(marks: Iterable<string>): void {
    for (const mark of marks) this.#known.add(mark);
  }

  async run({ bytes, stance, signed }: Input): Promise<Run> {
    if (stance === null) throw new TypeError("an input that nobody says how to judge");
    const { mode, nowMs, nonce } = stance;
    const policy = this.#policy(stance);
    if (policy instanceof AttestationError) return { outcome: policy.code, breach: null };
    const context = { mode, nowMs, nonce: nonce === null ? null : decodeHex(nonce) };
    const verdict = await this.#appraise(bytes, policy, context);
    const outcome = outcomeOf(verdict);
    try {
      requireWhole(verdict);
      await this.#requireSame(bytes, policy, context, verdict);
      const otherMs = otherTime(nowMs, bytes);
      if (otherMs !== null) await this.#requireSame(bytes, policy, { ...context, nowMs: otherMs });
      if (verdict.result === "verified") {
        this.know(signed);
        const known = this.#known;
        const atMs = mode === "live" ? nowMs : null;
        this.#oracle(bytes, { policy, atMs, nonce: context.nonce, known });
      }
    } catch (error) {
      if (!(error instanceof Breach)) throw error;
      return { outcome, breach: error.message };
    }
    return { outcome, breach: null };
  }

  /** The verdict is the same again, and from a verifier that remembers. */
  async #requireSame(
    bytes: Uint8Array,
    policy: Policy,
    context: AppraisalContext,
    before?: Verdict,
  ): Promise<void> {
    const remembering = await this.#appraise(bytes, policy, { ...context, cache: this.#cache });
    const fresh = before ?? (await this.#appraise(bytes, policy, context));
    const [a, b] = [JSON.stringify(fresh), JSON.stringify(remembering)];
    const outcomes = `${outcomeOf(fresh)}, and then, with a memory, ${outcomeOf(remembering)}`;
    requireHeld(a === b, `judged twice: ${outcomes}, at ${context.nowMs}\n${a}\n${b}`);
  }

  /** The policy, or why it is none: one that pins a root which mutation made may be refused. */
  #policy({ policy: text }: Stance): Policy | AttestationError {
    const policy = this.#policies.get(text) ?? parsed(text);
    if (this.#policies.size >= POLICIES) this.#policies.clear();
    this.#policies.set(text, policy);
    return policy;
  }
}

function parsed(text: string): Policy | AttestationError {
  try {
    return parsePolicy(text);
  } catch (error) {
    if (error instanceof AttestationError) return error;
    throw error;
  }
}

/** Another time, which follows from the bytes so that a replay has the same. */
function otherTime(nowMs: number, bytes: Uint8Array): number | null {
  const shift = SHIFTS_MS[sumOf(bytes) % (SHIFTED * SHIFTS_MS.length)];
  // No time is before 1970: whoever says so is wrong about the verifier, not about a document.
  return shift === undefined ? null : Math.max(0, nowMs + shift);
}

/** A number that follows from the bytes, to choose by. */
export function sumOf(bytes: Uint8Array): number {
  return bytes.reduce((total, byte) => total + byte, 0);
}

function outcomeOf({ checks }: Verdict): string {
  return checks.find(({ status }) => status === "fail")?.code ?? ACCEPTED;
}

/** A verdict says one thing: all held, or one did not and nothing after it was reached. */
function requireWhole({ result, failure, checks }: Verdict): void {
  const failed = checks.findIndex(({ status }) => status === "fail");
  const unreached = checks.findIndex(({ found }) => found === "not reached");
  requireHeld(result !== "incomplete", "appraisal ended before its last check");
  if (failed === -1) {
    requireHeld(result === "verified" && failure === null, "rejected without a failed check");
    requireHeld(unreached === -1, "verified although a check was not reached");
    return;
  }
  requireHeld(result === "rejected" && failure !== null, "verified although a check failed");
  const after = checks.slice(failed + 1);
  requireHeld(
    after.every(({ status, found }) => status === "skip" && found === "not reached"),
    "a check was made after one that failed",
  );
}
