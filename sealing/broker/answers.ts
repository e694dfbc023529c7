/** What the broker answers over HTTP: a body of CBOR, or a problem document (RFC 9457) with a code. */
import type { ServerResponse } from "node:http";
import { AttestationError } from "@countersign/attestation";
import { MEDIA_KEY_RELEASE, MEDIA_PROBLEM } from "@countersign/protocol";
import { SealingError, type SealingErrorCode } from "../errors.ts";

/** Why nothing is released. A code of the appraisal, or of the broker. */
export interface Refusal {
  readonly status: number;
  readonly title: string;
  readonly code: string;
}

const RETRY_AFTER_SECONDS = 1;

/** What a request that failed with `error` is answered. */
export function refusalOf(error: unknown): Refusal {
  // The code of the check that failed: the policy is no secret from those it judges.
  if (error instanceof AttestationError) {
    const title = "The attestation document, or the policy, does not allow it";
    return { status: 403, title, code: error.code };
  }
  if (error instanceof SealingError) return brokerRefusal(error.code);
  return FAILED;
}

/** A fault of the broker's own; its log says more. */
const FAILED: Refusal = { status: 500, title: "The broker failed", code: "broker/failed" };

function brokerRefusal(code: SealingErrorCode): Refusal {
  switch (code) {
    case "broker/request":
      return { status: 400, title: "The request is not in the agreed form", code };
    case "broker/challenge":
      return {
        status: 409,
        title: "The challenge is unknown, used, or over: ask for another",
        code,
      };
    case "broker/key":
      return { status: 404, title: "The model is sealed under a key that is not here", code };
    case "broker/envelope":
      return { status: 422, title: "The wrapped key does not open for this model", code };
    case "broker/busy":
      return { status: 429, title: "Too many requests", code };
    case "broker/policy":
      return { status: 503, title: "The broker has no policy to judge by", code };
    default:
      return FAILED;
  }
}

export function sendBytes(response: ServerResponse, body: Uint8Array): void {
  send(response, 200, MEDIA_KEY_RELEASE, body);
}

export function sendRefusal(response: ServerResponse, refusal: Refusal): void {
  const { status, title, code } = refusal;
  const type = `urn:countersign:problem:${code.replace("/", "-")}`;
  const body = Buffer.from(JSON.stringify({ type, title, status, code }));
  if (status === 429 || status === 503) response.setHeader("retry-after", RETRY_AFTER_SECONDS);
  send(response, status, MEDIA_PROBLEM, body);
}

function send(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: Uint8Array,
): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  response.writeHead(status, {
    "content-type": contentType,
    "content-length": body.length,
    "cache-control": "no-store",
    // One exchange a connection: what is left of a refused body is nobody's next request.
    connection: "close",
  });
  response.end(body);
}
