import type { Verdict } from "@countersign/attestation";
import { MEDIA_PROBLEM } from "@countersign/protocol";

import { ClientError, VerdictError } from "@countersign/client";
import { printable } from "../terminal.ts";

/** RFC 9457 document with members of ours. */
export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly [member: string]: unknown;
}

const TYPE = "urn:countersign:problem:";

/** What the proxy says instead of an answer. */
export function problemOf(error: unknown): {
  readonly body: ProblemBody;
  readonly headers: Readonly<Record<string, string>>;
} {
  if (error instanceof VerdictError) return { body: refusedVerdict(error.verdict), headers: {} };
  if (error instanceof ClientError) return clientProblem(error);
  // Anything else is a fault of the proxy's own; what it says may quote the request.
  return {
    body: problem("proxy", "The proxy failed", 500, "See its standard error."),
    headers: {},
  };
}

/** A problem document of the proxy's own making. */
export function problem(
  type: string,
  title: string,
  status: number,
  detail: string,
  members: Readonly<Record<string, unknown>> = {},
): ProblemBody {
  return { type: `${TYPE}${type}`, title, status, detail, ...members };
}

/** The response that carries a problem. */
export function problemResponse(
  body: ProblemBody,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(`${JSON.stringify(body)}\n`, {
    status: body.status,
    headers: { "content-type": MEDIA_PROBLEM, "cache-control": "no-store", ...headers },
  });
}

function refusedVerdict(verdict: Verdict): ProblemBody {
  const failed = verdict.checks.find((check) => check.status === "fail");
  const { result, failure } = verdict;
  const kind = failure === null ? result : `${result}, ${failure}`;
  const detail =
    failed === undefined
      ? `The node could not be verified (${kind}).`
      : printable(`${failed.id}: found ${failed.found}; wanted ${failed.wanted}`);
  return problem("not-verified", `What the node answered is not verified: ${kind}`, 502, detail, {
    result,
    failure,
    check: failed?.id ?? null,
    code: failed?.code ?? null,
    why: failed?.why ?? null,
    fix: failed?.fix ?? null,
  });
}

function clientProblem(error: ClientError): ReturnType<typeof problemOf> {
  const wait = error.retryAfterSeconds;
  const headers: Record<string, string> = wait === null ? {} : { "retry-after": String(wait) };
  const status = STATUS[error.code];
  const detail = printable(error.message.slice(error.code.length + 2));
  const body = problem(error.code.replace("/", "-"), TITLE[error.code], status, detail, {
    code: error.code,
  });
  return { body, headers };
}

const STATUS = {
  "client/url": 500,
  "client/request": 400,
  "client/unreachable": 503,
  "client/aborted": 499,
  "node/malformed": 502,
  "node/replay": 502,
  "node/too-large": 413,
  "node/busy": 429,
  "node/unavailable": 503,
  "node/answer": 502,
} as const satisfies Record<ClientError["code"], number>;

const TITLE = {
  "client/url": "The node's address is not usable",
  "client/request": "The request cannot be sent inside the encryption",
  "client/unreachable": "The node cannot be reached",
  "client/aborted": "The caller went away",
  "node/malformed": "The node's host says that it cannot read the request",
  "node/replay": "The node's host says that it saw this request before",
  "node/too-large": "The node's host says that the request is too large",
  "node/busy": "The node's host says that it has too many requests",
  "node/unavailable": "The node's host says that its enclave cannot answer now",
  "node/answer": "The node's host answered something else than an encrypted response",
} as const satisfies Record<ClientError["code"], string>;
