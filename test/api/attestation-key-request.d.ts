/** The public types of @countersign/attestation/key-request. Written by test/api/generate.ts. */

export type GrantedKeyRequest = Brand<KeyRequestFacts, "GrantedKeyRequest">;

export interface KeyRequestClaims {
  readonly platform: string;
  readonly document: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly modelDigest: Uint8Array;
  readonly envelope: Uint8Array;
}

export interface ReleaseBinding {
  readonly publicKeyDigest: Uint8Array;
  readonly modelDigest: Uint8Array;
  readonly envelopeDigest: Uint8Array;
}

export declare function appraiseKeyRequest(
  claims: KeyRequestClaims,
  policy: Policy,
  {
    nonce,
    nowMs,
  }: {
    readonly nonce: Uint8Array;
    readonly nowMs: number;
  },
): Promise<GrantedKeyRequest>;

export declare function encodeReleaseBinding(binding: ReleaseBinding): Uint8Array;

export declare function parseReleaseBinding(bytes: Uint8Array): ReleaseBinding;

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

interface Freshness {
  readonly maxAgeSeconds: number;
  readonly skewSeconds: number;
  readonly challenge: Requirement;
}

interface KeyRequestFacts {
  readonly platform: Platform;
  readonly measurement: string;
  readonly document: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly modelDigest: Uint8Array;
  readonly envelope: Uint8Array;
}

declare const PLATFORMS: readonly ["aws-nitro", "simulated"];

type Platform = (typeof PLATFORMS)[number];

interface PlatformPolicy {
  readonly roots: readonly Uint8Array[];
  readonly rootCertificates: readonly Uint8Array[];
  readonly measurements: readonly AllowedMeasurement[] | "unchecked";
  readonly debug: boolean;
}

interface Policy {
  readonly version: 1;
  readonly expiresMs: number;
  readonly platforms: ReadonlyMap<Platform, PlatformPolicy>;
  readonly models: readonly AllowedModel[] | "any";
  readonly freshness: Freshness | "unchecked";
  readonly suites: readonly Suite[];
  readonly revoked: Revoked;
  readonly padding: Requirement;
}

declare const REQUIREMENTS: readonly ["optional", "required"];

type Requirement = (typeof REQUIREMENTS)[number];

interface Revoked {
  readonly measurements: readonly Uint8Array[];
  readonly models: readonly Uint8Array[];
  readonly keysets: readonly Uint8Array[];
}

declare const SUITES: readonly [
  "MLKEM768-X25519/HKDF-SHA256/AES-256-GCM",
  "X25519/HKDF-SHA256/AES-256-GCM",
];

type Suite = (typeof SUITES)[number];

declare const brand: unique symbol;

export {};
