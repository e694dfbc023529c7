import {
  appraiseProof,
  encodeHex,
  formatTime,
  type Proof,
  type ReceiptClaims,
} from "@countersign/attestation";
import { nativePrimitives } from "@countersign/protocol/native";

import { POLICY_OPTION } from "../arguments.ts";
import type { Call, Command } from "../command.ts";
import { reportVerdict } from "../connecting.ts";
import { readUserFile } from "../files.ts";
import { decodeOpening, type OpenedExchange } from "../opening.ts";
import { userPath } from "../paths.ts";
import { loadPolicy } from "../policies.ts";
import { printable, printableLines, type Terminal } from "../terminal.ts";

export const verifyCommand: Command = {
  name: "verify",
  summary: "verify a proof, offline",
  synopsis: "PROOF [--policy FILE] [--opening]",
  details: `Needs the proof and your policy: no node, no network. Certificates are judged at the time of the
attestation document, since they live for hours only; the verdict says so.

examples:
  countersign verify seven.proof
  countersign verify seven.proof --opening`,
  options: [
    {
      name: "opening",
      value: null,
      description: "prints request and answer, where the proof holds them",
    },
    POLICY_OPTION,
  ],
  operands: [1, 1, "PROOF"],
  run,
};

async function run({ args, terminal, json, quiet }: Call): Promise<number> {
  const path = args.operands[0] ?? "";
  const bytes = await readUserFile(userPath(path), "the proof");
  const policy = await loadPolicy(args.text("policy"));
  const nowMs = Date.now();
  const { verdict, proof, claims } = await appraiseProof(
    bytes,
    policy,
    { nowMs },
    nativePrimitives,
  );
  const opened = args.flag("opening") && claims !== null ? await openingOf(proof) : null;
  const extra = claims === null ? {} : { claims: claimsObject(claims) };
  const opening = opened === null ? {} : { opening: openingObject(opened) };
  const exit = reportVerdict(terminal, { json, quiet }, path, verdict, { ...extra, ...opening });
  if (json || claims === null || quiet) return exit;
  printClaims(terminal, claims);
  if (args.flag("opening")) printOpening(terminal, opened);
  return exit;
}

async function openingOf(proof: Proof | null): Promise<OpenedExchange | null> {
  const opening = proof?.opening ?? null;
  return opening === null ? null : await decodeOpening(opening);
}

function printClaims(terminal: Terminal, claims: ReceiptClaims): void {
  const { model, outcome, issuedAt, index } = claims;
  const ran = model === null ? "no model" : `${model.id} ${model.version}`;
  terminal.print(
    `\nthe receipt: ${printable(ran)}, status ${outcome.status}, ${formatTime(issuedAt * 1000)}, index ${index}`,
  );
}

function printOpening(terminal: Terminal, opened: OpenedExchange | null): void {
  const { paint } = terminal;
  if (opened === null) {
    terminal.print(
      "\nthe proof holds no opening: it shows that there was an exchange, not what was said",
    );
    return;
  }
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

function claimsObject(claims: ReceiptClaims): Readonly<Record<string, unknown>> {
  const { model, outcome } = claims;
  const head = (name: "request" | "response"): Readonly<Record<string, unknown>> => {
    const { leaves, bytes, root } = claims[name];
    return { leaves, bytes, root: encodeHex(root) };
  };
  return {
    issuedAt: new Date(claims.issuedAt * 1000).toISOString(),
    exchange: encodeHex(claims.exchange),
    keyset: encodeHex(claims.keysetDigest),
    document: encodeHex(claims.documentDigest),
    index: claims.index,
    phase: claims.phase,
    model: model === null ? null : { ...model, digest: encodeHex(model.digest) },
    request: head("request"),
    response: head("response"),
    outcome: {
      ...outcome,
      ...(outcome.parameters === undefined ? {} : { parameters: encodeHex(outcome.parameters) }),
    },
  };
}

function openingObject({ request, response }: OpenedExchange): Readonly<Record<string, unknown>> {
  const content = (bytes: Uint8Array): Readonly<Record<string, unknown>> => {
    const { encoding, value } = textOf(bytes);
    return { encoding, content: value };
  };
  return {
    request: request === null ? null : { ...request, ...content(request.content) },
    response: { ...response, ...content(response.content) },
  };
}

/** Content as text, or in base64 where it is none. */
function textOf(bytes: Uint8Array): {
  readonly encoding: "utf-8" | "base64";
  readonly value: string;
} {
  try {
    const value = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return { encoding: "utf-8", value };
  } catch {
    return { encoding: "base64", value: Buffer.from(bytes).toString("base64") };
  }
}
