import {
  appraiseBundle,
  appraiseDocument,
  decodeHex,
  formatTime,
  incompleteVerdict,
  type Mode,
  parseTimestamp,
  type Policy,
  type Verdict,
} from "@countersign/attestation";
import { nativePrimitives } from "@countersign/protocol/native";

import { fetchBundle, requireNodeUrl } from "@countersign/client";
import { POLICY_OPTION } from "../arguments.ts";
import type { Call, Command } from "../command.ts";
import {
  clientFailure,
  type OutputStyle,
  reportUnreachable,
  reportVerdict,
} from "../connecting.ts";
import { CommandError, EXIT, UsageError } from "../exit.ts";
import { readUserFile } from "../files.ts";
import { userPath } from "../paths.ts";
import { loadPolicy } from "../policies.ts";
import type { Terminal } from "../terminal.ts";

const MAX_SUBJECTS = 100_000;
const NONCE_BYTES = 32;
const MAX_NONCE_BYTES = 64;
const MIN_NONCE_BYTES = 16;
/** A bundle is a map, a bare document an array or a tagged one (RFC 8949 §3.1). */
const CBOR_MAP = 5;

export const attestCommand: Command = {
  name: "attest",
  summary: "verify the evidence of nodes, or of files",
  synopsis: "NODE | FILE… [--policy FILE] [--challenge | --nonce HEX] [--at TIME | --archive]",
  details: `A file is a bundle, as a node serves it, or a bare attestation document. A bare document has no
preimages to recompute: those checks are skipped, and the verdict says so.
Several subjects are judged one by one; the exit code is that of the worst.

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
    POLICY_OPTION,
  ],
  operands: [1, MAX_SUBJECTS, "NODE or FILE"],
  run,
};

interface Question {
  readonly policy: Policy;
  readonly atMs: number | null;
  readonly nonce: Uint8Array | null;
  readonly challenge: boolean;
  readonly archive: boolean;
}

async function run({ args, terminal, json, quiet }: Call): Promise<number> {
  const question: Question = {
    policy: await loadPolicy(args.text("policy")),
    atMs: parseAt(args.text("at")),
    nonce: parseNonce(args.text("nonce")),
    challenge: args.flag("challenge"),
    archive: args.flag("archive"),
  };
  requireAnswerable(question, args.operands);
  let worst: number = EXIT.ok;
  const style = { json, quiet };
  for (const subject of args.operands) {
    const exit = await attest(subject, question, terminal, style);
    if (exit !== EXIT.ok && worst !== EXIT.rejected) worst = exit;
  }
  return worst;
}

/** A challenge that is silently not sent would look like one that was answered. @throws UsageError */
function requireAnswerable(question: Question, subjects: readonly string[]): void {
  const { challenge, nonce, archive, atMs } = question;
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
    const verdict = await appraise(subject, question);
    const exit = reportVerdict(terminal, style, subject, verdict);
    if (question.atMs !== null && !style.json) {
      terminal.print(`  judged as of ${formatTime(question.atMs)}, as --at says, not now`);
    }
    return exit;
  } catch (error) {
    // One subject that cannot be had does not keep the others from being judged.
    const failure = clientFailure(error) ?? error;
    if (!(failure instanceof CommandError)) throw error;
    const verdict = incompleteVerdict("unreachable", "live", question.atMs ?? Date.now());
    return reportUnreachable(terminal, style, subject, verdict, failure);
  }
}

async function appraise(subject: string, question: Question): Promise<Verdict> {
  const { policy, atMs, archive } = question;
  const isNode = isNodeUrl(subject);
  const nonce = isNode ? nodeNonce(question) : question.nonce;
  const bytes = isNode
    ? await fetchBundle(fetch, requireNodeUrl(subject), nonce, null)
    : await readUserFile(userPath(subject), "the evidence");
  const mode: Mode = archive ? "archive" : "live";
  const context = { mode, nowMs: atMs ?? Date.now(), nonce };
  // A node is its bundle. Were a bare document enough, a host could leave out what it has to hide:
  // the checks of keys, models and suite would be skipped by design.
  const appraised =
    isNode || isBundle(bytes)
      ? await appraiseBundle(bytes, policy, context)
      : await appraiseDocument(bytes, policy, context);
  return appraised.verdict;
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
  if (/^\d{1,15}$/u.test(text)) return Number(text);
  const ms = parseTimestamp(text);
  if (ms !== null) return ms;
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
