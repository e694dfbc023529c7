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
  /** Any other error of the operating system; the message has its name. */
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
