/** What a failed call of AWS KMS means: whether another one may succeed, and whose doing it is. */
import { KMSServiceException } from "@aws-sdk/client-kms";
import { EnclaveError } from "../errors.ts";
import { PassingError } from "./attempts.ts";

/** AWS KMS API Reference, "Common Errors"; Smithy's SDKs take the others for the same. */
const THROTTLED: ReadonlySet<string> = new Set([
  "LimitExceededException",
  "RequestLimitExceeded",
  "ThrottledException",
  "Throttling",
  "ThrottlingException",
  "TooManyRequestsException",
]);
/** What KMS says of a signature that it cannot follow, and of one whose date is not its own. */
const SIGNATURE: ReadonlySet<string> = new Set([
  "InvalidSignatureException",
  "RequestExpired",
  "SignatureDoesNotMatch",
]);
/** Not who asks is wrong, but what is signed with: the host gave credentials that do not count. */
const CREDENTIALS: ReadonlySet<string> = new Set([
  ...SIGNATURE,
  "ExpiredToken",
  "ExpiredTokenException",
  "IncompleteSignature",
  "IncompleteSignatureException",
  "InvalidClientTokenId",
  "MissingAuthenticationToken",
  "MissingAuthenticationTokenException",
  "UnrecognizedClientException",
]);
/** What is repeated of an answer: a word that says by itself what it is. */
const NAME = /^[A-Za-z]{1,64}(?:Error|Exception)$/u;

/** What came of a request, before the SDK had a look at it: a failure of ours, or an answer. */
export type Heard = EnclaveError | { readonly status: number };

/**
 * Why the SDK threw `error`, as one of ours. Never with `error` as its cause: it holds the answer, and
 * with some the request, signature and session token included.
 */
export function faultOf(error: unknown, heard: Heard | null): EnclaveError {
  if (heard instanceof EnclaveError) return heard;
  if (error instanceof EnclaveError) return error;
  const status = heard?.status ?? 0;
  const name = error instanceof Error ? error.name : "";
  const found = `KMS answers ${status}: ${NAME.test(name) ? name : "an error"}`;
  // Unreadable: not of its form. What stands in front of KMS refuses in words of its own.
  const readable = error instanceof KMSServiceException;
  if (status === 200 && !readable) return new EnclaveError("key/answer", found);
  if (status === 429 || THROTTLED.has(name)) return new PassingError("key/throttled", found);
  if (status >= 500) return new PassingError("key/unreachable", found);
  if (name === "AccessDeniedException") return new EnclaveError("key/denied", found);
  if (readable && SIGNATURE.has(name) && wasSkewed(error.$metadata)) {
    return new PassingError("key/credentials", `${found}, and the clocks differ`);
  }
  if (CREDENTIALS.has(name)) return new EnclaveError("key/credentials", found);
  return new EnclaveError("key/refused", found);
}

/** KMS's own time was learnt from this refusal, and the next request is dated by it. */
function wasSkewed(metadata: object): boolean {
  return "clockSkewCorrected" in metadata && metadata.clockSkewCorrected === true;
}
