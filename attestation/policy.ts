/**
 * Appraisal policy: whom the Relying Party trusts, in JSON, the same file for every surface.
 *
 * Nothing that is trusted has a default. A check is switched off only by its own word: `"measurements":
 * "unchecked"`, `"models": "any"`, `"freshness": "unchecked"`. Whether a policy has expired is a
 * check of the appraisal, which is told the time; here only its form is judged.
 */
import { encodeHex, equalBytes, includesBytes } from "./bytes.ts";
import { parseCertificate } from "./certificate.ts";
import { certificateFromPem } from "./pem.ts";
import { AttestationError } from "./errors.ts";
import { parseJson } from "./json.ts";
import { JsonNode } from "./json-node.ts";
import { SUITES, type Suite } from "./keyset.ts";
import { debugMode, IMAGE_REGISTERS, PCR_BYTES } from "./measurement.ts";
import { DIGEST_BYTES } from "./structure.ts";
import { parseTimestamp } from "./time.ts";

/** Platforms this verifier knows; both have the format of Nitro attestation documents. */
export const PLATFORMS = ["aws-nitro", "simulated"] as const;
/** One of {@link PLATFORMS}. */
export type Platform = (typeof PLATFORMS)[number];

/** PROTOCOL.md, "Limits". */
const MAX_LIST = 1024;
const MAX_ROOTS = 16;
const MAX_AGE_SECONDS = 604_800;
const MAX_SKEW_SECONDS = 3600;

const REQUIREMENTS = ["optional", "required"] as const;
const CODE_REGISTERS = IMAGE_REGISTERS.map((index) => `pcr${index}`);
const OTHER_REGISTERS = Array.from({ length: 29 }, (_, i) => `pcr${i + 3}`);

/** The code a policy accepts: every register named must be equal. */
export interface AllowedMeasurement {
  readonly name: string;
  readonly registers: ReadonlyMap<number, Uint8Array>;
}

/** What a policy accepts of one platform. */
export interface PlatformPolicy {
  /** SHA-256 of the DER of each root certificate that is trusted. */
  readonly roots: readonly Uint8Array[];
  /** DER of root certificates that are not built in. */
  readonly rootCertificates: readonly Uint8Array[];
  readonly measurements: readonly AllowedMeasurement[] | "unchecked";
  /** Whether enclaves in debug mode, which hide nothing, are accepted too. */
  readonly debug: boolean;
}

/** A model that a policy accepts: id and digest must both be equal. */
export interface AllowedModel {
  readonly id: string;
  readonly digest: Uint8Array;
}

/** Whether something has to be there. */
export type Requirement = (typeof REQUIREMENTS)[number];

/** How recent a live document has to be. */
export interface Freshness {
  readonly maxAgeSeconds: number;
  readonly skewSeconds: number;
  readonly challenge: Requirement;
}

/** An appraisal policy (RFC 9334 §8.5), as {@link parsePolicy} read it. */
export interface Policy {
  readonly version: 1;
  /** Unix milliseconds. */
  readonly expiresMs: number;
  readonly platforms: ReadonlyMap<Platform, PlatformPolicy>;
  readonly models: readonly AllowedModel[] | "any";
  readonly freshness: Freshness | "unchecked";
  readonly suites: readonly Suite[];
  readonly revoked: Revoked;
  /** Whether the enclave must fill up what it sends to buckets. Where the file says nothing: optional. */
  readonly padding: Requirement;
}

/** What was good once and is known to be bad; it goes before everything that is allowed. */
export interface Revoked {
  /** Values of register 0, 1 or 2. */
  readonly measurements: readonly Uint8Array[];
  /** Model digests. */
  readonly models: readonly Uint8Array[];
  /** Keyset digests. */
  readonly keysets: readonly Uint8Array[];
}

/**
 * Reads a policy file.
 *
 * @throws {@link AttestationError} `policy/syntax`; its message begins with a JSON pointer.
 */
export function parsePolicy(text: string): Policy {
  const root = new JsonNode("", parseJson(text));
  // The version first: it says what the other keys mean.
  const version = root.members().get("version");
  if (version !== undefined && version.value !== 1) throw version.refusal("want 1");
  const file = root.object(
    ["version", "expires", "platforms", "models", "freshness", "suites", "revoked"],
    ["padding"],
  );
  // What is revoked comes first, so that whatever is allowed as well is refused where it stands.
  const revoked = parseRevoked(file.get("revoked"));
  return {
    version: 1,
    expiresMs: parseExpires(file.get("expires")),
    platforms: parsePlatforms(file.get("platforms"), revoked),
    models: parseModels(file.get("models"), revoked),
    freshness: parseFreshness(file.get("freshness")),
    suites: unique(file.get("suites").items(1, MAX_LIST), (item) => item.oneOf(SUITES)),
    revoked,
    padding: file.find("padding")?.oneOf(REQUIREMENTS) ?? "optional",
  };
}

/** How a policy stands to one model. */
export type ModelStanding = "allowed" | "unchecked" | "unlisted" | "revoked";

/** Revocation is by digest and goes before everything; else id and digest must both be listed. */
export function modelStanding(policy: Policy, model: AllowedModel): ModelStanding {
  if (includesBytes(policy.revoked.models, model.digest)) return "revoked";
  if (policy.models === "any") return "unchecked";
  const listed = policy.models.some(
    (allowed) => allowed.id === model.id && equalBytes(allowed.digest, model.digest),
  );
  return listed ? "allowed" : "unlisted";
}

function parseExpires(node: JsonNode): number {
  const ms = parseTimestamp(node.text());
  if (ms === null) throw node.refusal("want a UTC time as in 2027-06-30T00:00:00Z");
  return ms;
}

function parseRevoked(node: JsonNode): Revoked {
  const revoked = node.object(["measurements", "models", "keysets"]);
  return {
    measurements: digests(revoked.get("measurements"), PCR_BYTES),
    models: digests(revoked.get("models"), DIGEST_BYTES),
    keysets: digests(revoked.get("keysets"), DIGEST_BYTES),
  };
}

function parsePlatforms(node: JsonNode, revoked: Revoked): ReadonlyMap<Platform, PlatformPolicy> {
  node.object([], PLATFORMS);
  const platforms = new Map<Platform, PlatformPolicy>();
  const members = node.members();
  // One root vouches for one platform: a simulation's must never make it pass for hardware.
  const roots = new Set<string>();
  for (const platform of PLATFORMS) {
    const member = members.get(platform);
    if (member !== undefined) platforms.set(platform, parsePlatform(member, revoked, roots));
  }
  if (platforms.size === 0) throw node.refusal("want at least one platform");
  return platforms;
}

function parsePlatform(node: JsonNode, revoked: Revoked, roots: Set<string>): PlatformPolicy {
  const platform = node.object(["roots", "measurements", "debug"], ["rootCertificates"]);
  const debug = platform.get("debug").boolean();
  const certificates = platform.find("rootCertificates")?.items(1, MAX_ROOTS) ?? [];
  const rootCertificates: Uint8Array[] = [];
  for (const item of certificates) {
    const certificate = parseRootCertificate(item);
    if (includesBytes(rootCertificates, certificate)) throw item.refusal("the same value twice");
    rootCertificates.push(certificate);
  }
  return {
    roots: distinct(platform.get("roots").items(1, MAX_ROOTS), DIGEST_BYTES, roots),
    rootCertificates,
    measurements: parseMeasurements(platform.get("measurements"), debug, revoked),
    debug,
  };
}

function parseRootCertificate(node: JsonNode): Uint8Array {
  const pem = node.text();
  try {
    const der = certificateFromPem(pem);
    parseCertificate(der);
    return der;
  } catch (cause) {
    if (!(cause instanceof AttestationError)) throw cause;
    throw node.refusal(`want a certificate in PEM (${cause.message})`);
  }
}

function parseMeasurements(
  node: JsonNode,
  debug: boolean,
  revoked: Revoked,
): readonly AllowedMeasurement[] | "unchecked" {
  if (node.value === "unchecked") return "unchecked";
  const measurements: AllowedMeasurement[] = [];
  for (const item of node.items(1, MAX_LIST)) {
    const fields = item.object(["name", ...CODE_REGISTERS], OTHER_REGISTERS);
    const name = fields.get("name").nameText();
    if (name === "unchecked") throw fields.get("name").refusal("a word of the policy's own");
    if (measurements.some((other) => other.name === name)) {
      throw fields.get("name").refusal(`measurement "${name}" twice`);
    }
    const registers = new Map<number, Uint8Array>();
    for (const [index, key] of [...CODE_REGISTERS, ...OTHER_REGISTERS].entries()) {
      const register = fields.find(key);
      const value = register?.hex(PCR_BYTES);
      if (register === null || value === undefined) continue;
      if (index < CODE_REGISTERS.length && includesBytes(revoked.measurements, value)) {
        throw register.refusal(`measurement "${name}" is allowed and revoked`);
      }
      registers.set(index, value);
    }
    if (!debug && debugMode({ pcrs: registers })) {
      throw item.refusal("a register of a debug enclave (zero), while debug is false");
    }
    const twin = measurements.find((other) => sameRegisters(other.registers, registers));
    if (twin !== undefined) throw item.refusal(`the registers of "${twin.name}" again`);
    measurements.push({ name, registers });
  }
  return measurements;
}

function sameRegisters(
  a: ReadonlyMap<number, Uint8Array>,
  b: ReadonlyMap<number, Uint8Array>,
): boolean {
  if (a.size !== b.size) return false;
  return [...a].every(([index, value]) => equalBytes(value, b.get(index) ?? new Uint8Array(0)));
}

function parseModels(node: JsonNode, revoked: Revoked): readonly AllowedModel[] | "any" {
  if (node.value === "any") return "any";
  const models: AllowedModel[] = [];
  for (const item of node.items(1, MAX_LIST)) {
    const fields = item.object(["id", "digest"]);
    const id = fields.get("id").nameText();
    const digest = fields.get("digest").hex(DIGEST_BYTES);
    if (models.some((other) => other.id === id && equalBytes(other.digest, digest))) {
      throw item.refusal(`model "${id}" with the same digest twice`);
    }
    if (includesBytes(revoked.models, digest)) {
      throw fields.get("digest").refusal(`model "${id}" is allowed and revoked`);
    }
    models.push({ id, digest });
  }
  return models;
}

function parseFreshness(node: JsonNode): Freshness | "unchecked" {
  if (node.value === "unchecked") return "unchecked";
  const fields = node.object(["maxAgeSeconds", "skewSeconds", "challenge"]);
  return {
    maxAgeSeconds: fields.get("maxAgeSeconds").integer(1, MAX_AGE_SECONDS),
    skewSeconds: fields.get("skewSeconds").integer(0, MAX_SKEW_SECONDS),
    challenge: fields.get("challenge").oneOf(REQUIREMENTS),
  };
}

function digests(node: JsonNode, bytes: number): readonly Uint8Array[] {
  return distinct(node.items(0, MAX_LIST), bytes, new Set());
}

/** Values of `bytes` bytes, none of them in `seen`, to which they are added in hex. */
function distinct(
  items: readonly JsonNode[],
  bytes: number,
  seen: Set<string>,
): readonly Uint8Array[] {
  return items.map((item) => {
    const digest = item.hex(bytes);
    const text = encodeHex(digest);
    if (seen.has(text)) throw item.refusal("the same value twice");
    seen.add(text);
    return digest;
  });
}

function unique<T>(nodes: readonly JsonNode[], read: (node: JsonNode) => T): readonly T[] {
  const seen = new Set<T>();
  for (const node of nodes) {
    const value = read(node);
    if (seen.has(value)) throw node.refusal("the same value twice");
    seen.add(value);
  }
  return [...seen];
}
