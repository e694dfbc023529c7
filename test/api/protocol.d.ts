/** The public types of @countersign/protocol. Written by test/api/generate.ts. */
import type { Awaitable, Hashes } from "@countersign/attestation/attester";

export declare const AEAD_AES_128_GCM = 1;

export declare const AEAD_AES_256_GCM = 2;

export interface Aead {
  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Awaitable<Uint8Array>;
  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Awaitable<Uint8Array | null>;
}

export type AeadId = 0x0001 | 0x0002;

export declare const BUNDLE_PATH = "/.well-known/countersign/bundle";

export declare const CHALLENGE_PATH = "/.well-known/countersign/challenge";

export declare const CHECKPOINT_PREFIX: string;

export declare const CONTENT_CHUNK_BYTES: number;

export declare const DATA_KEY_BYTES = 32;

export interface DecodedMessage {
  readonly leaf: Uint8Array;
  readonly content: AsyncIterable<Uint8Array>;
  trailers(): Fields;
}

export interface DecodedRequest extends DecodedMessage {
  readonly preamble: RequestPreamble;
}

export interface DecodedResponse extends DecodedMessage {
  readonly status: number;
  readonly headers: Fields;
}

export interface Encapsulation {
  readonly sharedSecret: Uint8Array;
  readonly ciphertext: Uint8Array;
}

export interface Envelope {
  readonly kind: "aws-kms" | "file";
  readonly key: string;
  readonly wrapped: Uint8Array;
}

export type Fields = readonly (readonly [name: string, value: string])[];

export declare const GATEWAY_PATH = "/.well-known/ohttp-gateway";

export declare const KDF_HKDF_SHA256 = 1;

export declare const KEM_BYTES: Readonly<
  Record<
    KemId,
    {
      readonly privateKey: number;
      readonly publicKey: number;
      readonly enc: number;
    }
  >
>;

export declare const KEM_MLKEM768_X25519 = 25722;

export declare const KEM_X25519 = 32;

export declare const KEYSET_FIELD = "countersign-keyset";

export declare const KEY_CHALLENGE_PATH = "/challenge";

export declare const KEY_NONCE_BYTES = 32;

export declare const KEY_RELEASE_PATH = "/release";

export declare const KMS_CONTEXT_NAME = "countersign-model-digest";

export type KdfId = 0x0001;

export type KemId = 0x647a | 0x0020;

export interface KeyChallenge {
  readonly nonce: Uint8Array;
  readonly expires: number;
}

export interface KeyConfig {
  readonly keyId: number;
  readonly kem: KemId;
  readonly publicKey: Uint8Array;
  readonly kdf: KdfId;
  readonly aead: AeadId;
}

export interface KeyRequest {
  readonly platform: string;
  readonly document: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly modelDigest: Uint8Array;
  readonly envelope: Uint8Array;
}

export interface KeyService {
  readonly kind: "aws-kms" | "broker";
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly region: string | null;
  readonly roots: readonly string[];
}

export type KeyServiceRule =
  | {
      readonly kind: "aws-kms";
      readonly region: string;
      readonly endpoint: string;
      readonly roots: readonly string[];
    }
  | {
      readonly kind: "broker";
      readonly key: string;
      readonly endpoint: string;
      readonly roots: readonly string[];
    };

export interface KeyServices {
  readonly services: readonly KeyServiceRule[];
  readonly rootCertificates: readonly string[];
}

export interface KmsKeyArn {
  readonly partition: "aws" | "aws-cn" | "aws-us-gov";
  readonly region: string;
  readonly account: string;
  readonly keyId: string;
}

export declare const LIMIT_RANGES: Readonly<
  Record<keyof ProvisioningLimits, readonly [least: number, most: number]>
>;

export declare const MAX_CHUNK_PLAINTEXT = 16384;

export declare const MAX_CONTENT_CHUNK_BYTES: number;

export declare const MAX_ENVELOPE_BYTES = 8192;

export declare const MAX_FIELDS = 256;

export declare const MAX_INFORMATIONAL = 16;

export declare const MAX_KEY_ANSWER_BYTES = 2048;

export declare const MAX_KEY_REQUEST_BYTES: number;

export declare const MAX_MANIFEST_ENTRIES = 4096;

export declare const MAX_MODELS = 64;

export declare const MAX_PADDING_BYTES: number;

export declare const MAX_PATH_BYTES = 1024;

export declare const MAX_SEAL_BYTES: number;

export declare const MAX_SECTION_BYTES: number;

export declare const MAX_SEGMENT_BYTES = 255;

export declare const MAX_WRAPPED_BYTES = 6144;

export declare const MEDIA_BUNDLE = "application/cbor";

export declare const MEDIA_KEY_RELEASE = "application/cbor";

export declare const MEDIA_PROBLEM = "application/problem+json";

export declare const MEDIA_REQUEST = "message/ohttp-chunked-req";

export declare const MEDIA_RESPONSE = "message/ohttp-chunked-res";

export interface ManifestEntry {
  readonly path: string;
  readonly size: number;
  readonly sha256: Uint8Array;
}

export interface MlKem768 {
  key(seed: Uint8Array): Awaitable<MlKem768Key>;
  encapsulate(publicKey: Uint8Array): Awaitable<Encapsulation | null>;
}

export interface MlKem768Key {
  readonly publicKey: Uint8Array;
  decapsulate(ciphertext: Uint8Array): Awaitable<Uint8Array | null>;
  destroy(): void;
}

export interface OpenedRequest {
  readonly keyId: number;
  readonly header: Uint8Array;
  readonly enc: Uint8Array;
  readonly plaintext: AsyncIterable<Uint8Array>;
  export(label: string, length: number): Awaitable<Uint8Array>;
  sealResponse(): Promise<ResponseSealer>;
}

export declare const PROBLEM: Readonly<Record<ProblemCode, Problem>>;

export interface Primitives extends Hashes {
  random(length: number): Uint8Array;
  aesGcm(key: Uint8Array): Awaitable<Aead>;
  sha3_256(bytes: Uint8Array): Awaitable<Uint8Array>;
  shake256(bytes: Uint8Array, length: number): Awaitable<Uint8Array>;
  x25519(privateKey: Uint8Array): Awaitable<X25519Key>;
  readonly mlkem768: MlKem768;
}

export interface Problem {
  readonly type: string;
  readonly status: number;
  readonly title: string;
}

export type ProblemCode = (typeof PROBLEM_CODES)[number];

export interface ProblemDocument {
  readonly status: number;
  readonly body: string;
}

export declare class ProtocolError extends Error {
  readonly name = "ProtocolError";
  readonly code: ProtocolErrorCode;
  constructor(code: ProtocolErrorCode, message: string, options?: ErrorOptions);
}

export type ProtocolErrorCode =
  | "hpke/open"
  | "hpke/key"
  | "hpke/exhausted"
  | "hpke/destroyed"
  | "ohttp/unknown-key"
  | "ohttp/suite"
  | "ohttp/truncated"
  | "ohttp/too-large"
  | "ohttp/key-config"
  | "bhttp/malformed"
  | "bhttp/field"
  | "bhttp/truncated"
  | "bhttp/too-large"
  | "field/byte-sequence"
  | "manifest/structure"
  | "manifest/path"
  | "manifest/too-large"
  | "provisioning/structure"
  | "provisioning/limit"
  | "provisioning/model"
  | "key-services/structure"
  | "key-services/none"
  | "key-release/structure"
  | "seal/structure"
  | "seal/envelope";

export interface ProvisionedModel {
  readonly id: string;
  readonly version: string;
  readonly digest: Uint8Array;
  readonly manifest: Uint8Array;
  readonly envelope: Uint8Array | null;
}

export interface Provisioning {
  readonly models: readonly ProvisionedModel[];
  readonly limits: ProvisioningLimits;
}

export interface ProvisioningLimits {
  readonly maxRequestBytes: number;
  readonly queueLength: number;
  readonly epochSeconds: number;
  readonly epochOverlapSeconds: number;
  readonly inferenceTimeoutMs: number;
  readonly replaySlots: number;
  readonly intraOpThreads: number;
  readonly cacheBytes: number;
  readonly maxSequences: number;
}

export declare const RECEIPT_FIELD = "countersign-receipt";

export declare const REQUEST_HEADER_BYTES = 7;

export interface RecipientKey {
  readonly kem: KemId;
  readonly publicKey: Uint8Array;
  decapsulate(enc: Uint8Array): Awaitable<Uint8Array>;
  destroy(): void;
}

export interface RequestPreamble extends RequestTarget {
  readonly headers: Fields;
}

export interface RequestTarget {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
}

export interface ResponseSealer {
  readonly head: Uint8Array;
  seal(plaintext: Uint8Array): Awaitable<Uint8Array>;
  finish(last: Uint8Array): Awaitable<Uint8Array>;
}

export declare const SEALED_SUFFIX = ".sealed";

export declare const SEAL_PATH = "seal.cbor";

export declare const SEGMENT_BYTES = 4194304;

export declare const SEGMENT_TAG_BYTES = 16;

export interface Seal {
  readonly manifest: Uint8Array;
  readonly envelope: Uint8Array;
}

export interface SealedRequest {
  readonly enc: Uint8Array;
  readonly body: AsyncIterable<Uint8Array>;
  export(label: string, length: number): Awaitable<Uint8Array>;
  openResponse(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
}

export declare const TRANSCRIPT_KEY_BYTES = 32;

export declare const TRANSCRIPT_LABEL = "countersign transcript v1";

export interface X25519Key {
  readonly publicKey: Uint8Array;
  agree(peer: Uint8Array): Awaitable<Uint8Array | null>;
  destroy(): void;
}

export declare function bucketOf(length: number): number;

export declare function decodeRequest(
  plaintext: AsyncIterable<Uint8Array>,
): Promise<DecodedRequest>;

export declare function decodeResponse(
  plaintext: AsyncIterable<Uint8Array>,
): Promise<DecodedResponse>;

export declare function encodeByteSequence(bytes: Uint8Array): string;

export declare function encodeCheckpoint(receipt: Uint8Array): Uint8Array;

export declare function encodeContentChunk(content: Uint8Array): Uint8Array;

export declare function encodeEnvelope(envelope: Envelope): Uint8Array;

export declare function encodeFill(length?: number): Uint8Array;

export declare function encodeKeyChallenge({ nonce, expires }: KeyChallenge): Uint8Array;

export declare function encodeKeyConfig(config: KeyConfig): Uint8Array;

export declare function encodeKeyRequest(request: KeyRequest): Uint8Array;

export declare function encodeManifest(entries: readonly ManifestEntry[]): Uint8Array;

export declare function encodeProvisioning(provisioning: Provisioning): Uint8Array;

export declare function encodeRequestPreamble(request: RequestPreamble): Uint8Array;

export declare function encodeResponsePreamble(status: number, headers: Fields): Uint8Array;

export declare function encodeSeal(seal: Seal): Uint8Array;

export declare function encodeTrailers(trailers: Fields): Uint8Array;

export declare function fillChunks(length: number, reckoned: number): readonly Uint8Array[];

export declare function generateRecipientKey(p: Primitives, kem: KemId): Promise<RecipientKey>;

export declare function importRecipientKey(
  p: Primitives,
  kem: KemId,
  privateKey: Uint8Array,
): Promise<RecipientKey>;

export declare function isEventStream(headers: Fields): boolean;

export declare function isFill(chunk: Uint8Array): boolean;

export declare function keyServiceFor(services: KeyServices, envelope: Envelope): KeyService;

export declare function openDataKey(
  p: Primitives,
  key: RecipientKey,
  document: Uint8Array,
  response: Uint8Array,
): Promise<Uint8Array>;

export declare function openRequest(
  p: Primitives,
  keyOf: (keyId: number) => RecipientKey | null,
  body: AsyncIterable<Uint8Array>,
): Promise<OpenedRequest>;

export declare function parseByteSequence(text: string): Uint8Array;

export declare function parseCheckpoint(chunk: Uint8Array): Uint8Array | null;

export declare function parseEnvelope(bytes: Uint8Array): Envelope;

export declare function parseKeyChallenge(bytes: Uint8Array): KeyChallenge;

export declare function parseKeyConfig(bytes: Uint8Array): KeyConfig;

export declare function parseKeyRequest(bytes: Uint8Array): KeyRequest;

export declare function parseKeyServices(bytes: Uint8Array): KeyServices;

export declare function parseKmsKeyArn(text: string): KmsKeyArn;

export declare function parseManifest(bytes: Uint8Array): readonly ManifestEntry[];

export declare function parseProblem(body: string): ProblemCode | null;

export declare function parseProvisioning(bytes: Uint8Array): Provisioning;

export declare function parseSeal(bytes: Uint8Array): Seal;

export declare function problemDocument(code: ProblemCode, detail: string): ProblemDocument;

export declare function reckonedBytes(length: number): number;

export declare function requireSafePath(path: string): string;

export declare function sealDataKey(
  p: Primitives,
  publicKey: Uint8Array,
  document: Uint8Array,
  dataKey: Uint8Array,
): Promise<Uint8Array>;

export declare function sealRequest(
  p: Primitives,
  config: KeyConfig,
  plaintext: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<SealedRequest>;

export declare function sealedBytes(size: number): number;

export declare function sealedPath(path: string): string;

export declare function segmentAad(
  modelDigest: Uint8Array,
  file: number,
  segment: number,
  final: boolean,
): Uint8Array;

export declare function segmentCount(size: number): number;

export declare function segmentNonce(file: number, segment: number): Uint8Array;

export declare function zeroPadding(length: number): Uint8Array;

declare const PROBLEM_CODES: readonly [
  "malformed",
  "unknownKey",
  "replay",
  "tooLarge",
  "tooMany",
  "unavailable",
  "mediaType",
  "notFound",
  "method",
];

export {};
