import {
  appraiseProof,
  encodeHex,
  formatTime,
  type Policy,
  type Proof,
  type ReceiptClaims,
} from "@countersign/attestation";
import { nativePrimitives } from "@countersign/protocol/native";

import { POLICY_OPTION } from "../arguments.ts";
import type { Call, Command } from "../command.ts";
import { CommandError, EXIT } from "../exit.ts";
import { verdictHelp } from "../failures.ts";
import { readUserFile } from "../files.ts";
import { decodeOpening, type OpenedExchange } from "../opening.ts";
import { userPath } from "../paths.ts";
import { loadPolicy } from "../policies.ts";
import {
  noteFailure,
  outputStyle,
  reportUnjudged,
  reportVerdict,
  VERBOSE_OPTION,
} from "../reporting.ts";
import { insteadOfProof } from "../subject-hints.ts";
import { printable, printableLines, type Terminal } from "../terminal.ts";
import { type LineExtras, NO_EXTRAS, textOf } from "../verdict-line.ts";

const UNOPENED =
  "The proof holds no opening: it shows that there was this exchange, not what was said.";

export const verifyCommand: Command = {
  name: "verify",
  summary: "verify a proof, offline",
  synopsis: "PROOF [--policy FILE] [--opening]",
  details: `Needs the proof and your policy: no node, no network. Certificates are judged at the time of the
attestation document, since they live for hours only; the verdict says so.

${verdictHelp()}

examples:
  countersign verify seven.proof
  countersign verify seven.proof --opening`,
  options: [
    {
      name: "opening",
      value: null,
      description: "prints request and answer, where the proof holds them",
    },
    VERBOSE_OPTION,
    POLICY_OPTION,
  ],
  operands: [1, 1, "PROOF"],
  run,
};

async function run(call: Call): Promise<number> {
  const { args, terminal } = call;
  const style = outputStyle(call);
  const path = args.operands[0] ?? "";
  const nowMs = Date.now();
  let bytes: Uint8Array;
  let policy: Policy;
  try {
    policy = await loadPolicy(args.text("policy"));
    bytes = await readUserFile(userPath(path), "the proof");
  } catch (error) {
    return reportUnjudged(terminal, style, [path], { mode: "archive", nowMs }, error);
  }
  const { verdict, proof, claims } = await appraiseProof(
    bytes,
    policy,
    { nowMs },
    nativePrimitives,
  );
  const asked = args.flag("opening") && claims !== null;
  const { opening, error } = asked ? await openingOf(proof) : NO_EXTRAS;
  const notes: string[] = [];
  if (claims !== null && proof?.opening === null) notes.push(UNOPENED);
  const instead = proof === null ? insteadOfProof(bytes, path) : null;
  if (instead !== null) notes.push(instead);
  const exit = reportVerdict(terminal, style, path, verdict, notes, { claims, opening, error });
  if (!style.json && !style.quiet && claims !== null) {
    printClaims(terminal, claims);
    if (opening !== null) printOpening(terminal, opening);
  }
  if (error === null) return exit;
  noteFailure(terminal, error);
  return EXIT.rejected;
}

/** What the leaves say, or why that cannot be shown. */
async function openingOf(proof: Proof | null): Promise<Pick<LineExtras, "opening" | "error">> {
  const opening = proof?.opening ?? null;
  if (opening === null) return NO_EXTRAS;
  try {
    return { opening: await decodeOpening(opening), error: null };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const fix = error.fix ?? "leave out --opening: what the verdict says stands without it";
    return { opening: null, error: { message: error.message, fix } };
  }
}

function printClaims(terminal: Terminal, claims: ReceiptClaims): void {
  const { model, outcome, issuedAt, index } = claims;
  const ran = model === null ? "no model" : `${model.id} ${model.version}`;
  terminal.print(
    `\nthe receipt: ${printable(ran)}, status ${outcome.status}, ${formatTime(issuedAt * 1000)}, index ${index}`,
  );
  const text = textFacts(outcome);
  if (text !== null) terminal.print(`the text: ${text}`);
}

/** What the receipt says of text that was generated; null of everything else. */
function textFacts(outcome: ReceiptClaims["outcome"]): string | null {
  const { finishReason, promptTokens, completionTokens, seed, parameters } = outcome;
  const facts: string[] = [];
  if (promptTokens !== undefined) facts.push(`${promptTokens} tokens read`);
  if (completionTokens !== undefined) facts.push(`${completionTokens} written`);
  if (finishReason !== undefined) facts.push(`finish reason ${printable(finishReason)}`);
  if (seed !== undefined) facts.push(`seed ${seed}`);
  if (parameters !== undefined) facts.push(`parameters ${encodeHex(parameters)}`);
  return facts.length === 0 ? null : facts.join(", ");
}

function printOpening(terminal: Terminal, opened: OpenedExchange): void {
  const { paint } = terminal;
  const { request, response } = opened;
  if (request === null) {
    terminal.print(`\n${paint.bold("request")}  refused before any of it was read`);
  } else {
    terminal.print(`\n${paint.bold("request")}  ${printable(`${request.method} ${request.path}`)}`);
    printMessage(terminal, request.headers, request.content);
  }
  terminal.print(`\n${paint.bold("answer")}  ${response.status}`);
  printMessage(terminal, response.headers, response.content);
}

function printMessage(
  terminal: Terminal,
  headers: readonly (readonly [string, string])[],
  content: Uint8Array,
): void {
  for (const [name, value] of headers) {
    terminal.print(terminal.paint.dim(`  ${printable(`${name}: ${value}`)}`));
  }
  if (content.length > 0) terminal.print(`\n${printableLines(textOf(content).value)}`);
}
