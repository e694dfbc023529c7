/** One file sealed or opened segment by segment; of the file, one segment is held at a time, twice. */
import { createCipheriv, createDecipheriv, createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { equalBytes } from "@countersign/attestation";
import {
  type ManifestEntry,
  SEGMENT_BYTES,
  SEGMENT_TAG_BYTES,
  segmentAad,
  segmentCount,
  segmentNonce,
} from "@countersign/protocol";
import { SealingError } from "./errors.ts";
import { changed, readExactly, requireEnd } from "./files.ts";

/** Which file of which model, under which key. */
export interface SegmentedFile {
  /** The data key, 32 bytes. */
  readonly key: Uint8Array;
  readonly modelDigest: Uint8Array;
  /** In the manifest. */
  readonly index: number;
  readonly entry: ManifestEntry;
  /** What is read, for messages. */
  readonly path: string;
  /** After each segment: the plaintext that is done. */
  readonly onSegment: (bytes: number) => void;
}

/**
 * Seals what `from` holds into `to`.
 *
 * @throws {@link SealingError} `sealing/changed` where it is not what the manifest says.
 */
export async function sealFile(
  file: SegmentedFile,
  from: FileHandle,
  to: FileHandle,
): Promise<void> {
  const { size, sha256 } = file.entry;
  const buffer = new Uint8Array(Math.min(size, SEGMENT_BYTES));
  const hash = createHash("sha256");
  try {
    for (let segment = 0; segment < segmentCount(size); segment++) {
      const plain = buffer.subarray(0, plainBytes(size, segment));
      await readExactly(from, plain, file.path);
      hash.update(plain);
      const { ciphertext, tag } = sealSegment(file, segment, plain);
      await to.writeFile(ciphertext);
      await to.writeFile(tag);
      file.onSegment(segment * SEGMENT_BYTES + plain.length);
    }
    await requireEnd(from, file.path);
  } finally {
    buffer.fill(0);
  }
  if (!equalBytes(hash.digest(), sha256)) throw changed(file.path);
}

/**
 * Opens what `from` holds into `to`: each segment is written after its tag was found right.
 *
 * @throws {@link SealingError} `sealing/segment`, `sealing/changed`.
 */
export async function openFile(
  file: SegmentedFile,
  from: FileHandle,
  to: FileHandle,
): Promise<void> {
  const { size, sha256 } = file.entry;
  const buffer = new Uint8Array(Math.min(size, SEGMENT_BYTES) + SEGMENT_TAG_BYTES);
  const hash = createHash("sha256");
  for (let segment = 0; segment < segmentCount(size); segment++) {
    const sealed = buffer.subarray(0, plainBytes(size, segment) + SEGMENT_TAG_BYTES);
    await readExactly(from, sealed, file.path);
    const plain = openSegment(file, segment, sealed);
    hash.update(plain);
    await to.writeFile(plain);
    plain.fill(0);
    file.onSegment(segment * SEGMENT_BYTES + plain.length);
  }
  await requireEnd(from, file.path);
  // Its tags are right, so whoever sealed it sealed another file than the manifest names.
  if (!equalBytes(hash.digest(), sha256)) {
    const message = `${file.path} opens to another file than its manifest says`;
    throw new SealingError("sealing/segment", message);
  }
}

function sealSegment(
  file: SegmentedFile,
  segment: number,
  plain: Uint8Array,
): { readonly ciphertext: Uint8Array; readonly tag: Uint8Array } {
  const { nonce, aad } = positionOf(file, segment);
  const cipher = createCipheriv("aes-256-gcm", file.key, nonce, TAG);
  cipher.setAAD(aad);
  const ciphertext = cipher.update(plain);
  cipher.final();
  return { ciphertext, tag: cipher.getAuthTag() };
}

function openSegment(file: SegmentedFile, segment: number, sealed: Uint8Array): Uint8Array {
  const { nonce, aad } = positionOf(file, segment);
  const decipher = createDecipheriv("aes-256-gcm", file.key, nonce, TAG);
  const end = sealed.length - SEGMENT_TAG_BYTES;
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(end));
  const plain = decipher.update(sealed.subarray(0, end));
  try {
    decipher.final();
    return plain;
  } catch (cause) {
    plain.fill(0);
    const message = `segment ${segment} of ${file.path} does not open: it was changed`;
    throw new SealingError("sealing/segment", message, { cause });
  }
}

const TAG = { authTagLength: SEGMENT_TAG_BYTES };

function positionOf(
  { modelDigest, index, entry }: SegmentedFile,
  segment: number,
): { readonly nonce: Uint8Array; readonly aad: Uint8Array } {
  const final = segment === segmentCount(entry.size) - 1;
  return {
    nonce: segmentNonce(index, segment),
    aad: segmentAad(modelDigest, index, segment, final),
  };
}

/** Plaintext of one segment of a file of `size` bytes. */
function plainBytes(size: number, segment: number): number {
  return Math.min(SEGMENT_BYTES, size - segment * SEGMENT_BYTES);
}
