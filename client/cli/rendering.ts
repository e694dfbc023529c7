import type { Check, Verdict } from "@countersign/attestation";

import { EXIT } from "./exit.ts";
import { FAILURES } from "./failures.ts";
import { hangingLines, type Layout, PLAIN } from "./layout.ts";
import { type Paint, printable } from "./terminal.ts";

/** Whether a verdict is read from the answer down to the root, or in the order it was judged. */
export type ChainOrder = "from-answer" | "from-root";

const MARK = { pass: "✓", fail: "✗", skip: "–" } as const satisfies Record<Check["status"], string>;
const ARCHIVED =
  "Judged at the document's own time, not now: it was genuine then. That does not show that it is recent, or that its enclave still runs.";
const DETAIL_INDENT = "      ";
const DETAIL_WIDTH = "wanted".length;

/** The exit code that a verdict asks for. */
export function exitCodeOf(verdict: Verdict): number {
  switch (verdict.result) {
    case "verified":
      return EXIT.ok;
    case "rejected":
      return EXIT.rejected;
    case "incomplete":
      return EXIT.unchecked;
    default:
      return verdict.result satisfies never;
  }
}

/** The verdict in one line. It never says "verified" without what makes that worth less. */
export function renderResult(verdict: Verdict, paint: Paint): string {
  const facts = resultFacts(verdict);
  const word = renderWord(verdict, paint);
  return facts === null ? word : `${word} ${paint.dim(`(${facts})`)}`;
}

/** The verdict on a subject: one line, or where that is too wide, what is in brackets below it. */
export function renderHeadline(
  subject: string,
  verdict: Verdict,
  paint: Paint,
  { columns }: Layout,
): readonly string[] {
  const name = printable(subject);
  const facts = resultFacts(verdict);
  const width = `${name}: ${resultWord(verdict)} (${facts ?? ""})`.length;
  if (facts === null || columns === null || width <= columns) {
    return [`${name}: ${renderResult(verdict, paint)}`];
  }
  const below = hangingLines("  ", `(${facts})`, columns).map((line) => paint.dim(line));
  return [`${name}: ${renderWord(verdict, paint)}`, ...below];
}

function resultWord({ result, failure }: Verdict): string {
  return failure === null ? result : `${result}: ${failure}`;
}

function renderWord(verdict: Verdict, paint: Paint): string {
  const word = paint.bold(resultWord(verdict));
  switch (verdict.result) {
    case "verified":
      return paint.good(word);
    case "rejected":
      return paint.bad(word);
    case "incomplete":
      return paint.warn(word);
    default:
      return verdict.result satisfies never;
  }
}

function resultFacts(verdict: Verdict): string | null {
  const { result, platform, measurement, mode } = verdict;
  const facts: string[] = [];
  if (platform !== null) facts.push(`platform ${printable(platform)}`);
  if (measurement !== null) facts.push(`code "${printable(measurement)}"`);
  if (mode === "archive" && result !== "incomplete") facts.push("at the document's own time");
  const off = result === "verified" ? switchedOff(verdict) : [];
  if (off.length > 0) facts.push(`not checked, by your policy: ${off.join(", ")}`);
  return facts.length === 0 ? null : facts.join(", ");
}

/**
 * What a reader must know before the checks, in sentences: what kind of failure it is, and what a
 * success does not show.
 */
export function verdictNotes({ result, failure, mode, platform }: Verdict): readonly string[] {
  const notes: string[] = [];
  if (failure !== null) notes.push(FAILURES[failure].means);
  if (result === "verified" && mode === "archive") notes.push(ARCHIVED);
  const notice = simulationNotice(platform);
  return notice === null ? notes : [...notes, notice];
}

/** Checks that the policy switches off in words. */
function switchedOff({ checks }: Verdict): readonly string[] {
  return checks.filter(({ code }) => code === "policy/unchecked").map(({ id }) => id);
}

/** A check and what is to be known of it; those that were not reached in one line at the end. */
export function renderChain(
  checks: readonly Check[],
  order: ChainOrder,
  paint: Paint,
  layout: Layout = PLAIN,
): readonly string[] {
  const width = checks.reduce((most, { id }) => Math.max(most, id.length), 0);
  const ordered = order === "from-answer" ? checks.toReversed() : checks;
  const reached = ordered.filter((check) => !isUnreached(check));
  const lines = reached.flatMap((check) => renderCheck(check, width, paint, layout));
  const unreached = ordered.filter(isUnreached).map(({ id }) => id);
  if (unreached.length === 0) return lines;
  const prefix = `  ${MARK.skip} not reached: `;
  const rest = hangingLines(prefix, unreached.join(", "), layout.columns);
  return [...lines, ...rest.map((line) => paint.dim(line))];
}

/** A check that rests on one that failed. `--json` has them one by one. */
function isUnreached({ status, found }: Check): boolean {
  return status === "skip" && found === "not reached";
}

/** The verdict's members in JSON, the same for every command. */
export function verdictObject(verdict: Verdict): Readonly<Record<string, unknown>> {
  const { result, failure, platform, measurement, mode, judgedAtMs, checks } = verdict;
  const judgedAt = new Date(judgedAtMs).toISOString();
  return { result, failure, platform, measurement, mode, judgedAt, checks };
}

/**
 * The line on a simulated TEE, for the platform that has one; null for hardware.
 *
 * It stands beside every verdict on it, so that nobody takes the simulation for protection.
 */
export function simulationNotice(platform: string | null): string | null {
  if (platform !== "simulated") return null;
  return "The TEE is simulated: the protocol is real, but no hardware protects this machine's memory.";
}

function renderCheck(check: Check, width: number, paint: Paint, layout: Layout): readonly string[] {
  const { id, status, found, wanted, why, fix } = check;
  const detail = (label: string, text: string): readonly string[] =>
    text === "" ? [] : detailLines(label, text, layout.columns);
  // Whole values of a failure: what to do about it is often to compare one, or to copy it.
  const whole = layout.detail === "all" || status === "fail";
  const seen = printable(whole ? found : abridge(found));
  const wish = layout.detail === "found" ? [] : detail("wanted", whole ? wanted : abridge(wanted));
  const lines = hangingLines(`  ${MARK[status]} ${id.padEnd(width)}  `, seen, layout.columns);
  const [first = "", ...rest] = lines;
  switch (status) {
    case "pass": {
      const more = [...wish, ...(layout.detail === "all" ? detail("shows", why) : [])];
      const painted = first.replace(MARK.pass, paint.good(MARK.pass));
      return [painted, ...rest, ...more.map((line) => paint.dim(line))];
    }
    case "fail": {
      const name = first.replace(`${MARK.fail} ${id}`, `${paint.bad(MARK.fail)} ${paint.bold(id)}`);
      return [
        name,
        ...rest,
        ...detail("wanted", wanted),
        ...detail("why", why),
        ...detail("fix", fix),
      ];
    }
    case "skip": {
      const reason = layout.detail === "all" ? [...detail("why", why), ...detail("fix", fix)] : [];
      return [...lines, ...wish, ...reason].map((line) => paint.dim(line));
    }
    default:
      return status satisfies never;
  }
}

function detailLines(label: string, text: string, columns: number | null): readonly string[] {
  const prefix = `${DETAIL_INDENT}${label.padEnd(DETAIL_WIDTH)}  `;
  return hangingLines(prefix, printable(text), columns);
}

/** Digests are shown by their first 16 digits: enough to compare by eye; `--json` has all of them. */
export function abridge(text: string): string {
  return text.replaceAll(/\b([0-9a-f]{16})[0-9a-f]{16,}\b/gu, "$1…");
}
