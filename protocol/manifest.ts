/**
 * The manifest of a model: every file that changes its outputs.
 *
 * Deterministic CBOR of [[path, size, sha256] …], sorted by the bytes of the path. The SHA-256 of
 * these bytes is the model digest.
 */
import {
  type CborValue,
  compareBytes,
  DETERMINISTIC,
  encodeCbor,
  encodeUtf8,
  isArray,
} from "@countersign/attestation/attester";
import { ProtocolError } from "./errors.ts";
import { decodeStructure } from "./structure.ts";

export interface ManifestEntry {
  /** Relative, with "/" between its segments. */
  readonly path: string;
  readonly size: number;
  /** 32 bytes. */
  readonly sha256: Uint8Array;
}

/** Files of one model. */
export const MAX_MANIFEST_ENTRIES = 4096;
export const MAX_PATH_BYTES = 1024;
export const MAX_SEGMENT_BYTES = 255;
const SHA256_BYTES = 32;
/** C0 and C1 control characters, DEL, and the backslash. */
// oxlint-disable-next-line no-control-regex -- these are what it refuses
const REFUSED = /[\u0000-\u001f\u007f-\u009f\\]/u;

/**
 * Sorts `entries` and encodes them.
 *
 * @throws {@link ProtocolError} `manifest/path`, `manifest/structure`, `manifest/too-large`.
 */
export function encodeManifest(entries: readonly ManifestEntry[]): Uint8Array {
  if (entries.length > MAX_MANIFEST_ENTRIES) {
    throw new ProtocolError("manifest/too-large", `${entries.length} files`);
  }
  const sorted = entries
    .map((entry) => ({ entry, bytes: encodeUtf8(requireSafePath(entry.path)) }))
    .toSorted((a, b) => compareBytes(a.bytes, b.bytes));
  const rows = sorted.map(({ entry }) => [entry.path, entry.size, entry.sha256] as const);
  for (const { entry } of sorted) requireEntry(entry.size, entry.sha256);
  requireDistinct(sorted.map(({ entry }) => entry.path));
  const bytes = encodeCbor(rows);
  if (bytes.length > DETERMINISTIC.maxBytes) {
    throw new ProtocolError("manifest/too-large", `${bytes.length} bytes`);
  }
  return bytes;
}

/**
 * The entries of a manifest, in its order.
 *
 * @throws {@link ProtocolError} `manifest/structure`, `manifest/path`, `manifest/too-large`.
 */
export function parseManifest(bytes: Uint8Array): readonly ManifestEntry[] {
  const rows = decodeRows(bytes);
  if (rows.length > MAX_MANIFEST_ENTRIES) {
    throw new ProtocolError("manifest/too-large", `${rows.length} files`);
  }
  const entries = rows.map(parseRow);
  let previous: Uint8Array | null = null;
  for (const { path } of entries) {
    const encoded = encodeUtf8(path);
    if (previous !== null && compareBytes(previous, encoded) >= 0) {
      throw new ProtocolError("manifest/structure", "paths are not sorted, or one comes twice");
    }
    previous = encoded;
  }
  requireDistinct(entries.map(({ path }) => path));
  return entries;
}

/**
 * Returns `path` where it stays below the directory that it is relative to, on any system.
 *
 * @throws {@link ProtocolError} `manifest/path`.
 */
export function requireSafePath(path: string): string {
  // Well-formed and NFC, so that no two paths look alike or fall together on some file system.
  if (!path.isWellFormed() || path.normalize("NFC") !== path || REFUSED.test(path)) {
    throw new ProtocolError("manifest/path", "a character that is not allowed");
  }
  if (encodeUtf8(path).length > MAX_PATH_BYTES) {
    throw new ProtocolError("manifest/path", `longer than ${MAX_PATH_BYTES} bytes`);
  }
  for (const segment of path.split("/")) {
    // An empty segment is also what an absolute path, or one that ends in "/", has.
    if (segment === "" || segment === "." || segment === "..") {
      throw new ProtocolError("manifest/path", 'a segment that is empty, "." or ".."');
    }
    if (encodeUtf8(segment).length > MAX_SEGMENT_BYTES) {
      throw new ProtocolError("manifest/path", `a segment longer than ${MAX_SEGMENT_BYTES} bytes`);
    }
  }
  return path;
}

function decodeRows(bytes: Uint8Array): readonly CborValue[] {
  const value = decodeStructure(bytes, DETERMINISTIC, "manifest/structure");
  if (!isArray(value)) throw new ProtocolError("manifest/structure", "want an array");
  return value;
}

function parseRow(row: CborValue): ManifestEntry {
  if (!isArray(row) || row.length !== 3) {
    throw new ProtocolError("manifest/structure", "want [path, size, sha256]");
  }
  const [path, size, sha256] = row;
  if (typeof path !== "string" || typeof size !== "number" || !(sha256 instanceof Uint8Array)) {
    throw new ProtocolError("manifest/structure", "want [tstr, uint, bstr]");
  }
  requireEntry(size, sha256);
  return { path: requireSafePath(path), size, sha256 };
}

function requireEntry(size: number, sha256: Uint8Array): void {
  if (!Number.isSafeInteger(size) || size < 0) {
    throw new ProtocolError("manifest/structure", `size ${size}`);
  }
  if (sha256.length !== SHA256_BYTES) {
    throw new ProtocolError("manifest/structure", `SHA-256 of ${sha256.length} bytes`);
  }
}

/** No path twice, and none that is a file here and a directory there. */
function requireDistinct(paths: readonly string[]): void {
  const files = new Set(paths);
  if (files.size !== paths.length) throw new ProtocolError("manifest/path", "a path twice");
  for (const path of paths) {
    for (let at = path.indexOf("/"); at !== -1; at = path.indexOf("/", at + 1)) {
      if (files.has(path.slice(0, at))) {
        throw new ProtocolError("manifest/path", "a file that is also a directory");
      }
    }
  }
}
