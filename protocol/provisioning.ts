/**
 * What the host tells the enclave at boot: which models to load, and its limits.
 *
 * {1: "countersign/provisioning/v1", 2: [[id, version, digest, manifest, ? envelope] …],
 * 3: {* name => uint}} in deterministic CBOR. Nothing in it is trusted: what the enclave took from it
 * is in its RuntimeConfig and ModelSet, which clients judge.
 */
import {
  type CborMap,
  type CborProfile,
  type CborValue,
  DETERMINISTIC,
  encodeCbor,
  isArray,
  isMap,
} from "@countersign/attestation/attester";
import { ProtocolError } from "./errors.ts";
import { MAX_ENVELOPE_BYTES } from "./seal.ts";
import { decodeMap } from "./structure.ts";

const TAG = "countersign/provisioning/v1";
const PROFILE: CborProfile = { ...DETERMINISTIC, maxBytes: 16 * 1024 * 1024 };
export const MAX_MODELS = 64;
const DIGEST_BYTES = 32;
/** A directory name that is safe in a URL and on any file system. */
const MODEL_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const MODEL_VERSION = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export interface ProvisionedModel {
  readonly id: string;
  readonly version: string;
  /** SHA-256 of `manifest`, 32 bytes; the enclave recomputes it. */
  readonly digest: Uint8Array;
  readonly manifest: Uint8Array;
  /** Of a sealed version: the bytes of its envelope. What is fetched of it are the sealed files. */
  readonly envelope: Uint8Array | null;
}

export interface ProvisioningLimits {
  /** Content of one request. */
  readonly maxRequestBytes: number;
  /** Requests waiting for an engine. */
  readonly queueLength: number;
  /** From one epoch's start to the next. */
  readonly epochSeconds: number;
  /** How long an epoch is accepted after the next has begun. */
  readonly epochOverlapSeconds: number;
  readonly inferenceTimeoutMs: number;
  /** Requests that one epoch's replay set holds. */
  readonly replaySlots: number;
  /** Threads of one inference; 0 leaves it to the engine. */
  readonly intraOpThreads: number;
  /** Keys and values of all texts that are being generated. */
  readonly cacheBytes: number;
  /** Texts that are generated at a time, each of a request's choices for itself. */
  readonly maxSequences: number;
}

export interface Provisioning {
  readonly models: readonly ProvisionedModel[];
  readonly limits: ProvisioningLimits;
}

/** Lowest and highest value of each limit. */
export const LIMIT_RANGES: Readonly<
  Record<keyof ProvisioningLimits, readonly [least: number, most: number]>
> = {
  maxRequestBytes: [1024, 1024 * 1024 * 1024],
  queueLength: [1, 65_536],
  // Together at most 10,200: an epoch ends before the certificate that vouches for it, three hours for
  // a Nitro leaf, which may be ten minutes old.
  epochSeconds: [1, 5_100],
  epochOverlapSeconds: [0, 5_100],
  inferenceTimeoutMs: [1, 3_600_000],
  replaySlots: [16, 16_777_216],
  intraOpThreads: [0, 1024],
  cacheBytes: [1_048_576, 1_099_511_627_776],
  maxSequences: [1, 64],
};

/** @throws {@link ProtocolError} `provisioning/limit`, `provisioning/model`. */
export function encodeProvisioning(provisioning: Provisioning): Uint8Array {
  requireModels(provisioning.models);
  const limits = new Map<string, number>();
  for (const name of limitNames()) {
    limits.set(name, requireLimit(name, provisioning.limits[name]));
  }
  const models = provisioning.models.map(encodeModel);
  const structure = new Map<number, CborValue>([
    [1, TAG],
    [2, models],
    [3, limits],
  ]);
  return encodeCbor(structure);
}

/** @throws {@link ProtocolError} `provisioning/structure`, `provisioning/limit`, `provisioning/model`. */
export function parseProvisioning(bytes: Uint8Array): Provisioning {
  const structure = decodeMap(bytes, PROFILE, "provisioning/structure");
  const models = structure.get(2);
  const limits = structure.get(3);
  if (structure.size !== 3 || structure.get(1) !== TAG) {
    throw new ProtocolError("provisioning/structure", `want {1: "${TAG}", 2, 3}`);
  }
  if (!isArray(models) || !isMap(limits)) {
    throw new ProtocolError("provisioning/structure", "want models and limits");
  }
  const parsed = models.map(parseModel);
  requireModels(parsed);
  return { models: parsed, limits: parseLimits(limits) };
}

function encodeModel(model: ProvisionedModel): readonly CborValue[] {
  const { id, version, digest, manifest, envelope } = model;
  const row = [id, version, digest, manifest];
  return envelope === null ? row : [...row, envelope];
}

function parseModel(row: CborValue): ProvisionedModel {
  if (!isArray(row) || (row.length !== 4 && row.length !== 5)) {
    const want = "[id, version, digest, manifest, ? envelope]";
    throw new ProtocolError("provisioning/structure", `want ${want}`);
  }
  const [id, version, digest, manifest, envelope] = row;
  if (typeof id !== "string" || typeof version !== "string") {
    throw new ProtocolError("provisioning/structure", "want id and version as text");
  }
  if (!(digest instanceof Uint8Array) || !(manifest instanceof Uint8Array)) {
    throw new ProtocolError("provisioning/structure", "want digest and manifest as bytes");
  }
  // Absent where there is none: null in its place would be a second encoding of the same.
  if (row.length === 4) return { id, version, digest, manifest, envelope: null };
  if (!(envelope instanceof Uint8Array)) {
    throw new ProtocolError("provisioning/structure", "want the envelope as bytes");
  }
  return { id, version, digest, manifest, envelope };
}

function parseLimits(map: CborMap): ProvisioningLimits {
  const names = limitNames();
  if (map.size !== names.length) {
    throw new ProtocolError("provisioning/structure", `${map.size} limits, want ${names.length}`);
  }
  return {
    maxRequestBytes: requireLimit("maxRequestBytes", map.get("maxRequestBytes")),
    queueLength: requireLimit("queueLength", map.get("queueLength")),
    epochSeconds: requireLimit("epochSeconds", map.get("epochSeconds")),
    epochOverlapSeconds: requireLimit("epochOverlapSeconds", map.get("epochOverlapSeconds")),
    inferenceTimeoutMs: requireLimit("inferenceTimeoutMs", map.get("inferenceTimeoutMs")),
    replaySlots: requireLimit("replaySlots", map.get("replaySlots")),
    intraOpThreads: requireLimit("intraOpThreads", map.get("intraOpThreads")),
    cacheBytes: requireLimit("cacheBytes", map.get("cacheBytes")),
    maxSequences: requireLimit("maxSequences", map.get("maxSequences")),
  };
}

function limitNames(): readonly (keyof ProvisioningLimits)[] {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the record has these keys only
  return Object.keys(LIMIT_RANGES) as (keyof ProvisioningLimits)[];
}

function requireLimit(name: keyof ProvisioningLimits, value: CborValue | undefined): number {
  const [least, most] = LIMIT_RANGES[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least || value > most) {
    throw new ProtocolError("provisioning/limit", `${name}, want ${least} to ${most}`);
  }
  return value;
}

/** Good names, none twice. */
function requireModels(models: readonly ProvisionedModel[]): void {
  if (models.length === 0 || models.length > MAX_MODELS) {
    throw new ProtocolError("provisioning/model", `${models.length} models`);
  }
  const seen = new Set<string>();
  for (const { id, version, digest, envelope } of models) {
    if (!MODEL_ID.test(id) || !MODEL_VERSION.test(version)) {
      throw new ProtocolError("provisioning/model", "a name that is not allowed");
    }
    if (digest.length !== DIGEST_BYTES) {
      throw new ProtocolError("provisioning/model", `digest of ${digest.length} bytes`);
    }
    if (envelope !== null && (envelope.length === 0 || envelope.length > MAX_ENVELOPE_BYTES)) {
      throw new ProtocolError("provisioning/model", `envelope of ${envelope.length} bytes`);
    }
    seen.add(`${id}/${version}`);
  }
  if (seen.size !== models.length) throw new ProtocolError("provisioning/model", "a model twice");
}
