export { AttestationError, type AttestationErrorCode } from "./errors.ts";
export {
  type Awaitable,
  compareBytes,
  concatBytes,
  decodeHex,
  decodeUtf8,
  encodeHex,
  encodeUtf8,
  equalBytes,
  joinBytes,
} from "./bytes.ts";
export { type Hashes, sha384, webHashes } from "./hashes.ts";
export {
  type CborKey,
  type CborMap,
  type CborProfile,
  CborTag,
  type CborValue,
  decodeCbor,
  DETERMINISTIC,
  encodeCbor,
  isArray,
  isMap,
} from "./cbor.ts";
export type { Brand } from "./brand.ts";
export {
  type CoseAlgorithm,
  type CoseProfile,
  type CoseSign1,
  encodeCoseSign1,
  parseCoseSign1,
  sigStructure,
  verifyCoseSign1,
} from "./cose.ts";
export {
  type Curve,
  importPoint,
  isLowS,
  isSignature,
  type KeyHandle,
  lowS,
  type VerificationKey,
  verifyEcdsa,
} from "./ecdsa.ts";
export { type Validity } from "./certificate.ts";
export { debugMode, type Measurement, parseMeasurement, PCR_BYTES } from "./measurement.ts";
export {
  type Evidence,
  MAX_EVIDENCE_BYTES,
  parseEvidence,
  type SignedDocument,
  type VerifiedEvidence,
} from "./nitro.ts";
export { type TrustAnchors, verifyEvidence } from "./verification.ts";
export { EvidenceCache } from "./cache.ts";
export { certificateFromPem } from "./pem.ts";
export { AWS_NITRO_ROOT, AWS_NITRO_ROOT_SHA256, type RootCertificate } from "./roots.ts";
export {
  encodeEpochBinding,
  type EpochBinding,
  MAX_EPOCH_SECONDS,
  MODELS_REGISTER,
  modelsRegister,
  parseEpochBinding,
} from "./binding.ts";
export { encodeKeyset, type Keyset, parseKeyset, type Suite, suiteOf, SUITES } from "./keyset.ts";
export { encodeModelSet, type ModelRef, parseModelSet } from "./models.ts";
export { type AskedModel, askedModel, modelOfPath } from "./asked.ts";
export { encodeRuntimeConfig, parseRuntimeConfig, type RuntimeConfig } from "./config.ts";
export { type Bundle, encodeBundle, MAX_BUNDLE_BYTES, parseBundle } from "./bundle.ts";
export {
  type ConsistencyProof,
  type InclusionProof,
  merkleLeaf,
  merkleRoot,
  verifyConsistency,
  verifyInclusion,
} from "./merkle.ts";
export { type Direction, type Head, Transcript } from "./transcript.ts";
export {
  assembleReceipt,
  encodeReceiptClaims,
  exchangeId,
  importReceiptKey,
  MAX_RECEIPT_BYTES,
  type Outcome,
  parseReceipt,
  type Phase,
  PHASES,
  type Receipt,
  type ReceiptClaims,
  type ReceiptKey,
  receiptToBeSigned,
  verifyReceipt,
} from "./receipt.ts";
export {
  type AllowedMeasurement,
  type AllowedModel,
  type Freshness,
  modelStanding,
  type ModelStanding,
  parsePolicy,
  type Platform,
  type PlatformPolicy,
  PLATFORMS,
  type Policy,
} from "./policy.ts";
export { requireKnownRoots } from "./anchors.ts";
export { type CheckId, EVIDENCE_CHECKS, EXCHANGE_CHECKS, type FailureClass } from "./checks.ts";
export { type Check, incompleteVerdict, type Mode, type Verdict } from "./verdict.ts";
export {
  type AppraisalContext,
  appraiseBundle,
  appraiseDocument,
  type VerifiedEpoch,
} from "./appraisal.ts";
export { appraiseExchange, type ExchangeEvidence } from "./exchange.ts";
export { verifyReceiptSequence } from "./sequence.ts";
export {
  appraiseProof,
  encodeProof,
  type Opening,
  parseProof,
  type Proof,
  type ProofAppraisal,
  MAX_PROOF_LEAVES,
} from "./proof.ts";
export { formatTime, parseTimestamp } from "./time.ts";
