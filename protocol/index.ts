export { ProtocolError, type ProtocolErrorCode } from "./errors.ts";
export type {
  Aead,
  Encapsulation,
  MlKem768,
  MlKem768Key,
  Primitives,
  X25519Key,
} from "./primitives.ts";
export {
  generateRecipientKey,
  importRecipientKey,
  KEM_BYTES,
  KEM_MLKEM768_X25519,
  KEM_X25519,
  type KemId,
  type RecipientKey,
} from "./kem.ts";
export {
  AEAD_AES_128_GCM,
  AEAD_AES_256_GCM,
  type AeadId,
  KDF_HKDF_SHA256,
  type KdfId,
} from "./hpke.ts";
export { encodeKeyConfig, type KeyConfig, parseKeyConfig } from "./keyconfig.ts";
export { MAX_CHUNK_PLAINTEXT } from "./chunks.ts";
export {
  type OpenedRequest,
  openRequest,
  REQUEST_HEADER_BYTES,
  type SealedRequest,
  sealRequest,
} from "./ohttp.ts";
export type { ResponseSealer } from "./response.ts";
export type { Fields, RequestTarget } from "./message.ts";
export { MAX_FIELDS } from "./message.ts";
export {
  CONTENT_CHUNK_BYTES,
  encodeContentChunk,
  encodeRequestPreamble,
  encodeResponsePreamble,
  encodeTrailers,
  MAX_CONTENT_CHUNK_BYTES,
  MAX_SECTION_BYTES,
  type RequestPreamble,
} from "./bhttp.ts";
export {
  type DecodedMessage,
  type DecodedRequest,
  type DecodedResponse,
  decodeRequest,
  decodeResponse,
  MAX_INFORMATIONAL,
  MAX_PADDING_BYTES,
} from "./bhttp-read.ts";
export { encodeByteSequence, parseByteSequence } from "./fields.ts";
export {
  CHECKPOINT_PREFIX,
  encodeCheckpoint,
  encodeFill,
  fillChunks,
  isEventStream,
  isFill,
  parseCheckpoint,
  reckonedBytes,
} from "./event-stream.ts";
export { bucketOf, zeroPadding } from "./padding.ts";
export {
  encodeManifest,
  type ManifestEntry,
  MAX_MANIFEST_ENTRIES,
  MAX_PATH_BYTES,
  MAX_SEGMENT_BYTES,
  parseManifest,
  requireSafePath,
} from "./manifest.ts";
export {
  encodeProvisioning,
  LIMIT_RANGES,
  MAX_MODELS,
  parseProvisioning,
  type ProvisionedModel,
  type Provisioning,
  type ProvisioningLimits,
} from "./provisioning.ts";
export { type KmsKeyArn, parseKmsKeyArn } from "./arn.ts";
export {
  DATA_KEY_BYTES,
  encodeEnvelope,
  encodeSeal,
  type Envelope,
  KMS_CONTEXT_NAME,
  MAX_ENVELOPE_BYTES,
  MAX_SEAL_BYTES,
  MAX_WRAPPED_BYTES,
  parseEnvelope,
  parseSeal,
  type Seal,
  SEAL_PATH,
  SEALED_SUFFIX,
  sealedBytes,
  sealedPath,
  SEGMENT_BYTES,
  SEGMENT_TAG_BYTES,
  segmentAad,
  segmentCount,
  segmentNonce,
} from "./seal.ts";
export {
  type KeyService,
  keyServiceFor,
  type KeyServiceRule,
  type KeyServices,
  parseKeyServices,
} from "./key-services.ts";
export {
  BUNDLE_PATH,
  CHALLENGE_PATH,
  GATEWAY_PATH,
  KEYSET_FIELD,
  MEDIA_BUNDLE,
  MEDIA_PROBLEM,
  MEDIA_REQUEST,
  MEDIA_RESPONSE,
  parseProblem,
  PROBLEM,
  type Problem,
  type ProblemCode,
  type ProblemDocument,
  problemDocument,
  RECEIPT_FIELD,
  TRANSCRIPT_KEY_BYTES,
  TRANSCRIPT_LABEL,
} from "./wire.ts";
export {
  encodeKeyChallenge,
  encodeKeyRequest,
  KEY_CHALLENGE_PATH,
  KEY_NONCE_BYTES,
  KEY_RELEASE_PATH,
  type KeyChallenge,
  type KeyRequest,
  MAX_KEY_ANSWER_BYTES,
  MAX_KEY_REQUEST_BYTES,
  MEDIA_KEY_RELEASE,
  openDataKey,
  parseKeyChallenge,
  parseKeyRequest,
  sealDataKey,
} from "./key-release.ts";
