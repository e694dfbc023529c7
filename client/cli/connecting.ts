import type { Policy, Verdict } from "@countersign/attestation";
import { ClientError, connect, type Connection, VerdictError } from "@countersign/client";
import { nativePrimitives } from "@countersign/protocol/native";

import { CommandError } from "./exit.ts";
import { printable } from "./terminal.ts";

/** Connects with this runtime's own cryptography. @throws VerdictError, ClientError */
export async function connectNode(
  url: string,
  policy: Policy,
  options: { readonly challenge?: boolean } = {},
): Promise<Connection> {
  return await connect(url, { policy, primitives: nativePrimitives, ...options });
}

/** What went wrong between us and a node, for a person; null for errors of another kind. */
export function clientFailure(error: unknown): CommandError | null {
  if (!(error instanceof ClientError)) return null;
  const said = printable(error.message.slice(error.code.length + 2));
  return new CommandError(said, ADVICE[error.code]);
}

/** The verdict that an error carries, or null. */
export function verdictOf(error: unknown): Verdict | null {
  return error instanceof VerdictError ? error.verdict : null;
}

const ADVICE = {
  "client/url": "an address is for example http://127.0.0.1:8480",
  "client/request": "shorten the request's path or headers",
  "client/unreachable": 'is the node running? "countersign node" starts one here',
  "client/aborted": null,
  "node/malformed": "somebody changed the request on its way, or the node speaks another version",
  "node/replay": "this request was seen before: somebody repeats requests on the way. Try again",
  "node/too-large": "send less, or ask the operator to raise --max-body",
  "node/busy": "wait a moment and try again",
  "node/unavailable": "the enclave is starting or ending: wait a moment and try again",
  "node/answer": "does this address belong to a Countersign node?",
} as const satisfies Record<ClientError["code"], string | null>;
