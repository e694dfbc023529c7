/** Every reason for which a vsock connection cannot be had, or ends. Codes are API. */
export type VsockErrorCode =
  /** This machine has no AF_VSOCK, or no library to reach it with. */
  | "vsock/unavailable"
  /** Somebody else listens at this port. */
  | "vsock/address-in-use"
  /** Not allowed: a port below 1024, or a device that is not ours. */
  | "vsock/denied"
  /** Nobody listens there, or there is no such context id. */
  | "vsock/refused"
  | "vsock/timeout"
  /** The other end, or its machine, went away. */
  | "vsock/reset"
  /** Any other error of the operating system, which the message names. */
  | "vsock/system";

/** A vsock call failed. `code` says why. */
export class VsockError extends Error {
  override readonly name = "VsockError";
  readonly code: VsockErrorCode;

  constructor(code: VsockErrorCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options);
    this.code = code;
  }
}

/** The system's names, by what they mean to us. */
const CODES: ReadonlyMap<string, VsockErrorCode> = new Map([
  ["EAFNOSUPPORT", "vsock/unavailable"],
  ["EADDRINUSE", "vsock/address-in-use"],
  ["EACCES", "vsock/denied"],
  ["EPERM", "vsock/denied"],
  ["ECONNREFUSED", "vsock/refused"],
  ["EHOSTUNREACH", "vsock/refused"],
  ["ENETUNREACH", "vsock/refused"],
  ["ENODEV", "vsock/refused"],
  ["ETIMEDOUT", "vsock/timeout"],
  ["ECONNRESET", "vsock/reset"],
  ["ENOTCONN", "vsock/reset"],
  ["EPIPE", "vsock/reset"],
  // The call was under way when its own side closed the stream.
  ["ECANCELED", "vsock/reset"],
]);

/** The error for one of the system's, by its name. */
export function systemFailure(what: string, error: string, cause?: unknown): VsockError {
  const options = cause === undefined ? {} : { cause };
  return new VsockError(CODES.get(error) ?? "vsock/system", `${what}: ${error}`, options);
}

/**
 * The error of a connection that was never made.
 *
 * virtio answers a connect to a port where nobody listens with a reset: Virtio 1.2 §5.10.6.6.
 */
export function connectFailure(what: string, error: string): VsockError {
  if (error !== "ECONNRESET") return systemFailure(what, error);
  return new VsockError("vsock/refused", `${what}: ${error}`);
}

/** The error of a stream: ours as it is, one of Node's by its system name. */
export function streamFailure(error: Error): VsockError {
  if (error instanceof VsockError) return error;
  const name = "code" in error && typeof error.code === "string" ? error.code : error.name;
  return systemFailure("stream", name, error);
}
