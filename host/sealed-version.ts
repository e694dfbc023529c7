/**
 * A sealed version in the store: `seal.cbor`, and one `<path>.sealed` for each path of its manifest.
 *
 * The host has no key, so it cannot tell whether a file opens; that one is missing, surplus or of
 * another length it can, and says so before an enclave is started for nothing.
 */
import { createHash } from "node:crypto";
import {
  type Envelope,
  type ManifestEntry,
  MAX_SEAL_BYTES,
  parseEnvelope,
  parseManifest,
  parseSeal,
  ProtocolError,
  SEAL_PATH,
  SEALED_SUFFIX,
  sealedBytes,
  sealedPath,
} from "@countersign/protocol";
import { changed, layout, openModelFile, type StoredFile, unreadable } from "./version-files.ts";

/** How a sealed version is opened. */
export interface StoredEnvelope extends Envelope {
  /** What the enclave is given: the envelope as it stands in the seal. */
  readonly bytes: Uint8Array;
}

/** What a seal says, and the files that it is about. */
export interface SealedVersion {
  readonly manifest: Uint8Array;
  readonly digest: Uint8Array;
  readonly envelope: StoredEnvelope;
  /** Each under its path in the manifest; the files themselves, and their sizes, are the sealed ones. */
  readonly files: readonly StoredFile[];
}

/** The seal among the files of a version; null where it is not sealed. */
export function sealAmong(found: readonly StoredFile[]): StoredFile | null {
  return found.find(({ path }) => path === SEAL_PATH) ?? null;
}

/**
 * Reads the sealed version whose directory holds exactly `found`, `seal` among them.
 *
 * @throws {@link HostError} `models/layout`, `models/unreadable`.
 */
export async function readSealedVersion(
  directory: string,
  seal: StoredFile,
  found: readonly StoredFile[],
): Promise<SealedVersion> {
  const { manifest, envelope, entries } = parseSealFile(seal, await readSeal(seal));
  const digest = createHash("sha256").update(manifest).digest();
  const files = sealedFiles(directory, entries, found);
  return { manifest, digest: new Uint8Array(digest), envelope, files };
}

async function readSeal(seal: StoredFile): Promise<Uint8Array> {
  if (seal.size > MAX_SEAL_BYTES) {
    throw layout(seal.file, `has ${seal.size} bytes: a seal has at most ${MAX_SEAL_BYTES}`);
  }
  const handle = await openModelFile(seal);
  try {
    // One more than there should be: a file that grew since is seen.
    const bytes = new Uint8Array(seal.size + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    if (length !== seal.size) throw changed(seal);
    return bytes.subarray(0, length);
  } catch (error) {
    throw unreadable(seal.file, error);
  } finally {
    await handle.close();
  }
}

function parseSealFile(
  seal: StoredFile,
  bytes: Uint8Array,
): {
  readonly manifest: Uint8Array;
  readonly envelope: StoredEnvelope;
  readonly entries: readonly ManifestEntry[];
} {
  try {
    const { manifest, envelope } = parseSeal(bytes);
    return {
      manifest,
      envelope: { ...parseEnvelope(envelope), bytes: envelope },
      entries: parseManifest(manifest),
    };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw layout(seal.file, `is no seal: ${error.message}`, error);
  }
}

/** One file for each entry, as long as its plaintext makes it, and no other beside them. */
function sealedFiles(
  directory: string,
  entries: readonly ManifestEntry[],
  found: readonly StoredFile[],
): readonly StoredFile[] {
  const left = new Map(found.map((stored) => [stored.path, stored]));
  left.delete(SEAL_PATH);
  const files: StoredFile[] = [];
  for (const { path, size } of entries) {
    const name = sealedName(directory, path);
    const stored = left.get(name);
    if (stored === undefined) throw layout(directory, `is sealed and has no ${name}`);
    const wanted = sealedBytes(size);
    if (stored.size !== wanted) {
      throw layout(stored.file, `has ${stored.size} bytes: its seal wants ${wanted}`);
    }
    left.delete(name);
    files.push({ path, file: stored.file, size: wanted });
  }
  for (const { path, file } of left.values()) {
    const plain = path.endsWith(SEALED_SUFFIX) ? "" : ": a sealed version holds no other files";
    throw layout(file, `is not in the seal's manifest${plain}`);
  }
  return files;
}

function sealedName(directory: string, path: string): string {
  try {
    return sealedPath(path);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw layout(directory, `has a seal whose manifest names ${path}: ${error.message}`, error);
  }
}
