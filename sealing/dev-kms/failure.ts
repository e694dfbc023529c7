/**
 * The errors with which AWS KMS answers, by the names and statuses that its clients know.
 *
 * AWS KMS API Reference, "Common Errors" and the errors of each action. What is the caller's fault is
 * a 400, as the service itself answers, whatever the status in its model says.
 */
export type KmsFailureName =
  // Who asks
  | "MissingAuthenticationTokenException"
  | "IncompleteSignatureException"
  | "InvalidSignatureException"
  | "UnrecognizedClientException"
  | "AccessDeniedException"
  // What is asked
  | "UnknownOperationException"
  | "SerializationException"
  | "ValidationException"
  | "RequestEntityTooLargeException"
  // The key, its policy, and what it made
  | "NotFoundException"
  | "InvalidCiphertextException"
  | "IncorrectKeyException"
  | "MalformedPolicyDocumentException"
  // The service
  | "ThrottlingException"
  | "KMSInternalException"
  | "ServiceUnavailableException";

const CALLERS_FAULT = 400;
const OTHER_STATUS: ReadonlyMap<KmsFailureName, number> = new Map([
  ["RequestEntityTooLargeException", 413],
  ["KMSInternalException", 500],
  ["ServiceUnavailableException", 503],
]);

/** A request that is not served. The message goes to the caller; `reason` only to whoever runs us. */
export class KmsFailure extends Error {
  override readonly name = "KmsFailure";
  readonly code: KmsFailureName;
  readonly reason: string | null;

  constructor(code: KmsFailureName, message: string, reason: string | null = null) {
    super(message);
    this.code = code;
    this.reason = reason;
  }

  get status(): number {
    return OTHER_STATUS.get(this.code) ?? CALLERS_FAULT;
  }
}

export function invalid(message: string): KmsFailure {
  return new KmsFailure("ValidationException", message);
}
