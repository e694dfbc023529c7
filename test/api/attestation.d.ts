/** The public types of @countersign/attestation. Written by test/api/generate.ts. */
/* oxlint-disable no-unused-private-class-members -- a declaration has no bodies */

export declare const AWS_NITRO_ROOT: RootCertificate;

export declare const AWS_NITRO_ROOT_SHA256: Uint8Array;

export interface AllowedMeasurement {
  readonly name: string;
  readonly registers: ReadonlyMap<number, Uint8Array>;
}

export interface AllowedModel {
  readonly id: string;
  readonly digest: Uint8Array;
}

export interface AppraisalContext<M extends Mode = Mode> {
  readonly mode: M;
  readonly nowMs: number;
  readonly nonce: Uint8Array | null;
  readonly cache?: EvidenceCache;
}

export interface AskedModel {
  readonly id: string;
  readonly version: string | null;
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

export type Awaitable<T> = T | Promise<T>;

export type Brand<T, Name extends string> = T & {
  readonly [brand]: Name;
};

export interface Bundle {
  readonly platform: string;
  readonly evidence: Uint8Array;
  readonly binding: Uint8Array;
  readonly keyset: Uint8Array;
  readonly models: Uint8Array;
  readonly config: Uint8Array;
  readonly endorsements: ReadonlyMap<string, Uint8Array>;
}

export type CborKey = number | bigint | string;

export type CborMap = ReadonlyMap<CborKey, CborValue>;

export interface CborProfile {
  readonly form: "deterministic" | "vendor";
  readonly maxBytes: number;
  readonly maxDepth: number;
  readonly maxItems: number;
}

export declare class CborTag {
  readonly tag: number;
  readonly value: CborValue;
  constructor(tag: number, value: CborValue);
}

export type CborValue =
  number | bigint | string | boolean | null | Uint8Array | readonly CborValue[] | CborMap | CborTag;

export interface Check {
  readonly id: CheckId;
  readonly status: "pass" | "fail" | "skip";
  readonly found: string;
  readonly wanted: string;
  readonly why: string;
  readonly fix: string;
  readonly code: AttestationErrorCode | null;
}

export type CheckId = (typeof EVIDENCE_CHECKS)[number] | (typeof EXCHANGE_CHECKS)[number];

export interface ConsistencyProof {
  readonly firstSize: number;
  readonly secondSize: number;
  readonly firstRoot: Uint8Array;
  readonly secondRoot: Uint8Array;
  readonly path: readonly Uint8Array[];
}

export type CoseAlgorithm = "ES256" | "ES384";

export interface CoseProfile {
  readonly algorithm: CoseAlgorithm;
  readonly tag: "required" | "optional";
  readonly maxBytes: number;
}

export interface CoseSign1 {
  readonly algorithm: CoseAlgorithm;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

export type Curve = "P-256" | "P-384";

export declare const DETERMINISTIC: CborProfile;

export type Direction = "request" | "response";

export declare const EVIDENCE_CHECKS: readonly [
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

export declare const EXCHANGE_CHECKS: readonly [
  "receipt",
  "epoch",
  "index",
  "model",
  "request",
  "response",
  "complete",
];

export interface EpochBinding {
  readonly keysetDigest: Uint8Array;
  readonly modelsDigest: Uint8Array;
  readonly configDigest: Uint8Array;
  readonly sequence: number;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly previous: Uint8Array | null;
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

export interface ExchangeEvidence {
  readonly receipt: Uint8Array | null;
  readonly phase: Exclude<Phase, "aborted">;
  readonly previous: Uint8Array | null;
  readonly exchange: Uint8Array | null;
  requestHead(leaves: number): Awaitable<Head>;
  readonly requestLeaves: number;
  responseHead(): Awaitable<Head>;
  readonly responseLeaves: number;
  readonly status: number | null;
  readonly complete: boolean;
  readonly asked: AskedModel | null;
  readonly nowMs: number;
}

export type FailureClass =
  | "tampered"
  | "untrusted"
  | "stale"
  | "rotated"
  | "expired"
  | "truncated"
  | "unreachable"
  | "malformed";

export interface Freshness {
  readonly maxAgeSeconds: number;
  readonly skewSeconds: number;
  readonly challenge: Requirement;
}

export interface Hashes {
  sha256(bytes: Uint8Array): Awaitable<Uint8Array>;
  hmacSha256(key: Uint8Array, bytes: Uint8Array): Awaitable<Uint8Array>;
}

export interface Head {
  readonly leaves: number;
  readonly root: Uint8Array;
  readonly bytes: number;
}

export interface InclusionProof {
  readonly index: number;
  readonly size: number;
  readonly leafHash: Uint8Array;
  readonly path: readonly Uint8Array[];
  readonly root: Uint8Array;
}

export type KeyHandle = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

export interface Keyset {
  readonly keyConfig: Uint8Array;
  readonly receiptKey: Uint8Array;
}

export declare const MAX_BUNDLE_BYTES = 262144;

export declare const MAX_EPOCH_SECONDS = 10200;

export declare const MAX_EVIDENCE_BYTES = 16384;

export declare const MAX_PROOF_LEAVES = 65536;

export declare const MAX_RECEIPT_BYTES = 4096;

export declare const MODELS_REGISTER = 16;

export type Measurement = Brand<Uint8Array, "Measurement">;

export type Mode = "live" | "archive";

export interface ModelRef {
  readonly id: string;
  readonly version: string;
  readonly digest: Uint8Array;
}

export type ModelStanding = "allowed" | "unchecked" | "unlisted" | "revoked";

export interface Opening {
  readonly kc: Uint8Array;
  readonly request: readonly Uint8Array[];
  readonly response: readonly Uint8Array[];
}

export interface Outcome {
  readonly status: number;
  readonly finishReason?: string;
  readonly promptTokens?: number;
  readonly completionTokens?: number;
  readonly seed?: number;
  readonly parameters?: Uint8Array;
}

export declare const PCR_BYTES = 48;

export declare const PHASES: readonly ["checkpoint", "final", "aborted"];

export declare const PLATFORMS: readonly ["aws-nitro", "simulated"];

export type Phase = (typeof PHASES)[number];

export type Platform = (typeof PLATFORMS)[number];

export interface PlatformPolicy {
  readonly roots: readonly Uint8Array[];
  readonly rootCertificates: readonly Uint8Array[];
  readonly measurements: readonly AllowedMeasurement[] | "unchecked";
  readonly debug: boolean;
}

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

export interface Proof {
  readonly receipt: Uint8Array;
  readonly bundle: Uint8Array;
  readonly opening: Opening | null;
}

export interface ProofAppraisal {
  readonly verdict: Verdict;
  readonly proof: Proof | null;
  readonly claims: ReceiptClaims | null;
  readonly unfinished: ReceiptClaims | null;
}

export interface Receipt {
  readonly claims: ReceiptClaims;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

export interface ReceiptClaims {
  readonly issuedAt: number;
  readonly exchange: Uint8Array;
  readonly keysetDigest: Uint8Array;
  readonly documentDigest: Uint8Array;
  readonly index: number;
  readonly phase: Phase;
  readonly model: ModelRef | null;
  readonly request: Head;
  readonly response: Head;
  readonly outcome: Outcome;
  readonly previous: Uint8Array | null;
}

export interface ReceiptKey {
  verifies(signature: Uint8Array, message: Uint8Array): Promise<boolean>;
}

export interface RootCertificate {
  readonly der: Uint8Array;
  readonly sha256: Uint8Array;
}

export interface RuntimeConfig {
  readonly engine: string;
  readonly engineVersion: string;
  readonly limits: ReadonlyMap<string, number>;
  readonly features: ReadonlyMap<string, string | number | boolean>;
}

export declare const SUITES: readonly [
  "MLKEM768-X25519/HKDF-SHA256/AES-256-GCM",
  "X25519/HKDF-SHA256/AES-256-GCM",
];

export interface SignedDocument {
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

export type Suite = (typeof SUITES)[number];

export declare class Transcript {
  #private;
  constructor(hashes: Hashes, kc: Uint8Array, direction: Direction, heads?: Roots);
  get leaves(): number;
  append(leaf: Uint8Array): Awaitable<void>;
  head(leaves?: number): Awaitable<Head>;
}

export interface TrustAnchors {
  readonly roots: readonly Uint8Array[];
}

export interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
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

export interface VerificationKey {
  readonly curve: Curve;
  readonly handle: KeyHandle;
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

export declare function appraiseExchange(
  epoch: VerifiedEpoch,
  evidence: ExchangeEvidence,
): Promise<Verdict>;

export declare function appraiseProof(
  bytes: Uint8Array,
  policy: Policy,
  context: {
    readonly nowMs: number;
  },
  hashes: Hashes,
): Promise<ProofAppraisal>;

export declare function askedModel(path: string, content: readonly Uint8Array[]): AskedModel | null;

export declare function assembleReceipt(payload: Uint8Array, signature: Uint8Array): Uint8Array;

export declare function certificateFromPem(pem: string): Uint8Array;

export declare function compareBytes(a: Uint8Array, b: Uint8Array): number;

export declare function concatBytes(...parts: readonly Uint8Array[]): Uint8Array;

export declare function debugMode(evidence: {
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
}): boolean;

export declare function decodeCbor(bytes: Uint8Array, profile: CborProfile): CborValue;

export declare function decodeHex(text: string): Uint8Array | null;

export declare function decodeUtf8(bytes: Uint8Array): string;

export declare function encodeBundle(bundle: Bundle): Uint8Array;

export declare function encodeCbor(value: CborValue): Uint8Array;

export declare function encodeCoseSign1(sign1: CoseSign1): Uint8Array;

export declare function encodeEpochBinding(binding: EpochBinding): Uint8Array;

export declare function encodeHex(bytes: Uint8Array): string;

export declare function encodeKeyset(keyset: Keyset): Uint8Array;

export declare function encodeModelSet(models: readonly ModelRef[]): Uint8Array;

export declare function encodeProof(proof: Proof): Uint8Array;

export declare function encodeReceiptClaims(claims: ReceiptClaims): Uint8Array;

export declare function encodeRuntimeConfig(config: RuntimeConfig): Uint8Array;

export declare function encodeUtf8(text: string): Uint8Array;

export declare function equalBytes(a: Uint8Array, b: Uint8Array): boolean;

export declare function exchangeId(hashes: Hashes, enc: Uint8Array): Awaitable<Uint8Array>;

export declare function formatTime(unixMs: number): string;

export declare function importPoint(curve: Curve, point: Uint8Array): Promise<VerificationKey>;

export declare function importReceiptKey(point: Uint8Array): Promise<ReceiptKey>;

export declare function incompleteVerdict(
  failure: "unreachable" | "rotated",
  mode: Mode,
  judgedAtMs: number,
): Verdict;

export declare function isArray(value: CborValue | undefined): value is readonly CborValue[];

export declare function isLowS(curve: Curve, signature: Uint8Array): boolean;

export declare function isMap(value: CborValue | undefined): value is CborMap;

export declare function isSignature(curve: Curve, signature: Uint8Array): boolean;

export declare function joinBytes(parts: readonly Uint8Array[]): Uint8Array;

export declare function lowS(curve: Curve, signature: Uint8Array): Uint8Array;

export declare function merkleLeaf(hashes: Hashes, value: Uint8Array): Awaitable<Uint8Array>;

export declare function merkleRoot(
  hashes: Hashes,
  leafHashes: readonly Uint8Array[],
): Awaitable<Uint8Array>;

export declare function modelOfPath(path: string): AskedModel | null;

export declare function modelStanding(policy: Policy, model: AllowedModel): ModelStanding;

export declare function modelsRegister(modelsDigest: Uint8Array): Promise<Uint8Array>;

export declare function parseBundle(bytes: Uint8Array): Bundle;

export declare function parseCoseSign1(bytes: Uint8Array, profile: CoseProfile): CoseSign1;

export declare function parseEpochBinding(bytes: Uint8Array): EpochBinding;

export declare function parseEvidence(bytes: Uint8Array): Evidence;

export declare function parseKeyset(bytes: Uint8Array): Keyset;

export declare function parseMeasurement(bytes: Uint8Array): Measurement;

export declare function parseModelSet(bytes: Uint8Array): readonly ModelRef[];

export declare function parsePolicy(text: string): Policy;

export declare function parseProof(bytes: Uint8Array): Proof;

export declare function parseReceipt(bytes: Uint8Array): Receipt;

export declare function parseRuntimeConfig(bytes: Uint8Array): RuntimeConfig;

export declare function parseTimestamp(text: string): number | null;

export declare function receiptToBeSigned(payload: Uint8Array): Uint8Array;

export declare function requireKnownRoots(policy: Policy): Promise<void>;

export declare function sha384(...parts: readonly Uint8Array[]): Promise<Uint8Array>;

export declare function sigStructure(algorithm: CoseAlgorithm, payload: Uint8Array): Uint8Array;

export declare function suiteOf(keyConfig: Uint8Array): Suite;

export declare function verifyConsistency(hashes: Hashes, proof: ConsistencyProof): Promise<void>;

export declare function verifyCoseSign1(sign1: CoseSign1, key: VerificationKey): Promise<boolean>;

export declare function verifyEcdsa(
  key: VerificationKey,
  signature: Uint8Array,
  message: Uint8Array,
): Promise<boolean>;

export declare function verifyEvidence(
  bytes: Uint8Array,
  anchors: TrustAnchors,
  atMs: number,
  cache?: EvidenceCache | null,
): Promise<VerifiedEvidence>;

export declare function verifyInclusion(hashes: Hashes, proof: InclusionProof): Promise<void>;

export declare function verifyReceipt(receipt: Receipt, key: ReceiptKey): Promise<void>;

export declare function verifyReceiptSequence(
  epoch: VerifiedEpoch,
  receipts: readonly Uint8Array[],
  first: number,
  nowMs: number,
): Promise<readonly ReceiptClaims[]>;

export declare const webHashes: Hashes;

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

declare const REQUIREMENTS: readonly ["optional", "required"];

type Requirement = (typeof REQUIREMENTS)[number];

interface Revoked {
  readonly measurements: readonly Uint8Array[];
  readonly models: readonly Uint8Array[];
  readonly keysets: readonly Uint8Array[];
}

type Roots = "any" | "last";

declare const brand: unique symbol;

export {};
