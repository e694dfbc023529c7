/**
 * Keeps what we and an oracle each say of the same subject, and asks that every disagreement be
 * explained: by a rule that names its reason. A rule that explains nothing any more is a finding too.
 */

/** What one side says: it accepts, or refuses in these words. */
export interface Opinion {
  readonly accepts: boolean;
  /** Why it refuses; empty where it accepts. */
  readonly why: string;
}

export const ACCEPTS: Opinion = { accepts: true, why: "" };

export function refuses(why: string): Opinion {
  return { accepts: false, why };
}

/** Why one kind of disagreement is right. */
export interface Rule {
  /** What we say: that we accept, or a pattern of our refusal, `<code>: <message>`. */
  readonly ours: RegExp | "accepts";
  /** What the oracle says: a pattern of its refusal, or of how it reads what both accept. */
  readonly oracle: RegExp | "accepts";
  /** The subjects it is about, by name, where not any. */
  readonly of?: RegExp;
  /** In one sentence, and the clause it rests on. */
  readonly reason: string;
  readonly clause: string;
}

interface Tally {
  readonly subjects: string[];
}

/** The comparison of one oracle with us. */
export class Ledger {
  readonly #oracle: string;
  readonly #tallies: ReadonlyMap<Rule, Tally>;
  readonly #unexplained: string[] = [];
  #accepted = 0;
  #refused = 0;

  constructor(oracle: string, rules: readonly Rule[]) {
    this.#oracle = oracle;
    this.#tallies = new Map(rules.map((rule) => [rule, { subjects: [] }]));
  }

  /**
   * Enters both opinions of `subject`.
   *
   * @param difference - how the oracle reads what both accept, where that is not as we do.
   */
  enter(subject: string, ours: Opinion, oracle: Opinion, difference: string | null = null): void {
    if (ours.accepts === oracle.accepts && difference === null) {
      if (ours.accepts) this.#accepted++;
      else this.#refused++;
      return;
    }
    const theirs = difference === null ? oracle : refuses(difference);
    for (const [rule, { subjects }] of this.#tallies) {
      const ofSubject = rule.of === undefined || rule.of.test(subject);
      if (ofSubject && matches(rule.ours, ours) && matches(rule.oracle, theirs)) {
        subjects.push(subject);
        return;
      }
    }
    const ourWord = ours.accepts ? "accept" : `refuse: ${ours.why}`;
    const theirWord = difference ?? (oracle.accepts ? "accepts" : `refuses: ${oracle.why}`);
    this.#unexplained.push(`${subject}: we ${ourWord}; ${this.#oracle} ${theirWord}`);
  }

  /** Subjects that were compared. */
  get compared(): number {
    const explained = [...this.#tallies.values()].map(({ subjects }) => subjects.length);
    const agreed = this.#accepted + this.#refused;
    return explained.reduce((sum, count) => sum + count, agreed + this.#unexplained.length);
  }

  get agreed(): { readonly accepted: number; readonly refused: number } {
    return { accepted: this.#accepted, refused: this.#refused };
  }

  /** Disagreements that no rule explains. */
  get unexplained(): readonly string[] {
    return this.#unexplained;
  }

  /** Reasons of rules that explained nothing. */
  get stale(): readonly string[] {
    return [...this.#tallies].flatMap(([{ reason }, { subjects }]) =>
      subjects.length === 0 ? [reason] : [],
    );
  }

  /** For people: counts, then each reason with its subjects; first those that only we accept. */
  report(): string {
    const lines = [
      `${this.#oracle}: ${this.compared} compared; both accept ${this.#accepted}, both refuse ` +
        `${this.#refused}, ${this.#unexplained.length} unexplained`,
    ];
    const explained = [...this.#tallies].toSorted(([a], [b]) => direction(a) - direction(b));
    for (const [rule, { subjects }] of explained) {
      const heading = HEADINGS[direction(rule)];
      lines.push(`  ${heading}: ${subjects.length} × ${rule.reason} (${rule.clause})`);
      lines.push(`    ${abridged(subjects, MAX_LISTED[direction(rule)])}`);
    }
    return lines.join("\n");
  }
}

/** By {@link direction}: that in which a verifier fails is listed at more length. */
const HEADINGS = ["only we accept", "only we refuse"] as const;
const MAX_LISTED = [12, 3] as const;

function direction({ ours }: Rule): 0 | 1 {
  return ours === "accepts" ? 0 : 1;
}

function matches(pattern: RegExp | "accepts", { accepts, why }: Opinion): boolean {
  return pattern === "accepts" ? accepts : !accepts && pattern.test(why);
}

function abridged(subjects: readonly string[], most: number): string {
  const more = subjects.length - most;
  return subjects.slice(0, most).join(", ") + (more > 0 ? `, and ${more} more` : "");
}
