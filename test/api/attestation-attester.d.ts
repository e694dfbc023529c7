/** The public types of @countersign/attestation/attester. Written by test/api/generate.ts. */
/* oxlint-disable no-unused-private-class-members -- a declaration has no bodies */

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

export type CborValue =
  number | bigint | string | boolean | null | Uint8Array | readonly CborValue[] | CborMap | CborTag;

export declare const DETERMINISTIC: CborProfile;

export type Direction = "request" | "response";

export interface EpochBinding {
  readonly keysetDigest: Uint8Array;
  readonly modelsDigest: Uint8Array;
  readonly configDigest: Uint8Array;
  readonly sequence: number;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly previous: Uint8Array | null;
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

export declare class JsonNode {
  readonly pointer: string;
  readonly value: JsonValue;
  constructor(pointer: string, value: JsonValue);
  refusal(message: string): AttestationError;
  object(required: readonly string[], optional?: readonly string[]): JsonObject;
  members(): ReadonlyMap<string, JsonNode>;
  items(least: number, most: number): readonly JsonNode[];
  text(): string;
  nameText(): string;
  boolean(): boolean;
  integer(least: number, most: number): number;
  oneOf<T extends string>(choices: readonly T[]): T;
  hex(bytes: number): Uint8Array;
}

export interface Keyset {
  readonly keyConfig: Uint8Array;
  readonly receiptKey: Uint8Array;
}

export declare const MAX_EPOCH_SECONDS = 10200;

export declare const MODELS_REGISTER = 16;

export interface ModelRef {
  readonly id: string;
  readonly version: string;
  readonly digest: Uint8Array;
}

export interface Outcome {
  readonly status: number;
  readonly finishReason?: string;
  readonly promptTokens?: number;
  readonly completionTokens?: number;
  readonly seed?: number;
  readonly parameters?: Uint8Array;
}

export type Phase = (typeof PHASES)[number];

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

export interface ReleaseBinding {
  readonly publicKeyDigest: Uint8Array;
  readonly modelDigest: Uint8Array;
  readonly envelopeDigest: Uint8Array;
}

export interface RuntimeConfig {
  readonly engine: string;
  readonly engineVersion: string;
  readonly limits: ReadonlyMap<string, number>;
  readonly features: ReadonlyMap<string, string | number | boolean>;
}

export declare class Transcript {
  #private;
  constructor(hashes: Hashes, kc: Uint8Array, direction: Direction, heads?: Roots);
  get leaves(): number;
  append(leaf: Uint8Array): Awaitable<void>;
  head(leaves?: number): Awaitable<Head>;
}

export declare function assembleReceipt(payload: Uint8Array, signature: Uint8Array): Uint8Array;

export declare function compareBytes(a: Uint8Array, b: Uint8Array): number;

export declare function concatBytes(...parts: readonly Uint8Array[]): Uint8Array;

export declare function decodeCbor(bytes: Uint8Array, profile: CborProfile): CborValue;

export declare function decodeUtf8(bytes: Uint8Array): string;

export declare function encodeBundle(bundle: Bundle): Uint8Array;

export declare function encodeCbor(value: CborValue): Uint8Array;

export declare function encodeEpochBinding(binding: EpochBinding): Uint8Array;

export declare function encodeHex(bytes: Uint8Array): string;

export declare function encodeKeyset(keyset: Keyset): Uint8Array;

export declare function encodeModelSet(models: readonly ModelRef[]): Uint8Array;

export declare function encodeReceiptClaims(claims: ReceiptClaims): Uint8Array;

export declare function encodeReleaseBinding(binding: ReleaseBinding): Uint8Array;

export declare function encodeRuntimeConfig(config: RuntimeConfig): Uint8Array;

export declare function encodeUtf8(text: string): Uint8Array;

export declare function equalBytes(a: Uint8Array, b: Uint8Array): boolean;

export declare function exchangeId(hashes: Hashes, enc: Uint8Array): Awaitable<Uint8Array>;

export declare function isArray(value: CborValue | undefined): value is readonly CborValue[];

export declare function isMap(value: CborValue | undefined): value is CborMap;

export declare function joinBytes(parts: readonly Uint8Array[]): Uint8Array;

export declare function modelsRegister(modelsDigest: Uint8Array): Promise<Uint8Array>;

export declare function parseCoseSign1(bytes: Uint8Array, profile: CoseProfile): CoseSign1;

export declare function parseJson(text: string): JsonValue;

export declare function receiptToBeSigned(payload: Uint8Array): Uint8Array;

export declare function sigStructure(algorithm: CoseAlgorithm, payload: Uint8Array): Uint8Array;

export declare const webHashes: Hashes;

declare class CborTag {
  readonly tag: number;
  readonly value: CborValue;
  constructor(tag: number, value: CborValue);
}

type CoseAlgorithm = "ES256" | "ES384";

interface CoseProfile {
  readonly algorithm: CoseAlgorithm;
  readonly tag: "required" | "optional";
  readonly maxBytes: number;
}

interface CoseSign1 {
  readonly algorithm: CoseAlgorithm;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

declare class JsonObject {
  #private;
  constructor(node: JsonNode, members: ReadonlyMap<string, JsonNode>);
  get(key: string): JsonNode;
  find(key: string): JsonNode | null;
}

type JsonValue =
  null | boolean | number | string | readonly JsonValue[] | ReadonlyMap<string, JsonValue>;

declare const PHASES: readonly ["checkpoint", "final", "aborted"];

type Roots = "any" | "last";

export type { JsonObject };

export {};
