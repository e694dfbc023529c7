/** The public types of @countersign/attestation/evidence. Written by test/api/generate.ts. */
/* oxlint-disable no-unused-private-class-members -- a declaration has no bodies */

export declare const AWS_NITRO_ROOT_SHA256: Uint8Array;

export interface AppraisalContext<M extends Mode = Mode> {
  readonly mode: M;
  readonly nowMs: number;
  readonly nonce: Uint8Array | null;
  readonly cache?: EvidenceCache;
}

export declare class AttestationError extends Error {
  readonly name = "AttestationError";
  readonly code: AttestationErrorCode;
  constructor(code: AttestationErrorCode, message: string, options?: ErrorOptions);
}

export type AttestationErrorCode =
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
  | "cose/structure"
  | "cose/protected"
  | "cose/unprotected"
  | "cose/signature-format"
  | "cose/signature"
  | "evidence/structure"
  | "evidence/field"
  | "evidence/pcrs"
  | "evidence/platform"
  | "evidence/module-id"
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
  | "bundle/structure"
  | "binding/structure"
  | "keyset/structure"
  | "models/structure"
  | "config/structure"
  | "receipt/structure"
  | "receipt/signature"
  | "receipt/missing"
  | "proof/structure"
  | "merkle/inclusion"
  | "merkle/consistency"
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

export interface Check {
  readonly id: CheckId;
  readonly status: "pass" | "fail" | "skip";
  readonly found: string;
  readonly wanted: string;
  readonly why: string;
  readonly fix: string;
  readonly code: AttestationErrorCode | null;
}

export interface Evidence extends SignedDocument {
  readonly moduleId: string;
  readonly timestampMs: number;
  readonly pcrs: ReadonlyMap<number, Measurement>;
  readonly certificate: Uint8Array;
  readonly cabundle: readonly Uint8Array[];
  readonly publicKey: Uint8Array | null;
  readonly userData: Uint8Array | null;
  readonly nonce: Uint8Array | null;
}

export declare class EvidenceCache {
  #private;
}

export declare const MAX_EVIDENCE_BYTES = 16384;

export type Mode = "live" | "archive";

export interface Policy {
  readonly version: 1;
  readonly expiresMs: number;
  readonly platforms: ReadonlyMap<Platform, PlatformPolicy>;
  readonly models: readonly AllowedModel[] | "any";
  readonly freshness: Freshness | "unchecked";
  readonly suites: readonly Suite[];
  readonly revoked: Revoked;
  readonly padding: Requirement;
}

export interface TrustAnchors {
  readonly roots: readonly Uint8Array[];
}

export interface Verdict {
  readonly result: "verified" | "rejected" | "incomplete";
  readonly failure: FailureClass | null;
  readonly checks: readonly Check[];
  readonly platform: string | null;
  readonly mode: Mode;
  readonly judgedAtMs: number;
  readonly measurement: string | null;
}

export type VerifiedEpoch<M extends Mode = Mode> = Brand<EpochFacts<M>, "VerifiedEpoch">;

export type VerifiedEvidence = Brand<
  Evidence & {
    readonly platform: Platform;
    readonly rootDigest: Uint8Array;
    readonly leafValidity: Validity;
    readonly chainValidity: Validity;
  },
  "VerifiedEvidence"
>;

export declare function appraiseBundle<M extends Mode>(
  bytes: Uint8Array,
  policy: Policy,
  context: AppraisalContext<M>,
): Promise<{
  readonly verdict: Verdict;
  readonly epoch: VerifiedEpoch<M> | null;
}>;

export declare function appraiseDocument(
  bytes: Uint8Array,
  policy: Policy,
  context: AppraisalContext,
): Promise<{
  readonly verdict: Verdict;
}>;

export declare function decodeHex(text: string): Uint8Array | null;

export declare function encodeHex(bytes: Uint8Array): string;

export declare function formatTime(unixMs: number): string;

export declare function parseEvidence(bytes: Uint8Array): Evidence;

export declare function parsePolicy(text: string): Policy;

export declare function parseTimestamp(text: string): number | null;

export declare function requireKnownRoots(policy: Policy): Promise<void>;

export declare function verifyEvidence(
  bytes: Uint8Array,
  anchors: TrustAnchors,
  atMs: number,
  cache?: EvidenceCache | null,
): Promise<VerifiedEvidence>;

interface AllowedMeasurement {
  readonly name: string;
  readonly registers: ReadonlyMap<number, Uint8Array>;
}

interface AllowedModel {
  readonly id: string;
  readonly digest: Uint8Array;
}

type Brand<T, Name extends string> = T & {
  readonly [brand]: Name;
};

type CheckId = (typeof EVIDENCE_CHECKS)[number] | (typeof EXCHANGE_CHECKS)[number];

declare const EVIDENCE_CHECKS: readonly [
  "policy",
  "bundle",
  "platform",
  "signature",
  "chain",
  "debug",
  "measurement",
  "binding",
  "lifetime",
  "keyset",
  "modelset",
  "config",
  "register",
  "models",
  "suite",
  "freshness",
];

declare const EXCHANGE_CHECKS: readonly [
  "receipt",
  "epoch",
  "index",
  "model",
  "request",
  "response",
  "complete",
];

interface EpochBinding {
  readonly keysetDigest: Uint8Array;
  readonly modelsDigest: Uint8Array;
  readonly configDigest: Uint8Array;
  readonly sequence: number;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly previous: Uint8Array | null;
}

interface EpochFacts<M extends Mode> {
  readonly mode: M;
  readonly platform: string;
  readonly measurement: string;
  readonly bundle: Uint8Array;
  readonly documentDigest: Uint8Array;
  readonly documentTimeMs: number;
  readonly chainEndMs: number;
  readonly keysetDigest: Uint8Array;
  readonly keyConfig: Uint8Array;
  readonly receiptKey: Uint8Array;
  readonly models: readonly ModelRef[];
  readonly config: RuntimeConfig;
  readonly binding: EpochBinding;
  readonly verdict: Verdict;
}

type FailureClass =
  | "tampered"
  | "untrusted"
  | "stale"
  | "rotated"
  | "expired"
  | "truncated"
  | "unreachable"
  | "malformed";

interface Freshness {
  readonly maxAgeSeconds: number;
  readonly skewSeconds: number;
  readonly challenge: Requirement;
}

type Measurement = Brand<Uint8Array, "Measurement">;

interface ModelRef {
  readonly id: string;
  readonly version: string;
  readonly digest: Uint8Array;
}

declare const PLATFORMS: readonly ["aws-nitro", "simulated"];

type Platform = (typeof PLATFORMS)[number];

interface PlatformPolicy {
  readonly roots: readonly Uint8Array[];
  readonly rootCertificates: readonly Uint8Array[];
  readonly measurements: readonly AllowedMeasurement[] | "unchecked";
  readonly debug: boolean;
}

declare const REQUIREMENTS: readonly ["optional", "required"];

type Requirement = (typeof REQUIREMENTS)[number];

interface Revoked {
  readonly measurements: readonly Uint8Array[];
  readonly models: readonly Uint8Array[];
  readonly keysets: readonly Uint8Array[];
}

interface RuntimeConfig {
  readonly engine: string;
  readonly engineVersion: string;
  readonly limits: ReadonlyMap<string, number>;
  readonly features: ReadonlyMap<string, string | number | boolean>;
}

declare const SUITES: readonly [
  "MLKEM768-X25519/HKDF-SHA256/AES-256-GCM",
  "X25519/HKDF-SHA256/AES-256-GCM",
];

interface SignedDocument {
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

type Suite = (typeof SUITES)[number];

interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

declare const brand: unique symbol;

export {};
