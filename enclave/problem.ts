import { MEDIA_PROBLEM, type ProblemCode, problemDocument } from "@countersign/protocol";
import type { ServerResponse } from "node:http";

/** Answers in the clear, where that is still possible. @param detail - a code of ours. */
export function sendProblem(response: ServerResponse, code: ProblemCode, detail: string): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const { status, body } = problemDocument(code, detail);
  response.writeHead(status, {
    "content-type": MEDIA_PROBLEM,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    // RFC 9110 §10.2.3: the enclave is busy for a moment, not for long.
    ...(status === 503 || status === 429 ? { "retry-after": "1" } : {}),
  });
  response.end(body);
}
