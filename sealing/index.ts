export { SealingError, type SealingErrorCode } from "./errors.ts";
export {
  encodeKeyPolicy,
  type ExplainedKeyPolicy,
  type KeyPolicy,
  type KeyPolicyOptions,
  type KeyPolicyRelease,
  type KeyPolicyStatement,
  kmsKeyPolicy,
} from "./kms-policy.ts";
export { createKeyFile, keyFileId, readKeyFile } from "./key-file.ts";
export type { KeyProvider, ProviderOf } from "./providers/provider.ts";
export { kmsClient, type KmsClientOptions } from "./providers/kms-client.ts";
export { kmsKeyRegion, kmsProvider, type KmsProvider } from "./providers/kms.ts";
export { type SealedModel, sealModels } from "./seal.ts";
export { type UnsealedModel, unsealModels } from "./unseal.ts";
export { type NewKey, type ResealedModel, resealModels } from "./reseal.ts";
export { findSealed, type FoundVersion } from "./listing.ts";
export { readSealed, requireSealed, sealedFaults, type SealedVersion } from "./sealed-version.ts";
export type { Surroundings, WorkProgress } from "./surroundings.ts";
export { fileProvider } from "./providers/file.ts";
export {
  type BrokerEntry,
  type KeyBroker,
  type KeyBrokerOptions,
  startKeyBroker,
} from "./broker/server.ts";
export {
  type DevKms,
  type DevKmsKey,
  type DevKmsOptions,
  type DevKmsPrincipal,
  startDevKms,
} from "./dev-kms/start.ts";
export type { DevKmsEntry } from "./dev-kms/server.ts";
export type { DevKmsFault } from "./dev-kms/fault.ts";
