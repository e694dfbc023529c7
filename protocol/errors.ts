/**
 * Every reason for which bytes on the wire are refused.
 *
 * Codes are API: they are added, never renamed. PROTOCOL.md lists each with its clause and vectors.
 */
export type ProtocolErrorCode =
  // HPKE (RFC 9180). Every failure to decrypt or to decapsulate is hpke/open, and nothing more.
  | "hpke/open"
  | "hpke/key"
  | "hpke/exhausted"
  | "hpke/destroyed"
  // Chunked Oblivious HTTP (RFC 9458, draft-ietf-ohai-chunked-ohttp-08)
  | "ohttp/unknown-key"
  | "ohttp/suite"
  | "ohttp/truncated"
  | "ohttp/too-large"
  | "ohttp/key-config"
  // Binary HTTP (RFC 9292)
  | "bhttp/malformed"
  | "bhttp/field"
  | "bhttp/truncated"
  | "bhttp/too-large"
  // Structured fields (RFC 9651)
  | "field/byte-sequence"
  // Model manifests and the host's boot configuration
  | "manifest/structure"
  | "manifest/path"
  | "manifest/too-large"
  | "provisioning/structure"
  | "provisioning/limit"
  | "provisioning/model"
  // Which key services an enclave may ask
  | "key-services/structure"
  | "key-services/none"
  // Key brokers
  | "key-release/structure"
  // Sealed models
  | "seal/structure"
  | "seal/envelope";

/** Bytes, or a peer's message, that we refuse. `code` says which rule they broke. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  readonly code: ProtocolErrorCode;

  constructor(code: ProtocolErrorCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options);
    this.code = code;
  }
}
