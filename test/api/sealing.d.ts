/** The public types of @countersign/sealing. Written by test/api/generate.ts. */
import type { KMS } from "@aws-sdk/client-kms";
import type { Policy } from "@countersign/attestation";
import type { Envelope, ManifestEntry } from "@countersign/protocol";

export interface BrokerEntry extends Readonly<Omit<AskedFor, "attested">> {
  readonly event: "key-released" | "key-refused";
  readonly at: number;
  readonly peer: string;
  readonly code: string | null;
  readonly detail: string | null;
  readonly dropped: number;
}

export interface DevKms {
  readonly url: string;
  readonly region: string;
  readonly caPem: string;
  readonly caPath: string;
  readonly keyServicesPath: string;
  readonly owner: DevKmsPrincipal;
  readonly node: DevKmsPrincipal;
  readonly keys: readonly [DevKmsKey, ...DevKmsKey[]];
  inject(fault: DevKmsFault, times: number): void;
  recover(): void;
  close(): Promise<void>;
}

export interface DevKmsEntry {
  readonly principal: string | null;
  readonly action: string | null;
  readonly key: string | null;
  readonly pcr0: string | null;
  readonly outcome: string;
  readonly reason: string | null;
}

export type DevKmsFault =
  | {
      readonly kind: "throttle";
    }
  | {
      readonly kind: "internal";
    }
  | {
      readonly kind: "unavailable";
    }
  | {
      readonly kind: "deny";
    }
  | {
      readonly kind: "delay";
      readonly ms: number;
    }
  | {
      readonly kind: "cut";
    }
  | {
      readonly kind: "cut-answer";
    }
  | {
      readonly kind: "garbage";
    }
  | {
      readonly kind: "other-key";
    }
  | {
      readonly kind: "bad-envelope";
    }
  | {
      readonly kind: "other-key-id";
      readonly keyId: string;
    }
  | {
      readonly kind: "other-answer";
      readonly answer: Answer;
    };

export interface DevKmsKey {
  readonly arn: string;
  readonly alias: string;
  readonly policyPath: string;
}

export interface DevKmsOptions {
  readonly directory: string;
  readonly listen: {
    readonly host: string;
    readonly port: number;
  };
  readonly allowRemote: boolean;
  readonly attestationRoots: readonly Uint8Array[] | (() => Promise<readonly Uint8Array[]>);
  readonly aliases?: readonly string[];
  readonly log?: (entry: DevKmsEntry) => void;
  readonly clock?: () => number;
  readonly faults?: readonly DevKmsFault[];
}

export interface DevKmsPrincipal {
  readonly arn: string;
  readonly credentials: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  readonly credentialsPath: string;
}

export interface ExplainedKeyPolicy {
  readonly policy: KeyPolicy;
  readonly explanations: readonly {
    readonly sid: string;
    readonly text: string;
  }[];
}

export interface FoundVersion {
  readonly directory: string;
  readonly name: string;
  readonly sealed: boolean;
}

export interface KeyBroker {
  readonly url: string;
  readonly keys: readonly string[];
  close(): Promise<void>;
}

export interface KeyBrokerOptions {
  readonly host: string;
  readonly port: number;
  readonly keys: readonly Uint8Array[];
  readonly policy: () => Promise<Policy>;
  readonly log: (entry: BrokerEntry) => void;
  readonly clock?: BrokerClock;
}

export interface KeyPolicy {
  readonly Version: "2012-10-17";
  readonly Id: "countersign-sealed-models";
  readonly Statement: readonly KeyPolicyStatement[];
}

export interface KeyPolicyOptions {
  readonly account: string;
  readonly nodeRole: string;
  readonly ownerRole: string;
  readonly ownerDecrypts: boolean;
  readonly releases: readonly KeyPolicyRelease[];
  readonly models: readonly string[];
}

export interface KeyPolicyRelease {
  readonly name: string;
  readonly pcr0: string;
  readonly pcr1: string;
  readonly pcr2: string;
  readonly pcr8: string | null;
}

export interface KeyPolicyStatement {
  readonly Sid: string;
  readonly Effect: "Allow" | "Deny";
  readonly Principal: {
    readonly AWS: string;
  };
  readonly Action: string | readonly string[];
  readonly Resource: "*";
  readonly Condition?: KeyPolicyConditions;
}

export interface KeyProvider {
  generate(modelDigest: Uint8Array): Promise<{
    readonly key: Uint8Array;
    readonly envelope: Envelope;
  }>;
  unwrap(envelope: Envelope, modelDigest: Uint8Array): Promise<Uint8Array>;
  wrap(key: Uint8Array, modelDigest: Uint8Array): Promise<Envelope>;
}

export interface KmsClientOptions {
  readonly region: string | null;
  readonly endpoint: string | null;
  readonly ca: string | null;
}

export interface KmsProvider extends KeyProvider {
  reencrypt(envelope: Envelope, modelDigest: Uint8Array): Promise<Envelope>;
}

export interface NewKey {
  readonly provider: KeyProvider;
  reencrypt(envelope: Envelope): ((modelDigest: Uint8Array) => Promise<Envelope>) | null;
}

export type ProviderOf = (envelope: Envelope) => Promise<KeyProvider>;

export interface ResealedModel {
  readonly name: string;
  readonly digest: Uint8Array;
  readonly before: Envelope;
  readonly after: Envelope;
  readonly moved: "key-service" | "here";
}

export interface SealedModel {
  readonly name: string;
  readonly digest: Uint8Array;
  readonly files: number;
  readonly bytes: number;
  readonly envelope: Envelope;
}

export interface SealedVersion {
  readonly directory: string;
  readonly manifest: Uint8Array;
  readonly digest: Uint8Array;
  readonly entries: readonly ManifestEntry[];
  readonly envelope: Envelope;
}

export declare class SealingError extends Error {
  readonly name = "SealingError";
  readonly code: SealingErrorCode;
  constructor(code: SealingErrorCode, message: string, options?: ErrorOptions);
}

export type SealingErrorCode =
  | "sealing/input"
  | "sealing/output"
  | "sealing/changed"
  | "sealing/sealed"
  | "sealing/segment"
  | "sealing/key-file"
  | "sealing/key"
  | "sealing/kms-options"
  | "sealing/kms-credentials"
  | "sealing/kms-unreachable"
  | "sealing/kms-denied"
  | "sealing/kms-refused"
  | "sealing/kms-answer"
  | "sealing/key-policy"
  | "broker/request"
  | "broker/challenge"
  | "broker/policy"
  | "broker/key"
  | "broker/envelope"
  | "broker/busy"
  | "broker/listen"
  | "dev-kms/state"
  | "dev-kms/remote"
  | "dev-kms/listen";

export interface Surroundings {
  readonly progress: WorkProgress;
  readonly signal: AbortSignal;
}

export interface UnsealedModel {
  readonly name: string;
  readonly digest: Uint8Array;
  readonly files: number;
  readonly bytes: number;
}

export interface WorkProgress {
  begin(totalBytes: number): void;
  at(part: string, bytes: number): void;
}

export declare function createKeyFile(path: string): Promise<string>;

export declare function encodeKeyPolicy(policy: KeyPolicy): string;

export declare function fileProvider(key: Uint8Array): KeyProvider;

export declare function findSealed(directory: string): Promise<readonly FoundVersion[]>;

export declare function keyFileId(key: Uint8Array): string;

export declare function kmsClient(options: KmsClientOptions): Promise<KMS>;

export declare function kmsKeyPolicy(options: KeyPolicyOptions): ExplainedKeyPolicy;

export declare function kmsKeyRegion(key: string): string | null;

export declare function kmsProvider(
  kms: KMS,
  key: string,
  signal?: AbortSignal | null,
): KmsProvider;

export declare function readKeyFile(path: string): Promise<Uint8Array>;

export declare function readSealed(directory: string): Promise<SealedVersion>;

export declare function requireSealed(directory: string): Promise<SealedVersion>;

export declare function resealModels(
  directory: string,
  providerOf: ProviderOf,
  newKey: NewKey,
  onResealed: (model: ResealedModel) => void,
): Promise<void>;

export declare function sealModels(
  directory: string,
  out: string,
  provider: KeyProvider,
  around: Surroundings,
): Promise<readonly SealedModel[]>;

export declare function sealedFaults(version: SealedVersion): Promise<readonly string[]>;

export declare function startDevKms(options: DevKmsOptions): Promise<DevKms>;

export declare function startKeyBroker(options: KeyBrokerOptions): Promise<KeyBroker>;

export declare function unsealModels(
  directory: string,
  out: string,
  providerOf: ProviderOf,
  around: Surroundings,
): Promise<readonly UnsealedModel[]>;

type Answer = Readonly<Record<string, unknown>>;

interface AskedFor {
  attested: boolean;
  model: string | null;
  measurement: string | null;
  key: string | null;
}

interface BrokerClock {
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
}

type KeyPolicyConditions = Readonly<
  Record<string, Readonly<Record<string, string | readonly string[]>>>
>;

export {};
