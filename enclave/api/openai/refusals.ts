/** Refusals in OpenAI's form: `{"error": {"message", "type", "param", "code"}}`. */
import { EnclaveError, type RequestErrorCode } from "../../errors.ts";
import { isRequestError, JSON_TYPE, statusOf } from "../refusals.ts";

type ErrorType = "invalid_request_error" | "rate_limit_error" | "server_error";

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: ErrorType;
    /** The member of the request that is at fault, where it is one. */
    readonly param: string | null;
    /** Ours, as PROTOCOL.md lists them. */
    readonly code: RequestErrorCode;
  };
}

/** OpenAI's clients wait and ask again after a 429, as after a 503. */
const RETRY_AFTER_SECONDS = "1";

/** @throws nothing: what is not one of our codes is a bug of ours, of which the caller learns that. */
export function openAiRefusal(error: unknown): Response {
  const status = openAiStatus(codeOf(error));
  const headers: Record<string, string> = { "content-type": JSON_TYPE };
  if (status === 503 || status === 429) headers["retry-after"] = RETRY_AFTER_SECONDS;
  return new Response(JSON.stringify(errorBody(error)), { status, headers });
}

/** The body of a refusal, or of the event that ends a stream before its time. */
export function errorBody(error: unknown): ErrorBody {
  const code = codeOf(error);
  const known = error instanceof EnclaveError && error.code === code;
  return {
    error: {
      message: known ? error.message : `${code}: the request failed`,
      type: typeOf(openAiStatus(code)),
      param: known ? error.param : null,
      code,
    },
  };
}

function codeOf(error: unknown): RequestErrorCode {
  if (error instanceof EnclaveError && isRequestError(error.code)) return error.code;
  return "inference/failed";
}

/** As in KServe's form, but that a full queue is what OpenAI's clients know as a rate limit. */
function openAiStatus(code: RequestErrorCode): number {
  return code === "queue/full" ? 429 : statusOf(code);
}

function typeOf(status: number): ErrorType {
  if (status === 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}
