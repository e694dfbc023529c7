/**
 * Evidence of AWS Nitro Enclaves: the attestation document (AWS Nitro Enclaves attestation process
 * §3.2), a COSE_Sign1 by a leaf certificate whose chain it carries.
 */
import type { Brand } from "./brand.ts";
import { type CborMap, type CborProfile, type CborValue, decodeCbor, isArray } from "./cbor.ts";
import { MAX_CERTIFICATE_BYTES, type Validity } from "./certificate.ts";
import { type CoseProfile, parseCoseSign1 } from "./cose.ts";
import { AttestationError } from "./errors.ts";
import { IMAGE_REGISTERS, type Measurement, parseMeasurement } from "./measurement.ts";
import type { Platform } from "./policy.ts";

/** Three fields of 1024 bytes, 32 registers, 8 certificates and their heads need 13.3 KiB. */
export const MAX_EVIDENCE_BYTES = 16_384;
/** §3.2: `user_data = bytes .size (0..1024)`; for public_key and nonce too. */
const MAX_FIELD_BYTES = 1024;
/** §3.2: `index = 0..31`. */
const MAX_REGISTERS = 32;
/** Letters, digits and hyphens: no dot, so that it is a whole label of the leaf's name. */
const MODULE_ID = /^[A-Za-z0-9-]{1,64}$/u;
/** §3.2: the only digest that is in use. */
const DIGEST = "SHA384";

/** §3.2.2: ES384, protected header first; AWS writes no tag. */
const ENVELOPE: CoseProfile = { algorithm: "ES384", tag: "optional", maxBytes: MAX_EVIDENCE_BYTES };
/** The document, its lists, their elements. */
const PAYLOAD: CborProfile = {
  form: "vendor",
  maxBytes: MAX_EVIDENCE_BYTES,
  maxDepth: 2,
  maxItems: 128,
};

const FIELDS: ReadonlySet<string> = new Set([
  "module_id",
  "digest",
  "timestamp",
  "pcrs",
  "certificate",
  "cabundle",
  "public_key",
  "user_data",
  "nonce",
]);
/** The register list of a document about an EC2 instance with NitroTPM, not about an enclave. */
const NITROTPM_FIELD = "nitrotpm_pcrs";

/** What the envelope holds. */
export interface SignedDocument {
  /** The COSE payload as received; a document is named by the SHA-256 of these bytes. */
  readonly payload: Uint8Array;
  /** `r ‖ s`, 96 bytes. */
  readonly signature: Uint8Array;
}

/** An attestation document, parsed. Nothing in it is believed yet. */
export interface Evidence extends SignedDocument {
  readonly moduleId: string;
  readonly timestampMs: number;
  /** Registers by index, 0 to 31; 0, 1 and 2 are there. */
  readonly pcrs: ReadonlyMap<number, Measurement>;
  /** The leaf, DER. */
  readonly certificate: Uint8Array;
  /** Its issuers, root first, DER. */
  readonly cabundle: readonly Uint8Array[];
  /** Zero length is not null: null is a field the enclave did not ask for. */
  readonly publicKey: Uint8Array | null;
  readonly userData: Uint8Array | null;
  readonly nonce: Uint8Array | null;
}

/** Evidence that a leaf of a pinned root has signed. */
export type VerifiedEvidence = Brand<
  Evidence & {
    /** As its leaf's name says. Whether that root may vouch for it is the policy's to say. */
    readonly platform: Platform;
    /** SHA-256 of the root's DER. */
    readonly rootDigest: Uint8Array;
    readonly leafValidity: Validity;
    /** When every certificate of the chain is valid. */
    readonly chainValidity: Validity;
  },
  "VerifiedEvidence"
>;

/**
 * Parses an attestation document; everything in it is a copy.
 *
 * @throws {@link AttestationError} `cbor/…`, `cose/…` other than `cose/signature`, `evidence/…`.
 */
export function parseEvidence(bytes: Uint8Array): Evidence {
  return parseDocument(parseEnvelope(bytes));
}

/** Reads the envelope alone. @throws {@link AttestationError} as {@link parseEvidence}. */
export function parseEnvelope(bytes: Uint8Array): SignedDocument {
  return parseCoseSign1(bytes, ENVELOPE);
}

/** Reads what the envelope holds; the result shares its bytes. @throws as {@link parseEvidence}. */
export function parseDocument({ payload, signature }: SignedDocument): Evidence {
  const fields = requireFields(decodeCbor(payload, PAYLOAD));
  if (fields.get("digest") !== DIGEST) throw malformed("digest", `"${DIGEST}"`);
  return {
    payload,
    signature,
    moduleId: moduleId(fields.get("module_id")),
    timestampMs: timestamp(fields.get("timestamp")),
    pcrs: registers(fields.get("pcrs")),
    certificate: certificate(fields.get("certificate"), "certificate"),
    cabundle: bundle(fields.get("cabundle")),
    publicKey: optional(fields, "public_key"),
    userData: optional(fields, "user_data"),
    nonce: optional(fields, "nonce"),
  };
}

function requireFields(payload: CborValue): CborMap {
  if (!(payload instanceof Map)) {
    throw new AttestationError("evidence/structure", "document is no map");
  }
  const fields: CborMap = payload;
  if (fields.has(NITROTPM_FIELD)) {
    throw new AttestationError("evidence/platform", "a NitroTPM document, want Nitro Enclaves");
  }
  for (const key of fields.keys()) {
    if (typeof key !== "string" || !FIELDS.has(key)) {
      throw new AttestationError("evidence/structure", "document has an unknown field");
    }
  }
  return fields;
}

function moduleId(value: CborValue | undefined): string {
  if (typeof value !== "string" || !MODULE_ID.test(value)) {
    throw malformed("module_id", "1 to 64 letters, digits and hyphens");
  }
  return value;
}

function timestamp(value: CborValue | undefined): number {
  if (typeof value !== "number" || value <= 0) throw malformed("timestamp", "Unix milliseconds");
  return value;
}

/** §3.2: `pcrs = { + index => pcr }`. */
function registers(value: CborValue | undefined): ReadonlyMap<number, Measurement> {
  if (!(value instanceof Map)) throw new AttestationError("evidence/pcrs", "pcrs is no map");
  const listed: CborMap = value;
  const pcrs = new Map<number, Measurement>();
  for (const [index, register] of listed) {
    if (typeof index !== "number" || index < 0 || index >= MAX_REGISTERS) {
      throw new AttestationError("evidence/pcrs", "PCR index is not in 0 to 31");
    }
    if (!(register instanceof Uint8Array)) {
      throw new AttestationError("evidence/pcrs", `PCR${index} is no byte string`);
    }
    pcrs.set(index, parseMeasurement(register));
  }
  for (const index of IMAGE_REGISTERS) {
    if (!pcrs.has(index)) throw new AttestationError("evidence/pcrs", `PCR${index} is missing`);
  }
  return pcrs;
}

/** §3.2: `cert = bytes .size (1..1024)`. */
function certificate(value: CborValue | undefined, field: string): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length === 0) throw malformed(field, "a certificate");
  if (value.length > MAX_CERTIFICATE_BYTES) throw malformed(field, "at most 1024 bytes");
  return value;
}

/** Its length is judged with the chain. */
function bundle(value: CborValue | undefined): readonly Uint8Array[] {
  if (value === undefined || !isArray(value)) {
    throw malformed("cabundle", "a list of certificates");
  }
  return value.map((item) => certificate(item, "cabundle"));
}

/** §3.2: `? public_key`: a field may be left out, which means the same as null. */
function optional(fields: CborMap, field: string): Uint8Array | null {
  const value = fields.get(field) ?? null;
  if (value === null) return null;
  if (!(value instanceof Uint8Array) || value.length > MAX_FIELD_BYTES) {
    throw malformed(field, `null or at most ${MAX_FIELD_BYTES} bytes`);
  }
  return value;
}

function malformed(field: string, want: string): AttestationError {
  return new AttestationError("evidence/field", `${field}: want ${want}`);
}
