/**
 * A sealed version of a model: its manifest in clear, its data key wrapped, its files encrypted.
 *
 * In the directory of the version lie seal.cbor and, for each path of the manifest, `<path>.sealed`:
 * the file cut into segments of 4 MiB, each under AES-256-GCM with a nonce and associated data that
 * say which segment of which file of which model it is, and whether it is the file's last. So none can
 * be swapped, dropped, doubled or cut. PROTOCOL.md, "Sealed models".
 */
import {
  type CborProfile,
  type CborValue,
  concatBytes,
  DETERMINISTIC,
  encodeCbor,
  encodeUtf8,
} from "@countersign/attestation/attester";
import { parseKmsKeyArn } from "./arn.ts";
import { ProtocolError } from "./errors.ts";
import { requireSafePath } from "./manifest.ts";
import { decodeMap } from "./structure.ts";

/** The seal's name in its version's directory. */
export const SEAL_PATH = "seal.cbor";
/** What the path of a sealed file has after the path in the manifest. */
export const SEALED_SUFFIX = ".sealed";
/** Plaintext of every segment but a file's last. */
export const SEGMENT_BYTES = 4_194_304;
/** AES-GCM's tag, behind each segment's ciphertext. */
export const SEGMENT_TAG_BYTES = 16;
/** AES-256. */
export const DATA_KEY_BYTES = 32;
/** In KMS's encryption context, the model digest's name: a key that was wrapped for one opens for no other. */
export const KMS_CONTEXT_NAME = "countersign-model-digest";
/** What KMS may answer as a CiphertextBlob (AWS KMS API Reference, Decrypt). */
export const MAX_WRAPPED_BYTES = 6144;
/** A wrapped key, the ARN that names its key, and their heads. */
export const MAX_ENVELOPE_BYTES = 8192;
/** A manifest, an envelope, and their heads. */
export const MAX_SEAL_BYTES: number = DETERMINISTIC.maxBytes + MAX_ENVELOPE_BYTES + 64;
const SEAL: CborProfile = { ...DETERMINISTIC, maxBytes: MAX_SEAL_BYTES };
const ENVELOPE: CborProfile = { ...DETERMINISTIC, maxBytes: MAX_ENVELOPE_BYTES };

const SEAL_TAG = "countersign/seal/v1";
const SEGMENT_LABEL = encodeUtf8("countersign/segment/v1");
const MODEL_DIGEST_BYTES = 32;
const TWO_32 = 0x1_0000_0000;
const KEY_ID = /^[0-9a-f]{32}$/u;

/** The data key of a sealed version, wrapped by whoever releases it. */
export interface Envelope {
  /** `aws-kms`: AWS KMS. `file`: a key file of the owner's, or a key broker that has it. */
  readonly kind: "aws-kms" | "file";
  /** The ARN of the KMS key, or the key file's id: 32 hexadecimal digits. */
  readonly key: string;
  readonly wrapped: Uint8Array;
}

export interface Seal {
  /** Of the plaintext: its SHA-256 is the model digest, the same whether sealed or not. */
  readonly manifest: Uint8Array;
  /** {@link encodeEnvelope}'s bytes. */
  readonly envelope: Uint8Array;
}

/** @throws {@link ProtocolError} `seal/structure` where a part is empty or too long. */
export function encodeSeal(seal: Seal): Uint8Array {
  requireSeal(seal);
  return encodeCbor(
    new Map<number, CborValue>([
      [1, SEAL_TAG],
      [2, seal.manifest],
      [3, seal.envelope],
    ]),
  );
}

/** @throws {@link ProtocolError} `seal/structure`. */
export function parseSeal(bytes: Uint8Array): Seal {
  const structure = decodeMap(bytes, SEAL, "seal/structure");
  const manifest = structure.get(2);
  const envelope = structure.get(3);
  if (structure.size !== 3 || structure.get(1) !== SEAL_TAG) {
    throw new ProtocolError("seal/structure", `want {1: "${SEAL_TAG}", 2, 3}`);
  }
  if (!(manifest instanceof Uint8Array) || !(envelope instanceof Uint8Array)) {
    throw new ProtocolError("seal/structure", "want manifest and envelope as bytes");
  }
  requireSeal({ manifest, envelope });
  return { manifest, envelope };
}

/** @throws {@link ProtocolError} `seal/envelope`. */
export function encodeEnvelope(envelope: Envelope): Uint8Array {
  requireEnvelope(envelope);
  return encodeCbor(
    new Map<number, CborValue>([
      [1, envelope.kind],
      [2, envelope.key],
      [3, envelope.wrapped],
    ]),
  );
}

/** @throws {@link ProtocolError} `seal/envelope`. */
export function parseEnvelope(bytes: Uint8Array): Envelope {
  const structure = decodeMap(bytes, ENVELOPE, "seal/envelope");
  const kind = structure.get(1);
  const key = structure.get(2);
  const wrapped = structure.get(3);
  if (structure.size !== 3) throw new ProtocolError("seal/envelope", "want {1, 2, 3}");
  if (kind !== "aws-kms" && kind !== "file") {
    throw new ProtocolError("seal/envelope", 'a kind other than "aws-kms" and "file"');
  }
  if (typeof key !== "string" || !(wrapped instanceof Uint8Array)) {
    throw new ProtocolError("seal/envelope", "want [kind, tstr, bstr]");
  }
  requireEnvelope({ kind, key, wrapped });
  return { kind, key, wrapped };
}

/**
 * Where the file of the manifest's `path` lies, sealed.
 *
 * @throws {@link ProtocolError} `manifest/path` where the suffix makes a path too long.
 */
export function sealedPath(path: string): string {
  return requireSafePath(`${path}${SEALED_SUFFIX}`);
}

/** Segments of a file of `size` bytes: an empty one has one, too, and so cannot be made of nothing. */
export function segmentCount(size: number): number {
  requireCount(size, "size");
  return Math.max(1, Math.ceil(size / SEGMENT_BYTES));
}

/** Bytes on disk of a file of `size` bytes. */
export function sealedBytes(size: number): number {
  return size + segmentCount(size) * SEGMENT_TAG_BYTES;
}

/**
 * 12 bytes: the file's index in the manifest and the segment's in the file, both big-endian.
 *
 * A data key belongs to one sealing of one version, so no nonce comes twice under it (NIST SP
 * 800-38D §8.2.1).
 */
export function segmentNonce(file: number, segment: number): Uint8Array {
  return concatBytes(uint32(file), uint64(segment));
}

/** What a segment's tag vouches for besides its bytes. @param modelDigest - 32 bytes. */
export function segmentAad(
  modelDigest: Uint8Array,
  file: number,
  segment: number,
  final: boolean,
): Uint8Array {
  if (modelDigest.length !== MODEL_DIGEST_BYTES) {
    throw new TypeError(`model digest of ${modelDigest.length} bytes`);
  }
  const last = Uint8Array.of(final ? 1 : 0);
  return concatBytes(SEGMENT_LABEL, modelDigest, uint32(file), uint64(segment), last);
}

function requireSeal({ manifest, envelope }: Seal): void {
  if (manifest.length === 0 || manifest.length > DETERMINISTIC.maxBytes) {
    throw new ProtocolError("seal/structure", `manifest of ${manifest.length} bytes`);
  }
  if (envelope.length === 0 || envelope.length > MAX_ENVELOPE_BYTES) {
    throw new ProtocolError("seal/structure", `envelope of ${envelope.length} bytes`);
  }
}

function requireEnvelope({ kind, key, wrapped }: Envelope): void {
  if (kind === "aws-kms") parseKmsKeyArn(key);
  else if (!KEY_ID.test(key)) {
    throw new ProtocolError("seal/envelope", "a key id that is not 32 hexadecimal digits");
  }
  if (wrapped.length === 0 || wrapped.length > MAX_WRAPPED_BYTES) {
    throw new ProtocolError("seal/envelope", `wrapped key of ${wrapped.length} bytes`);
  }
}

function uint32(value: number): Uint8Array {
  requireCount(value, "file index");
  if (value >= TWO_32) throw new TypeError(`file index ${value}`);
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

function uint64(value: number): Uint8Array {
  requireCount(value, "segment index");
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(value / TWO_32));
  view.setUint32(4, value % TWO_32);
  return bytes;
}

function requireCount(value: number, name: string): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`${name} ${value}`);
}
