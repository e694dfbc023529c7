import { EnclaveError, type EnclaveErrorCode } from "../../errors.ts";

/** What a model or the engine refuses without knowing which member of the request it came from. */
const OF_A_MEMBER: ReadonlySet<EnclaveErrorCode> = new Set([
  "prompt/too-long",
  "prompt/template",
  "request/parameter",
]);

/** Runs `act`; what it refuses then has the name of the member that it works on. */
export function naming<T>(param: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw withParam(error, param);
  }
}

/** The same error, with the member's name where it has none and is about one. */
export function withParam(error: unknown, param: string): unknown {
  if (!(error instanceof EnclaveError) || error.param !== null) return error;
  if (!OF_A_MEMBER.has(error.code)) return error;
  const text = error.message.slice(error.code.length + 2);
  return new EnclaveError(error.code, text, { param, cause: error });
}
