/**
 * Every reason for which evidence, a policy, a receipt or a proof is refused.
 *
 * Codes are API: they are added, never renamed. PROTOCOL.md lists each with its clause and vectors.
 */
export type AttestationErrorCode =
  // CBOR (RFC 8949), the strict profile of cbor.ts
  | "cbor/truncated"
  | "cbor/trailing"
  | "cbor/too-large"
  | "cbor/too-deep"
  | "cbor/non-minimal"
  | "cbor/indefinite"
  | "cbor/unsupported"
  | "cbor/utf8"
  | "cbor/duplicate-key"
  | "cbor/key-order"
  | "cbor/key-type"
  // COSE_Sign1 (RFC 9052 §4.2)
  | "cose/structure"
  | "cose/protected"
  | "cose/unprotected"
  | "cose/signature-format"
  | "cose/signature"
  // Attestation document (AWS Nitro Enclaves attestation process §3.2)
  | "evidence/structure"
  | "evidence/field"
  | "evidence/pcrs"
  | "evidence/platform"
  | "evidence/module-id"
  // X.509 (RFC 5280), the fixed Nitro profile
  | "certificate/der"
  | "certificate/profile"
  | "certificate/key"
  | "chain/root"
  | "chain/length"
  | "chain/name"
  | "chain/validity"
  | "chain/constraints"
  | "chain/extension"
  | "chain/signature"
  // Countersign's own structures
  | "bundle/structure"
  | "binding/structure"
  | "keyset/structure"
  | "models/structure"
  | "config/structure"
  | "receipt/structure"
  | "receipt/signature"
  | "receipt/missing"
  | "proof/structure"
  // Merkle proofs (RFC 9162 §2.1)
  | "merkle/inclusion"
  | "merkle/consistency"
  // Appraisal
  | "policy/syntax"
  | "policy/expired"
  | "policy/platform"
  | "policy/debug"
  | "policy/measurement"
  | "policy/model"
  | "policy/suite"
  | "policy/revoked"
  | "policy/challenge"
  | "policy/padding"
  | "policy/unchecked"
  | "binding/tag"
  | "binding/lifetime"
  | "binding/document"
  | "binding/keyset"
  | "binding/models"
  | "binding/config"
  | "binding/register"
  | "freshness/nonce"
  | "freshness/age"
  | "freshness/future"
  | "receipt/epoch"
  | "receipt/index"
  | "receipt/exchange"
  | "receipt/previous"
  | "receipt/model"
  | "receipt/phase"
  | "receipt/time"
  | "receipt/status"
  | "transcript/request"
  | "transcript/response"
  | "transcript/incomplete";

/** Evidence, a policy, a receipt or a proof that we refuse. `code` says which rule it broke. */
export class AttestationError extends Error {
  override readonly name = "AttestationError";
  readonly code: AttestationErrorCode;

  constructor(code: AttestationErrorCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options);
    this.code = code;
  }
}
