import { EnclaveError, type EnclaveErrorCode, type RequestErrorCode } from "../errors.ts";

/** The HTTP status of each refusal. The table is exhaustive, and the only place that knows. */
const STATUS = {
  "request/path": 404,
  "request/method": 405,
  "request/too-large": 413,
  "request/json": 400,
  "request/structure": 400,
  "request/parameter": 400,
  "request/binary": 400,
  "model/unknown": 404,
  "input/unknown": 400,
  "input/missing": 400,
  "input/duplicate": 400,
  "input/datatype": 400,
  "input/shape": 400,
  "input/empty": 400,
  "input/length": 400,
  "input/value": 400,
  "input/binary-only": 400,
  "output/unknown": 400,
  "output/duplicate": 400,
  "output/binary-only": 406,
  "request/unsupported": 400,
  "prompt/template": 400,
  "prompt/too-long": 400,
  "constraint/schema": 400,
  "memory/full": 429,
  "queue/full": 503,
  "inference/timeout": 504,
  "inference/aborted": 503,
  "inference/failed": 500,
  "engine/closed": 503,
  "engine/failed": 503,
  "engine/stalled": 503,
} as const satisfies Readonly<Record<RequestErrorCode, number>>;

export const JSON_TYPE = "application/json";

/**
 * The answer to a request that failed, in KServe's form: `{"error": "<code>: text", "code": …}`.
 *
 * Anything that is not one of the codes above is a bug of ours; the caller learns that, and no more.
 */
export function refusal(error: unknown): Response {
  if (error instanceof EnclaveError && isRequestError(error.code)) {
    return refusalResponse(STATUS[error.code], error.code, error.message);
  }
  return refusalResponse(500, "inference/failed", "inference/failed: the request failed");
}

function refusalResponse(status: number, code: RequestErrorCode, message: string): Response {
  const headers: Record<string, string> = { "content-type": JSON_TYPE };
  if (status === 503) headers["retry-after"] = "1";
  return new Response(JSON.stringify({ error: message, code }), { status, headers });
}

export function statusOf(code: RequestErrorCode): number {
  return STATUS[code];
}

/** Whether a code is one that a request can be refused with. */
export function isRequestError(code: EnclaveErrorCode): code is RequestErrorCode {
  return Object.hasOwn(STATUS, code);
}
