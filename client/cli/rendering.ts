import type { Check, Verdict } from "@countersign/attestation";

import { EXIT } from "./exit.ts";
import { type Paint, printable } from "./terminal.ts";

/** Whether a verdict is read from the answer down to the root, or in the order it was judged. */
export type ChainOrder = "from-answer" | "from-root";

const MARK = { pass: "✓", fail: "✗", skip: "–" } as const satisfies Record<Check["status"], string>;
const DETAIL_INDENT = "      ";

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

/** The verdict in one line. */
export function renderResult(verdict: Verdict, paint: Paint): string {
  const { result, failure, platform, measurement, mode } = verdict;
  const facts: string[] = [];
  if (platform !== null) facts.push(`platform ${printable(platform)}`);
  if (measurement !== null) facts.push(`code "${printable(measurement)}"`);
  if (mode === "archive") facts.push("certificates judged at the document's own time");
  const tail = facts.length === 0 ? "" : ` ${paint.dim(`(${facts.join(", ")})`)}`;
  if (result === "verified") return `${paint.good(paint.bold("verified"))}${tail}`;
  const kind = failure === null ? "" : `: ${failure}`;
  const word =
    result === "rejected" ? paint.bad(`rejected${kind}`) : paint.warn(`${result}${kind}`);
  return `${paint.bold(word)}${tail}`;
}

/** One line a check, a failed one with what was wanted, why, and what to do; one for the unreached. */
export function renderChain(
  checks: readonly Check[],
  order: ChainOrder,
  paint: Paint,
): readonly string[] {
  const width = checks.reduce((most, { id }) => Math.max(most, id.length), 0);
  const ordered = order === "from-answer" ? checks.toReversed() : checks;
  const reached = ordered.filter((check) => !isUnreached(check));
  const lines = reached.flatMap((check) => renderCheck(check, width, paint));
  const unreached = ordered.filter(isUnreached).map(({ id }) => id);
  if (unreached.length === 0) return lines;
  return [...lines, paint.dim(`  ${MARK.skip} not reached: ${unreached.join(", ")}`)];
}

/** A check that rests on one that failed. `--json` has them one by one. */
function isUnreached({ status, found }: Check): boolean {
  return status === "skip" && found === "not reached";
}

/** The verdict as the object that `--json` prints. */
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

function renderCheck(check: Check, width: number, paint: Paint): readonly string[] {
  const { id, status, wanted, why, fix } = check;
  const found = abridge(printable(check.found));
  const name = id.padEnd(width);
  if (status === "pass") return [`  ${paint.good(MARK.pass)} ${name}  ${found}`];
  if (status === "skip") return [paint.dim(`  ${MARK.skip} ${name}  ${found}`)];
  return [
    `  ${paint.bad(MARK.fail)} ${paint.bold(name)}  ${found}`,
    `${DETAIL_INDENT}wanted  ${abridge(printable(wanted))}`,
    `${DETAIL_INDENT}why     ${printable(why)}`,
    `${DETAIL_INDENT}fix     ${printable(fix)}`,
  ];
}

/** Digests are shown by their first 16 digits: enough to compare by eye; `--json` has all of them. */
export function abridge(text: string): string {
  return text.replaceAll(/\b([0-9a-f]{16})[0-9a-f]{16,}\b/gu, "$1…");
}
