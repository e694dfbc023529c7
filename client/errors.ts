import type { Verdict } from "@countersign/attestation";

/**
 * Why an exchange came to nothing without a verdict on it. Codes are API: added, never renamed.
 *
 * A code under `node/` is what the node's host said in the clear. Nobody signed it: it says what to
 * do next, never what the enclave did.
 */
export type ClientErrorCode =
  | "client/url"
  | "client/request"
  | "client/unreachable"
  | "client/aborted"
  | "node/malformed"
  | "node/replay"
  | "node/too-large"
  | "node/busy"
  | "node/unavailable"
  | "node/answer";

/** A node that could not be asked, or did not answer. Nothing about it was found to be false. */
export class ClientError extends Error {
  override readonly name = "ClientError";
  readonly code: ClientErrorCode;
  /** HTTP status of the outer answer, where there was one. */
  readonly status: number | null;
  /** Seconds that the host asked us to wait, where it did. */
  readonly retryAfterSeconds: number | null;

  constructor(
    code: ClientErrorCode,
    message: string,
    options?: ErrorOptions & { readonly status?: number; readonly retryAfterSeconds?: number },
  ) {
    super(`${code}: ${message}`, options);
    this.code = code;
    this.status = options?.status ?? null;
    this.retryAfterSeconds = options?.retryAfterSeconds ?? null;
  }
}

/**
 * What an enclave signed of a stream on its way: how much of it is proven where it breaks off.
 */
export interface Checkpoint {
  /** Leaves of the answer's transcript that it covers, the header section among them. */
  readonly leaves: number;
  /** Their bytes. */
  readonly bytes: number;
  /** When it was signed, Unix milliseconds. */
  readonly issuedAtMs: number;
  /** A `.proof` file of what came until then. Judged, it is "rejected" as truncated, by completeness alone. */
  readonly proof: () => Uint8Array;
}

/** Evidence, or an exchange, that is not verified. `verdict` names the check, why, and what to do. */
export class VerdictError extends Error {
  override readonly name = "VerdictError";
  readonly verdict: Verdict;
  /** Of a stream that broke off, the last checkpoint that was verified; null where there is none. */
  readonly checkpoint: Checkpoint | null;

  constructor(
    verdict: Verdict,
    options?: ErrorOptions & { readonly checkpoint?: Checkpoint | null },
  ) {
    super(summary(verdict), options);
    this.verdict = verdict;
    this.checkpoint = options?.checkpoint ?? null;
  }
}

function summary(verdict: Verdict): string {
  const failed = verdict.checks.find((check) => check.status === "fail");
  const result =
    verdict.failure === null ? verdict.result : `${verdict.result}, ${verdict.failure}`;
  if (failed === undefined) return result;
  return `${result}: ${failed.id}: found ${failed.found}; wanted ${failed.wanted}`;
}
