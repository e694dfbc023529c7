// The verifier of evidence alone, for pages that show no answers: the smaller of the two bundles.
export { AttestationError, type AttestationErrorCode } from "./errors.ts";
export { decodeHex, encodeHex } from "./bytes.ts";
export { formatTime, parseTimestamp } from "./time.ts";
export { AWS_NITRO_ROOT_SHA256 } from "./roots.ts";
export {
  type Evidence,
  MAX_EVIDENCE_BYTES,
  parseEvidence,
  type VerifiedEvidence,
} from "./nitro.ts";
export { type TrustAnchors, verifyEvidence } from "./verification.ts";
export { EvidenceCache } from "./cache.ts";
export { parsePolicy, type Policy } from "./policy.ts";
export { requireKnownRoots } from "./anchors.ts";
export { type Check, type Mode, type Verdict } from "./verdict.ts";
export {
  type AppraisalContext,
  appraiseBundle,
  appraiseDocument,
  type VerifiedEpoch,
} from "./appraisal.ts";
