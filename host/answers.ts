/** Header fields and problem documents that several routes send. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { MEDIA_PROBLEM, type ProblemCode, problemDocument } from "@countersign/protocol";
import { LINGER_BYTES, LINGER_TIMEOUT_MS, RETRY_AFTER_SECONDS } from "./limits.ts";

export type HeaderRecord = Readonly<Record<string, string>>;

export const REQUEST_ID_FIELD = "x-request-id";

/**
 * Any page may ask: what the node serves is public, or encrypted to the enclave, and it knows no
 * cookies. RFC 9110 has no say; Fetch §3.2.
 */
export const CORS: HeaderRecord = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": `etag, retry-after, ${REQUEST_ID_FIELD}`,
  "cross-origin-resource-policy": "cross-origin",
};

/** An answer that the host gives by itself. */
export interface Refusal {
  readonly problem: ProblemCode;
  readonly detail: string;
  readonly retryAfterSeconds: number | null;
}

/** A refusal for good. */
export function refuse(problem: ProblemCode, detail: string): Refusal {
  return { problem, detail, retryAfterSeconds: null };
}

/** A refusal for now. */
export function refuseForNow(
  problem: ProblemCode,
  detail: string,
  retryAfterSeconds: number = RETRY_AFTER_SECONDS,
): Refusal {
  return { problem, detail, retryAfterSeconds };
}

/** An answer that is complete in memory. */
export interface EarlyAnswer {
  readonly status: number;
  readonly headers: HeaderRecord;
  readonly body: Uint8Array | string;
}

/** Status, header fields and body of a refusal. */
export function answerOf(refusal: Refusal, requestId: string): EarlyAnswer {
  const { status, body } = problemDocument(refusal.problem, refusal.detail);
  const retry =
    refusal.retryAfterSeconds === null ? {} : { "retry-after": `${refusal.retryAfterSeconds}` };
  const headers: HeaderRecord = {
    ...CORS,
    ...retry,
    "content-type": MEDIA_PROBLEM,
    "content-length": `${Buffer.byteLength(body)}`,
    "cache-control": "no-store",
    [REQUEST_ID_FIELD]: requestId,
  };
  return { status, headers, body };
}

/**
 * Sends an answer to a request whose body may still be on its way.
 *
 * Closing at once would reset the connection, and many clients would then never see the answer
 * (RFC 9112 §9.6). So the answer goes out now, the rest is read and dropped for a while, and only
 * then does the answer end.
 */
export function sendEarly(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  answer: EarlyAnswer,
): void {
  if (outgoing.headersSent || outgoing.destroyed) return;
  outgoing.writeHead(answer.status, answer.headers);
  if (incoming.complete || incoming.readableEnded) {
    outgoing.end(answer.body);
    return;
  }
  outgoing.write(answer.body);
  let dropped = 0;
  const finish = (): void => {
    clearTimeout(timer);
    outgoing.end();
  };
  const giveUp = (): void => {
    finish();
    incoming.socket.destroySoon();
  };
  const timer = setTimeout(giveUp, LINGER_TIMEOUT_MS);
  incoming.on("data", (chunk: Uint8Array) => {
    dropped += chunk.length;
    if (dropped > LINGER_BYTES) giveUp();
  });
  incoming.on("end", finish);
  incoming.on("close", finish);
  incoming.resume();
}
