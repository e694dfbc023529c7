/**
 * What an archive or a folder of the image is made of. Owner, times and modes are not here: they are
 * the same for every entry of a kind, so that no machine's umask or clock gets into an image.
 */
import { compareBytes, encodeUtf8 } from "@countersign/attestation/attester";
import { createHash } from "node:crypto";
import { type FileHandle, open, stat } from "node:fs/promises";
import { ImageError } from "./errors.ts";

/** Bytes that are known, or a file whose size is. */
export type Content =
  | { readonly from: "memory"; readonly bytes: Uint8Array }
  | { readonly from: "disk"; readonly file: string; readonly size: number };

export interface FileEntry {
  readonly kind: "file";
  /** Relative, with `/`, of the characters of PATH. */
  readonly path: string;
  readonly executable: boolean;
  readonly content: Content;
}

export type Entry =
  | FileEntry
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "link"; readonly path: string; readonly target: string }
  | {
      readonly kind: "device";
      readonly path: string;
      readonly major: number;
      readonly minor: number;
    };

/** No part is empty, `.` or `..`; nothing that a shell, a log or a JSON file would have to escape. */
const PATH = /^(?!\.{1,2}(?:\/|$))[\w@.+~-]+(?:\/(?!\.{1,2}(?:\/|$))[\w@.+~-]+)*$/u;
/** Relative to the link. */
const TARGET = /^[\w@.+~/-]+$/u;
const MAX_PATH_CHARACTERS = 1024;
/** Sizes in a newc header have eight hexadecimal digits. */
export const MAX_FILE_BYTES = 0xffff_ffff;
const CHUNK_BYTES = 1 << 20;

/** The file on disk as content. @throws ImageError `image/input` unless it is a regular file. */
export async function diskContent(file: string): Promise<Content> {
  const found = await stat(file).catch((cause: unknown) => {
    throw new ImageError("image/input", `${file} cannot be read`, { cause });
  });
  if (!found.isFile()) throw new ImageError("image/input", `${file} is no regular file`);
  if (found.size > MAX_FILE_BYTES) {
    throw new ImageError("image/input", `${file} has ${found.size} bytes, want < 4 GiB`);
  }
  return { from: "disk", file, size: found.size };
}

export function contentBytes(content: Content): number {
  return content.from === "memory" ? content.bytes.length : content.size;
}

/**
 * The bytes of `content`, in pieces; exactly as many as its size says.
 *
 * @throws ImageError `image/input` where the file changed its size since, or cannot be read.
 */
export async function* contentChunks(content: Content): AsyncGenerator<Uint8Array> {
  if (content.from === "memory") {
    yield content.bytes;
    return;
  }
  const { file, size } = content;
  let left = size;
  const handle = await opened(file);
  try {
    // One byte more than there should be: a file that grew is seen, and one without an end, too.
    for (let chunk = await next(handle, left + 1); chunk.length > 0;) {
      left -= chunk.length;
      if (left < 0) break;
      yield chunk;
      chunk = await next(handle, left + 1);
    }
  } finally {
    await handle.close();
  }
  if (left !== 0) throw new ImageError("image/input", `${file} changed while it was read`);
}

/**
 * Entries in the order of their paths' bytes, folders before what is in them and made where missing.
 *
 * @throws ImageError `image/input` on a path that is there twice or has characters outside of PATH.
 */
export function sortedEntries(entries: readonly Entry[]): readonly Entry[] {
  const byPath = new Map<string, Entry>();
  for (const entry of entries) {
    if (entry.path.length > MAX_PATH_CHARACTERS || !PATH.test(entry.path)) {
      throw new ImageError("image/input", `"${entry.path}" is no path for an image`);
    }
    if (entry.kind === "link" && !TARGET.test(entry.target)) {
      throw new ImageError("image/input", `${entry.path} leads to "${entry.target}"`);
    }
    const before = byPath.get(entry.path);
    if (before !== undefined && !(before.kind === "directory" && entry.kind === "directory")) {
      throw new ImageError("image/input", `${entry.path} is there twice`);
    }
    byPath.set(entry.path, entry);
  }
  for (const { path } of entries) {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      const folder = path.slice(0, end);
      const there = byPath.get(folder);
      if (there === undefined) byPath.set(folder, { kind: "directory", path: folder });
      else if (there.kind !== "directory") {
        throw new ImageError("image/input", `${path} is in ${folder}, which is no folder`);
      }
    }
  }
  return [...byPath.values()].toSorted((a, b) =>
    compareBytes(encodeUtf8(a.path), encodeUtf8(b.path)),
  );
}

/** SHA-256. */
export async function contentDigest(content: Content): Promise<Uint8Array> {
  const hash = createHash("sha256");
  for await (const chunk of contentChunks(content)) hash.update(chunk);
  return new Uint8Array(hash.digest());
}

/** The next piece, empty at the end; in memory of its own. */
async function next(handle: FileHandle, most: number): Promise<Uint8Array> {
  const memory = new Uint8Array(Math.min(most, CHUNK_BYTES));
  const { buffer, bytesRead } = await handle.read(memory);
  return buffer.subarray(0, bytesRead);
}

async function opened(file: string): Promise<FileHandle> {
  try {
    return await open(file, "r");
  } catch (cause) {
    throw new ImageError("image/input", `${file} cannot be read`, { cause });
  }
}
