/**
 * Every reason for which a node does not start, or the host cannot do what it was asked.
 *
 * Codes are API: they are added, never renamed.
 */
export type HostErrorCode =
  // Command line
  | "arguments/usage"
  | "arguments/tee"
  // State directory and its lock
  | "state/unusable"
  | "state/locked"
  // Model store
  | "models/missing"
  | "models/empty"
  | "models/layout"
  | "models/unreadable"
  // Key services of sealed models
  | "keys/services"
  // Public address
  | "listen/taken"
  | "listen/refused"
  // The enclave and the sockets to it
  | "socket/path"
  | "services/vsock"
  | "enclave/image"
  | "enclave/boot"
  | "enclave/timeout"
  | "enclave/stopped"
  | "enclave/unreachable"
  | "enclave/answer";

/** The host refuses to start, or could not reach its enclave. The message says what to do. */
export class HostError extends Error {
  override readonly name = "HostError";
  readonly code: HostErrorCode;

  constructor(code: HostErrorCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options);
    this.code = code;
  }
}

/** Exit status of a process that ends with `error`: 2 for usage, 1 for everything else. */
export function exitStatus(error: unknown): 1 | 2 {
  const usage = error instanceof HostError && error.code.startsWith("arguments/");
  return usage ? 2 : 1;
}

/** The code of a failed system call, such as `EADDRINUSE`, or null. */
export function systemCode(error: unknown): string | null {
  if (!(error instanceof Error) || !("code" in error)) return null;
  return typeof error.code === "string" ? error.code : null;
}
