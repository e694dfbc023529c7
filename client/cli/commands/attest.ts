import {
  appraiseBundle,
  appraiseDocument,
  decodeHex,
  EvidenceCache,
  formatTime,
  type Mode,
  parseTimestamp,
  type Policy,
  type Verdict,
} from "@countersign/attestation";
import { nativePrimitives } from "@countersign/protocol/native";

import { fetchBundle, requireNodeUrl } from "@countersign/client";
import { POLICY_OPTION } from "../arguments.ts";
import type { Call, Command } from "../command.ts";
import { EXIT, UsageError } from "../exit.ts";
import { verdictHelp } from "../failures.ts";
import { readUserFile } from "../files.ts";
import { userPath } from "../paths.ts";
import { loadPolicy } from "../policies.ts";
import {
  type OutputStyle,
  outputStyle,
  reportUnjudged,
  reportVerdict,
  VERBOSE_OPTION,
} from "../reporting.ts";
import { insteadOfEvidence, mistakenName } from "../subject-hints.ts";
import type { Terminal } from "../terminal.ts";

const MAX_SUBJECTS = 100_000;
const NONCE_BYTES = 32;
const MAX_NONCE_BYTES = 64;
const MIN_NONCE_BYTES = 16;
/** The last second that RFC 3339 has: the end of the year 9999. */
const MAX_TIME_MS = Date.UTC(9999, 11, 31, 23, 59, 59);
/** A bundle is a map, a bare document an array or a tagged one (RFC 8949 §3.1). */
const CBOR_MAP = 5;
const BARE = "A bare document: it says nothing about a node's keys, models or encryption.";
const WORST_FIRST = [EXIT.rejected, EXIT.unchecked] as const;

export const attestCommand: Command = {
  name: "attest",
  summary: "verify the evidence of nodes, or of files",
  synopsis: "NODE | FILE… [--policy FILE] [--challenge | --nonce HEX] [--at TIME | --archive]",
  details: `A file is a bundle, as a node serves it, or a bare attestation document. A bare document has no
preimages to recompute: those checks are skipped, and the verdict says so.
Several subjects are judged one by one. The exit code is that of the worst: 1 before 2 before 0.
--archive asks whether evidence was good when it was made. It does not show that it is recent, or that
the enclave still runs: never send a request on the strength of it.

${verdictHelp()}

examples:
  countersign attest http://127.0.0.1:8480
  countersign attest http://127.0.0.1:8480 --challenge
  countersign attest node.bundle --at 2026-06-30T12:00:00Z
  countersign attest old.document --archive --policy examples/aws-nitro.policy.json`,
  options: [
    {
      name: "challenge",
      value: null,
      description: "asks a node for a document made for a random nonce",
    },
    {
      name: "nonce",
      value: "HEX",
      description: "the nonce to ask for, or that a file must answer",
    },
    {
      name: "at",
      value: "TIME",
      description: "judges at this time, ISO 8601 or Unix milliseconds",
    },
    {
      name: "archive",
      value: null,
      description: "judges a file at its document's own time, which proves less",
    },
    VERBOSE_OPTION,
    POLICY_OPTION,
  ],
  operands: [1, MAX_SUBJECTS, "NODE or FILE"],
  run,
};

/** What the options ask. */
interface Asked {
  readonly atMs: number | null;
  readonly nonce: Uint8Array | null;
  readonly challenge: boolean;
  readonly archive: boolean;
}

interface Question extends Asked {
  readonly policy: Policy;
  /** Of all subjects: documents of one machine share most of their certificates. */
  readonly cache: EvidenceCache;
}

async function run(call: Call): Promise<number> {
  const { args, terminal } = call;
  const style = outputStyle(call);
  const asked = {
    atMs: parseAt(args.text("at")),
    nonce: parseNonce(args.text("nonce")),
    challenge: args.flag("challenge"),
    archive: args.flag("archive"),
  };
  requireAnswerable(asked, args.operands);
  let policy: Policy;
  try {
    policy = await loadPolicy(args.text("policy"));
  } catch (error) {
    return reportUnjudged(terminal, style, args.operands, timeOf(asked), error);
  }
  const question = { ...asked, policy, cache: new EvidenceCache() };
  const exits: number[] = [];
  for (const subject of args.operands) {
    if (exits.length > 0 && !style.json && !style.quiet) terminal.print("");
    exits.push(await attest(subject, question, terminal, style));
  }
  if (exits.length > 1 && !style.json && !style.quiet) terminal.print(`\n${tally(exits)}`);
  return WORST_FIRST.find((exit) => exits.includes(exit)) ?? EXIT.ok;
}

/** How many of several subjects came to what. */
function tally(exits: readonly number[]): string {
  const count = (exit: number): number => exits.filter((other) => other === exit).length;
  const { ok, rejected, unchecked } = EXIT;
  return (
    `${exits.length} subjects: ${count(ok)} verified, ${count(rejected)} rejected, ` +
    `${count(unchecked)} could not be checked`
  );
}

/** A challenge that is silently not sent would look like one that was answered. @throws UsageError */
function requireAnswerable(asked: Asked, subjects: readonly string[]): void {
  const { challenge, nonce, archive, atMs } = asked;
  if (archive && atMs !== null) {
    throw new UsageError("--archive and --at", "one of them: --archive takes the document's time");
  }
  if (archive && subjects.some(isNodeUrl)) {
    throw new UsageError("--archive, and a node", "a node is judged now; --archive is for files");
  }
  if (!challenge) return;
  if (nonce !== null) {
    throw new UsageError("--challenge and --nonce", "one of them: --nonce is a challenge of yours");
  }
  const file = subjects.find((subject) => !isNodeUrl(subject));
  if (file === undefined) return;
  throw new UsageError(
    `--challenge, and "${file}" is a file`,
    "a file cannot be asked; --nonce HEX says which nonce it must answer",
  );
}

function isNodeUrl(subject: string): boolean {
  return /^https?:\/\//iu.test(subject);
}

async function attest(
  subject: string,
  question: Question,
  terminal: Terminal,
  style: OutputStyle,
): Promise<number> {
  try {
    const { verdict, notes } = await appraise(subject, question);
    return reportVerdict(terminal, style, subject, verdict, notes);
  } catch (error) {
    // One subject that cannot be had does not keep the others from being judged.
    return reportUnjudged(
      terminal,
      style,
      [subject],
      timeOf(question),
      mistakenName(subject, error),
    );
  }
}

async function appraise(
  subject: string,
  question: Question,
): Promise<{ readonly verdict: Verdict; readonly notes: readonly string[] }> {
  const { policy, atMs, cache } = question;
  const isNode = isNodeUrl(subject);
  const nonce = isNode ? nodeNonce(question) : question.nonce;
  const bytes = isNode
    ? await fetchBundle(fetch, requireNodeUrl(subject), nonce, null)
    : await readUserFile(userPath(subject), "the evidence");
  const context = { ...timeOf(question), nonce, cache };
  // A node is its bundle. Were a bare document enough, a host could leave out what it has to hide:
  // the checks of keys, models and suite would be skipped by design.
  const bare = !isNode && !isBundle(bytes);
  const { verdict } = bare
    ? await appraiseDocument(bytes, policy, context)
    : await appraiseBundle(bytes, policy, context);
  const notes = atMs === null ? [] : [`Judged as of ${formatTime(atMs)}, as --at says, not now.`];
  if (bare && verdict.result === "verified") notes.push(BARE);
  const instead = verdict.failure === "malformed" ? insteadOfEvidence(bytes, subject) : null;
  if (instead !== null && !isNode) notes.push(instead);
  return { verdict, notes };
}

function timeOf({ archive, atMs }: Asked): { readonly mode: Mode; readonly nowMs: number } {
  return { mode: archive ? "archive" : "live", nowMs: atMs ?? Date.now() };
}

function nodeNonce({ nonce, challenge, policy }: Question): Uint8Array | null {
  if (nonce !== null) return nonce;
  const { freshness } = policy;
  const required = freshness !== "unchecked" && freshness.challenge === "required";
  return challenge || required ? nativePrimitives.random(NONCE_BYTES) : null;
}

/** The major type of the first byte tells a bundle from a document; what is neither is refused as one. */
function isBundle(bytes: Uint8Array): boolean {
  return (bytes[0] ?? 0) >> 5 === CBOR_MAP;
}

/** @throws UsageError unless ISO 8601 in UTC or Unix milliseconds. */
export function parseAt(text: string | null): number | null {
  if (text === null) return null;
  const ms = /^\d{1,15}$/u.test(text) ? Number(text) : parseTimestamp(text);
  if (ms !== null && ms <= MAX_TIME_MS) return ms;
  throw new UsageError(
    `--at is "${text}"`,
    "a time is for example 2026-06-30T12:00:00Z, or Unix milliseconds",
  );
}

function parseNonce(text: string | null): Uint8Array | null {
  if (text === null) return null;
  const bytes = decodeHex(text);
  if (bytes !== null && bytes.length >= MIN_NONCE_BYTES && bytes.length <= MAX_NONCE_BYTES) {
    return bytes;
  }
  throw new UsageError(
    `--nonce is "${text}"`,
    `hexadecimal, ${MIN_NONCE_BYTES} to ${MAX_NONCE_BYTES} bytes; a good one is random and used once`,
  );
}
