/** Every reason for which an image is refused, or cannot be built. Codes are API. */
export type ImageErrorCode =
  /** Not an enclave image file (EIF) of version 4, or one that breaks its rules. */
  | "image/malformed"
  /** The checksum over header and sections is not the one it carries. */
  | "image/checksum"
  /** The signature section does not fit the certificate, or the measurements. */
  | "image/signature"
  /** A file that the build was told to take is missing, unreadable or of a wrong kind. */
  | "image/input"
  /** A rebuilt image differs from its release: the message names the first input that does. */
  | "image/differs";

/** An image is refused, or cannot be built. `code` says which rule was broken. */
export class ImageError extends Error {
  override readonly name = "ImageError";
  readonly code: ImageErrorCode;

  constructor(code: ImageErrorCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options);
    this.code = code;
  }
}
