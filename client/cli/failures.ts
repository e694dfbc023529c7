/**
 * The classes of failures in words. A check that fails has words of its own, which are more exact;
 * these say what kind of failure it is, also where no check was reached.
 */
import type { FailureClass } from "@countersign/attestation";

import { hangingLines } from "./layout.ts";

export interface FailureWords {
  /** What the class says of the subject, as a sentence. */
  readonly means: string;
  /** Why it happens in practice. */
  readonly why: string;
  /** What to do about it. */
  readonly fix: string;
}

export const FAILURES: Readonly<Record<FailureClass, FailureWords>> = {
  tampered: {
    means: "Its parts do not belong together, or not to what was signed.",
    why: "It was changed after it was signed, or put together from parts of several.",
    fix: "Do not use it. Fetch it again, over another path if you can.",
  },
  untrusted: {
    means: "It is something that your policy does not accept.",
    why: "It is other code, hardware or models than you listed: often a newer release, sometimes an impostor.",
    fix: "Find out what it is. Change the policy only if it is what you want.",
  },
  stale: {
    means: "It is not recent, or no answer to your challenge.",
    why: "A cache or a recording was served, or one of the two clocks is wrong.",
    fix: "Fetch it again, and compare your clock with the network's.",
  },
  rotated: {
    means: "The node's keys changed meanwhile. Nothing was found to be false.",
    why: "A node makes new keys every hour, and when it starts.",
    fix: "Ask again: the new keys are then verified like the old.",
  },
  expired: {
    means: "Its time is over: a certificate's, or your policy's.",
    why: "An enclave's certificates hold for hours, a policy until the date in it.",
    fix: "Fetch new evidence, judge an old file with --archive, or renew the policy.",
  },
  truncated: {
    means: "Its end is missing.",
    why: "A connection or a download broke off, or somebody cut it.",
    fix: "Do not take the part for the whole. Fetch it, or ask, again.",
  },
  unreachable: {
    means: "It could not be fetched or read. Nothing was found to be false.",
    why: "The node is not running, the address or path is wrong, or the network is in the way.",
    fix: "Check the address or path, and try again.",
  },
  malformed: {
    means: "It is not in the agreed form.",
    why: "It is another kind of file, another server's answer, of another version, or damaged.",
    fix: "Check the address or path, and fetch it again.",
  },
};

const HELP_COLUMNS = 100;

/** What the exit codes and the classes mean, for the help of the commands that judge. */
export function verdictHelp(): string {
  const names = Object.entries(FAILURES);
  const width = names.reduce((most, [name]) => Math.max(most, name.length), 0);
  const rows = names.flatMap(([name, { means, why, fix }]) =>
    hangingLines(`  ${name.padEnd(width)}  `, `${means} ${why} ${fix}`, HELP_COLUMNS),
  );
  return `Exit code: 0 verified, 1 rejected, 2 could not be checked: the subject or the policy cannot be read,
or the policy has a mistake, which is named with its line. (By an expired policy all is rejected.)
--json prints one line a subject, of the form of client/verdict.schema.json.

A failure is of one of these classes; the check that failed says more:
${rows.join("\n")}`;
}
