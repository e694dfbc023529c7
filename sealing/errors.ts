/**
 * Every reason for which a model is not sealed or opened here, or a key is not released.
 *
 * Codes are API: they are added, never renamed.
 */
export type SealingErrorCode =
  // Files and folders
  | "sealing/input"
  | "sealing/output"
  | "sealing/changed"
  | "sealing/sealed"
  | "sealing/segment"
  // Keys
  | "sealing/key-file"
  | "sealing/key"
  // AWS KMS
  | "sealing/kms-options"
  | "sealing/kms-credentials"
  | "sealing/kms-unreachable"
  | "sealing/kms-denied"
  | "sealing/kms-refused"
  | "sealing/kms-answer"
  | "sealing/key-policy"
  // The key broker: what it answers, and why it does not start
  | "broker/request"
  | "broker/challenge"
  | "broker/policy"
  | "broker/key"
  | "broker/envelope"
  | "broker/busy"
  | "broker/listen"
  // The KMS for development: why it does not start
  | "dev-kms/state"
  | "dev-kms/remote"
  | "dev-kms/listen";

/** A model is not sealed or opened, or a key is not released. The message says what to do. */
export class SealingError extends Error {
  override readonly name = "SealingError";
  readonly code: SealingErrorCode;

  constructor(code: SealingErrorCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options);
    this.code = code;
  }
}
