/** A version of a model in clear, hashed: its files, its manifest, its digest. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import {
  encodeManifest,
  type ManifestEntry,
  parseManifest,
  ProtocolError,
  SEAL_PATH,
  sealedPath,
  SEGMENT_BYTES,
} from "@countersign/protocol";
import { SealingError } from "./errors.ts";
import { openPlain, readExactly, requireEnd } from "./files.ts";
import { hasGraph, type ListedFile, listFiles } from "./listing.ts";
import type { Surroundings } from "./surroundings.ts";

export interface PlainVersion {
  readonly manifest: Uint8Array;
  /** SHA-256 of the manifest. */
  readonly digest: Uint8Array;
  /** In the manifest's order, each with where it lies. */
  readonly files: readonly { readonly entry: ManifestEntry; readonly file: string }[];
}

/**
 * The files of a version that can be sealed, not yet read.
 *
 * @throws {@link SealingError} `sealing/input`.
 */
export async function listPlain(directory: string): Promise<readonly ListedFile[]> {
  const files = await listFiles(directory, (path, found) => {
    throw new SealingError("sealing/input", `${join(directory, path)} ${found}`);
  });
  const paths = files.map(({ path }) => path);
  if (paths.includes(SEAL_PATH)) {
    throw new SealingError("sealing/input", `${directory} is sealed already`);
  }
  if (!hasGraph(paths)) {
    throw new SealingError("sealing/input", `${directory} has no model.onnx, and none in onnx/`);
  }
  requireSealable(directory, paths);
  return files;
}

/** Reads and hashes `files`. @throws {@link SealingError} `sealing/input`, `sealing/changed`. */
export async function hashPlain(
  directory: string,
  name: string,
  files: readonly ListedFile[],
  around: Surroundings,
): Promise<PlainVersion> {
  const hashed: ManifestEntry[] = [];
  for (const listed of files) {
    const sha256 = await hashFile(listed, `hashing ${name}${listed.path}`, around);
    hashed.push({ path: listed.path, size: listed.size, sha256 });
  }
  const manifest = manifestOf(directory, () => encodeManifest(hashed));
  const places = new Map(files.map(({ path, file }) => [path, file]));
  return {
    manifest,
    digest: new Uint8Array(createHash("sha256").update(manifest).digest()),
    files: parseManifest(manifest).map((entry) => ({ entry, file: places.get(entry.path) ?? "" })),
  };
}

async function hashFile(
  { file, size }: ListedFile,
  part: string,
  { progress, signal }: Surroundings,
): Promise<Uint8Array> {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(Math.min(size, SEGMENT_BYTES));
  const handle = await openPlain(file, size, "sealing/input");
  try {
    for (let at = 0; at < size;) {
      signal.throwIfAborted();
      const chunk = buffer.subarray(0, Math.min(buffer.length, size - at));
      await readExactly(handle, chunk, file);
      hash.update(chunk);
      at += chunk.length;
      progress.at(part, at);
    }
    await requireEnd(handle, file);
  } finally {
    await handle.close();
  }
  return new Uint8Array(hash.digest());
}

/** No file may need, when sealed, the name of another one's directory. */
function requireSealable(directory: string, paths: readonly string[]): void {
  const files = new Set(paths.map((path) => manifestOf(directory, () => sealedPath(path))));
  for (const path of files) {
    for (let at = path.indexOf("/"); at !== -1; at = path.indexOf("/", at + 1)) {
      if (!files.has(path.slice(0, at))) continue;
      const message = `${directory}: ${path.slice(0, at)} would be a file and a directory`;
      throw new SealingError("sealing/input", message);
    }
  }
}

function manifestOf<T>(directory: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause;
    throw new SealingError("sealing/input", `${directory}: ${cause.message}`, { cause });
  }
}
