/**
 * The files below a version's directory, as they lie there.
 *
 * Nothing may be among them that the operator does not see: no links, no hidden files, no devices.
 */
import { constants, type Dirent } from "node:fs";
import { type FileHandle, lstat, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { MAX_MANIFEST_ENTRIES } from "@countersign/protocol";
import { HostError, systemCode } from "./errors.ts";
import { MAX_MODEL_PATH_DEPTH } from "./limits.ts";

/** One file of a version. */
export interface StoredFile {
  /** Path in the manifest, with `/` between its parts. */
  readonly path: string;
  /** Path on this machine. */
  readonly file: string;
  /** Bytes on this machine. */
  readonly size: number;
}

/** A sealed version has its seal beside the files of its manifest. */
const MAX_VERSION_FILES = MAX_MANIFEST_ENTRIES + 1;

/**
 * Every file below `directory`, each under its path from there.
 *
 * @throws {@link HostError} `models/layout`, `models/unreadable`.
 */
export async function versionFiles(directory: string): Promise<readonly StoredFile[]> {
  const files: StoredFile[] = [];
  await walk(directory, [], files);
  return files;
}

/** Opens a file of the store without following a link. The caller closes it. */
export async function openModelFile(stored: StoredFile): Promise<FileHandle> {
  // O_NONBLOCK: a pipe put in its place must not hold the open(2).
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    const handle = await open(stored.file, flags);
    const found = await handle.stat();
    if (found.isFile() && found.size === stored.size) return handle;
    await handle.close();
  } catch (error) {
    throw unreadable(stored.file, error);
  }
  throw changed(stored);
}

async function walk(root: string, parts: readonly string[], files: StoredFile[]): Promise<void> {
  const directory = join(root, ...parts);
  if (parts.length >= MAX_MODEL_PATH_DEPTH) {
    throw layout(directory, `is over ${MAX_MODEL_PATH_DEPTH} directories deep`);
  }
  for (const entry of await listSorted(directory).catch((error: unknown) => {
    throw unreadable(directory, error);
  })) {
    const inner = [...parts, entry.name];
    const file = join(root, ...inner);
    if (entry.name.startsWith(".")) throw layout(file, "is hidden: remove it or rename it");
    if (entry.isDirectory()) {
      await walk(root, inner, files);
      continue;
    }
    if (entry.isSymbolicLink()) throw layout(file, "is a symbolic link: put the file itself here");
    if (!entry.isFile()) throw layout(file, "is neither a file nor a directory: remove it");
    if (files.length === MAX_VERSION_FILES)
      throw layout(root, `holds over ${MAX_VERSION_FILES} files`);
    const { size } = await lstat(file).catch((error: unknown) => {
      throw unreadable(file, error);
    });
    files.push({ path: inner.join("/"), file, size });
  }
}

/** What is in `directory`, by name. */
export async function listSorted(directory: string): Promise<readonly Dirent[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  return entries.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** A repository that is not laid out as a repository is. */
export function layout(path: string, found: string, cause?: unknown): HostError {
  return new HostError("models/layout", `${path} ${found}`, { cause });
}

/** A file or directory that cannot be read; `error` itself where it says so already. */
export function unreadable(path: string, error: unknown): HostError {
  if (error instanceof HostError) return error;
  const found = systemCode(error) ?? "error";
  return new HostError("models/unreadable", `cannot read ${path}: ${found}`, { cause: error });
}

export function changed({ file }: StoredFile): HostError {
  return new HostError("models/unreadable", `${file} changed while it was read`);
}
