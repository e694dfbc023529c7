/**
 * A fake Attester: the vendor's certificates, documents, epochs, receipts and policies, all from a
 * root of its own. Time and randomness are arguments; only ECDSA signatures differ between runs.
 *
 * ```ts
 * const attester = createAttester({ random: seededRandom("a test"), nowMs: NOW_MS });
 * const epoch = await makeEpoch(attester);
 * const policy = parsePolicy(epoch.policyText);
 * await appraiseBundle(epoch.bundle, policy, { mode: "live", nowMs: NOW_MS, nonce: null });
 * const exchange = await makeExchange(epoch);            // receipt, leaves, Kc
 * ```
 */
import { createHash } from "node:crypto";
import {
  assembleReceipt,
  type Bundle,
  encodeCbor,
  encodeCoseSign1,
  encodeEpochBinding,
  encodeHex,
  encodeKeyset,
  encodeModelSet,
  encodeReceiptClaims,
  encodeRuntimeConfig,
  encodeUtf8,
  type EpochBinding,
  exchangeId,
  type Head,
  type ModelRef,
  modelsRegister,
  parseCoseSign1,
  type ReceiptClaims,
  receiptToBeSigned,
  type RuntimeConfig,
  sigStructure,
  Transcript,
  webHashes,
} from "@countersign/attestation";
import { certificate, certificatePem, ecdsa, type SigningKey, signingKey } from "./x509.ts";

/** 2026-11-21T12:00:00Z, a time for tests. */
export const NOW_MS = 1_795_262_400_000;

const HOUR_MS = 3_600_000;
const MODULE_ID = "i-0123456789abcdef0-enc0123456789abcdef";

export type Random = (length: number) => Uint8Array;

/** The same bytes for the same seed: SHA-256 in counter mode. For tests only. */
export function seededRandom(seed: string): Random {
  let counter = 0;
  return (length) => {
    const blocks: Uint8Array[] = [];
    for (let have = 0; have < length; have += 32) blocks.push(sha256(`${seed}/${counter++}`));
    return new Uint8Array(Buffer.concat(blocks).subarray(0, length));
  };
}

export function sha256(input: Uint8Array | string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(input).digest());
}

export interface DocumentFields {
  readonly timestampMs: number;
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  readonly publicKey?: Uint8Array | null;
  readonly userData: Uint8Array | null;
  readonly nonce: Uint8Array | null;
}

export interface Attester {
  readonly random: Random;
  readonly nowMs: number;
  readonly rootDer: Uint8Array;
  readonly rootPem: string;
  readonly rootSha256: Uint8Array;
  /** Signs an attestation document (COSE_Sign1, untagged, as AWS writes it). */
  document(fields: DocumentFields): Uint8Array;
  /** Another enclave of the same vendor: the same root and intermediate, a leaf of its own. */
  sibling(name: LeafName): Attester;
}

/** Whose leaf it is: the common name is the module id and the domain. */
export interface LeafName {
  readonly moduleId: string;
  /** With its first dot: `.<region>.aws` is the form of AWS. */
  readonly domain: string;
}

interface Vendor {
  readonly random: Random;
  readonly nowMs: number;
  readonly rootDer: Uint8Array;
  readonly intermediateDer: Uint8Array;
  readonly intermediateName: string;
  readonly intermediate: SigningKey;
}

/** A vendor with root, intermediate and one enclave's leaf; the leaf is valid for three hours. */
export function createAttester(options: {
  readonly random: Random;
  readonly nowMs: number;
  /** Common name of the leaf; its first label is the module id. */
  readonly leafName?: string;
  /** When the leaf ends; three hours from now by default. */
  readonly leafEndMs?: number;
}): Attester {
  const { random, nowMs } = options;
  const leafName = options.leafName ?? `${MODULE_ID}.simulated.countersign`;
  return enclaveOf(createVendor(random, nowMs), MODULE_ID, leafName, options.leafEndMs);
}

function createVendor(random: Random, nowMs: number): Vendor {
  const [root, intermediate] = [certificateKey(random), certificateKey(random)];
  const rootName = "countersign.test-lab";
  const intermediateName = "zone.countersign.test-lab";
  const rootDer = certificate(
    {
      subject: rootName,
      issuer: rootName,
      notBeforeMs: nowMs - 1000 * 24 * HOUR_MS,
      notAfterMs: nowMs + 3000 * 24 * HOUR_MS,
      point: root.point,
      serial: serial(random),
      authority: null,
    },
    root.privateKey,
  );
  const intermediateDer = certificate(
    {
      subject: intermediateName,
      issuer: rootName,
      notBeforeMs: nowMs - 24 * HOUR_MS,
      notAfterMs: nowMs + 24 * HOUR_MS,
      point: intermediate.point,
      serial: serial(random),
      authority: 0,
    },
    root.privateKey,
  );
  return { random, nowMs, rootDer, intermediateDer, intermediateName, intermediate };
}

function enclaveOf(
  vendor: Vendor,
  moduleId: string,
  leafName: string,
  leafEndMs: number = vendor.nowMs + 3 * HOUR_MS,
): Attester {
  const { random, nowMs, rootDer, intermediateDer } = vendor;
  const leaf = certificateKey(random);
  const leafDer = certificate(
    {
      subject: leafName,
      issuer: vendor.intermediateName,
      notBeforeMs: nowMs - 600_000,
      notAfterMs: leafEndMs,
      point: leaf.point,
      serial: serial(random),
      authority: "leaf",
    },
    vendor.intermediate.privateKey,
  );
  return {
    random,
    nowMs,
    rootDer,
    rootPem: certificatePem(rootDer),
    rootSha256: sha256(rootDer),
    document: (fields) => {
      const payload = encodeCbor(
        new Map<string, Parameters<typeof encodeCbor>[0]>([
          ["module_id", moduleId],
          ["digest", "SHA384"],
          ["timestamp", fields.timestampMs],
          ["pcrs", fields.pcrs],
          ["certificate", leafDer],
          ["cabundle", [rootDer, intermediateDer]],
          ["public_key", fields.publicKey ?? null],
          ["user_data", fields.userData],
          ["nonce", fields.nonce],
        ]),
      );
      const signature = ecdsa("sha384", leaf.privateKey, sigStructure("ES384", payload));
      // The tag is one byte, 0xd2; AWS leaves it out.
      return encodeCoseSign1({ algorithm: "ES384", payload, signature }).slice(1);
    },
    sibling: (name) => enclaveOf(vendor, name.moduleId, name.moduleId + name.domain),
  };
}

function certificateKey(random: Random): SigningKey {
  return signingKey("P-384", Uint8Array.of(1, ...random(47)));
}

function serial(random: Random): Uint8Array {
  return Uint8Array.of(1, ...random(15));
}

export interface EpochOptions {
  readonly platform?: string;
  readonly suite?: "MLKEM768-X25519" | "X25519";
  readonly models?: readonly ModelRef[];
  readonly config?: RuntimeConfig;
  readonly nonce?: Uint8Array | null;
  readonly timestampMs?: number;
  readonly binding?: Partial<EpochBinding>;
  /** Registers to put in place of the usual ones; null leaves one out. */
  readonly pcrs?: ReadonlyMap<number, Uint8Array | null>;
  /** What the document says instead of the binding. */
  readonly userData?: Uint8Array | null;
  /** Writes the binding, for document and bundle, in a way that the library's encoder refuses. */
  readonly encodeBinding?: (binding: EpochBinding) => Uint8Array;
  /** Preimages as they are; the binding names their digests and the document their register. */
  readonly preimages?: Partial<Pick<Bundle, "keyset" | "models" | "config">>;
}

export interface FakeEpoch {
  readonly attester: Attester;
  readonly bundle: Uint8Array;
  /** The bundle's parts, to change one and encode anew. */
  readonly parts: Bundle;
  readonly binding: EpochBinding;
  readonly models: readonly ModelRef[];
  readonly receiptKey: SigningKey;
  readonly documentDigest: Uint8Array;
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  /** A policy that accepts the epoch, as an object to change and `JSON.stringify`. */
  readonly policy: PolicyFile;
  readonly policyText: string;
}

/** The policy's JSON, loosely typed, so that tests can write mistakes. */
export interface PolicyFile {
  version: unknown;
  expires: unknown;
  platforms: Record<string, Record<string, unknown>>;
  models: unknown;
  freshness: unknown;
  suites: unknown;
  revoked: Record<string, unknown>;
  [key: string]: unknown;
}

const DEFAULT_CONFIG: RuntimeConfig = {
  engine: "onnxruntime",
  engineVersion: "1.30.0",
  limits: new Map([["maxRequestBytes", 1_048_576]]),
  features: new Map<string, string | number | boolean>([["padding", true]]),
};

/** One epoch, its bundle and a policy that accepts it. */
export async function makeEpoch(
  attester: Attester,
  options: EpochOptions = {},
): Promise<FakeEpoch> {
  const { random, nowMs } = attester;
  const receiptKey = signingKey("P-256", Uint8Array.of(1, ...random(31)));
  const models = options.models ?? [{ id: "digits", version: "1", digest: sha256("digits") }];
  const keyConfig = fakeKeyConfig(options.suite ?? "MLKEM768-X25519", random);
  const { preimages } = options;
  const keyset = preimages?.keyset ?? encodeKeyset({ keyConfig, receiptKey: receiptKey.point });
  const modelSet = preimages?.models ?? encodeModelSet(models);
  const config = preimages?.config ?? encodeRuntimeConfig(options.config ?? DEFAULT_CONFIG);
  const binding: EpochBinding = {
    keysetDigest: sha256(keyset),
    modelsDigest: sha256(modelSet),
    configDigest: sha256(config),
    sequence: 0,
    notBefore: nowMs / 1000 - 60,
    notAfter: nowMs / 1000 + 7200,
    previous: null,
    ...options.binding,
  };
  const pcrs = await registers(attester, binding, options.pcrs ?? new Map());
  const bindingBytes = (options.encodeBinding ?? encodeEpochBinding)(binding);
  const evidence = attester.document({
    timestampMs: options.timestampMs ?? nowMs - 1000,
    pcrs,
    userData: options.userData === undefined ? bindingBytes : options.userData,
    nonce: options.nonce ?? null,
  });
  const platform = options.platform ?? "simulated";
  const parts = {
    platform,
    evidence,
    binding: bindingBytes,
    keyset,
    models: modelSet,
    config,
    endorsements: new Map<string, Uint8Array>(),
  };
  const policy = policyFor(attester, platform, pcrs, models);
  return {
    attester,
    bundle: writeBundle(parts),
    parts,
    binding,
    models,
    receiptKey,
    documentDigest: documentDigest(evidence),
    pcrs,
    policy,
    policyText: JSON.stringify(policy),
  };
}

/** The bytes of any parts, wrong ones too: `encodeBundle` refuses what it could not read. */
export function writeBundle(parts: Bundle): Uint8Array {
  return encodeCbor(
    new Map<number, Parameters<typeof encodeCbor>[0]>([
      [1, "countersign/bundle/v1"],
      [2, parts.platform],
      [3, parts.evidence],
      [4, parts.binding],
      [5, parts.keyset],
      [6, parts.models],
      [7, parts.config],
      [8, new Map(parts.endorsements)],
    ]),
  );
}

async function registers(
  attester: Attester,
  binding: EpochBinding,
  changes: ReadonlyMap<number, Uint8Array | null>,
): Promise<ReadonlyMap<number, Uint8Array>> {
  const pcrs = new Map<number, Uint8Array>();
  for (let index = 0; index < 16; index++) {
    pcrs.set(index, index < 3 ? attester.random(48) : new Uint8Array(48));
  }
  pcrs.set(16, await modelsRegister(binding.modelsDigest));
  for (const [index, value] of changes) {
    if (value === null) pcrs.delete(index);
    else pcrs.set(index, value);
  }
  return pcrs;
}

/** RFC 9458 §3, with random bytes for a public key: nothing here decrypts. */
export function fakeKeyConfig(suite: "MLKEM768-X25519" | "X25519", random: Random): Uint8Array {
  const [kem, keyBytes] = suite === "X25519" ? [0x0020, 32] : [0x647a, 1216];
  return Uint8Array.of(1, kem >> 8, kem & 0xff, ...random(keyBytes), 0, 4, 0, 1, 0, 2);
}

export function documentDigest(evidence: Uint8Array): Uint8Array {
  const profile = { algorithm: "ES384", tag: "optional", maxBytes: 16_384 } as const;
  return sha256(parseCoseSign1(evidence, profile).payload);
}

export function policyFor(
  attester: Attester,
  platform: string,
  pcrs: ReadonlyMap<number, Uint8Array>,
  models: readonly ModelRef[],
): PolicyFile {
  const register = (index: number): string => encodeHex(pcrs.get(index) ?? new Uint8Array(48));
  return {
    version: 1,
    expires: new Date(attester.nowMs + 365 * 24 * HOUR_MS).toISOString(),
    platforms: {
      [platform]: {
        roots: [encodeHex(attester.rootSha256)],
        rootCertificates: [attester.rootPem],
        measurements: [
          { name: "test-build", pcr0: register(0), pcr1: register(1), pcr2: register(2) },
        ],
        debug: false,
      },
    },
    models: models.map(({ id, digest }) => ({ id, digest: encodeHex(digest) })),
    freshness: { maxAgeSeconds: 7200, skewSeconds: 60, challenge: "optional" },
    suites: ["MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"],
    revoked: { measurements: [], models: [], keysets: [] },
  };
}

export interface FakeExchange {
  readonly receipt: Uint8Array;
  readonly claims: ReceiptClaims;
  readonly kc: Uint8Array;
  /** 16 bytes: what cti must be. */
  readonly exchange: Uint8Array;
  readonly requestLeaves: readonly Uint8Array[];
  readonly responseLeaves: readonly Uint8Array[];
}

/** One exchange of an epoch with its final receipt; `claims` replaces what the enclave would say. */
export async function makeExchange(
  epoch: FakeEpoch,
  options: {
    readonly requestLeaves?: readonly Uint8Array[];
    readonly responseLeaves?: readonly Uint8Array[];
    readonly claims?: Partial<ReceiptClaims>;
  } = {},
): Promise<FakeExchange> {
  const { random, nowMs } = epoch.attester;
  const kc = random(32);
  const requestLeaves = options.requestLeaves ?? [encodeUtf8("request head"), random(100)];
  // RFC 9292: indeterminate-length response (3), status 200 as a two-byte integer (0x40c8).
  const responseLeaves = options.responseLeaves ?? [Uint8Array.of(3, 0x40, 0xc8, 0), random(50)];
  const claims: ReceiptClaims = {
    issuedAt: nowMs / 1000,
    exchange: await exchangeId(webHashes, random(1120)),
    keysetDigest: epoch.binding.keysetDigest,
    documentDigest: epoch.documentDigest,
    index: 0,
    phase: "final",
    model: epoch.models[0] ?? null,
    request: await headOf(kc, "request", requestLeaves),
    response: await headOf(kc, "response", responseLeaves),
    outcome: { status: 200 },
    previous: null,
    ...options.claims,
  };
  const receipt = signReceipt(epoch.receiptKey, claims);
  return { receipt, claims, kc, exchange: claims.exchange, requestLeaves, responseLeaves };
}

export function signReceipt(key: SigningKey, claims: ReceiptClaims): Uint8Array {
  const payload = encodeReceiptClaims(claims);
  return assembleReceipt(payload, ecdsa("sha256", key.privateKey, receiptToBeSigned(payload)));
}

export async function headOf(
  kc: Uint8Array,
  direction: "request" | "response",
  leaves: readonly Uint8Array[],
): Promise<Head> {
  const transcript = new Transcript(webHashes, kc, direction);
  for (const leaf of leaves) await transcript.append(leaf);
  return transcript.head();
}
