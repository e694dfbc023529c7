// What an Attester makes, and nothing of what judges it: all that the enclave loads of this folder.
export { AttestationError, type AttestationErrorCode } from "./errors.ts";
export {
  type Awaitable,
  compareBytes,
  concatBytes,
  decodeUtf8,
  encodeHex,
  encodeUtf8,
  equalBytes,
  joinBytes,
} from "./bytes.ts";
export { type Hashes, webHashes } from "./hashes.ts";
export {
  type CborKey,
  type CborMap,
  type CborProfile,
  type CborValue,
  decodeCbor,
  DETERMINISTIC,
  encodeCbor,
  isArray,
  isMap,
} from "./cbor.ts";
export { parseJson } from "./json.ts";
export { JsonNode, type JsonObject } from "./json-node.ts";
export { parseCoseSign1, sigStructure } from "./cose.ts";
export {
  encodeEpochBinding,
  type EpochBinding,
  MAX_EPOCH_SECONDS,
  MODELS_REGISTER,
  modelsRegister,
} from "./binding.ts";
export { encodeReleaseBinding, type ReleaseBinding } from "./release-binding.ts";
export { encodeKeyset, type Keyset } from "./keyset.ts";
export { encodeModelSet, type ModelRef } from "./models.ts";
export { encodeRuntimeConfig, type RuntimeConfig } from "./config.ts";
export { type Bundle, encodeBundle } from "./bundle.ts";
export { type Direction, type Head, Transcript } from "./transcript.ts";
export {
  assembleReceipt,
  encodeReceiptClaims,
  exchangeId,
  type Outcome,
  type Phase,
  type ReceiptClaims,
  receiptToBeSigned,
} from "./receipt.ts";
