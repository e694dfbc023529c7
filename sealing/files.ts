/** Files read and written without surprises: no links followed, no part taken for the whole. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { SealingError, type SealingErrorCode } from "./errors.ts";

/** The name of a failed system call's error, or null where it is another kind of error. */
export function systemCode(error: unknown): string | null {
  if (!(error instanceof Error) || !("syscall" in error) || !("code" in error)) return null;
  return typeof error.code === "string" ? error.code : null;
}

/** What `work` yields on the disk. @throws {@link SealingError} `code` where the system says no. */
export async function onDisk<T>(
  path: string,
  code: SealingErrorCode,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const found = systemCode(error);
    if (found === null) throw error;
    const reason = REASONS.get(found) ?? found;
    throw new SealingError(code, `${path}: ${reason}`, { cause: error });
  }
}

const REASONS: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "there is no such file or directory"],
  ["EISDIR", "it is a directory"],
  ["ENOTDIR", "it is no directory"],
  ["EACCES", "you may not access it"],
  ["EEXIST", "it exists already, and nothing is overwritten"],
  ["ENOTEMPTY", "it exists already, and nothing is overwritten"],
  ["ELOOP", "it is a symbolic link"],
  ["ENOSPC", "the disk is full"],
  ["EDQUOT", "the disk is full"],
]);

/** Opens a plain file of exactly `size` bytes. @throws {@link SealingError} `sealing/changed`, `code`. */
export async function openPlain(
  path: string,
  size: number,
  code: SealingErrorCode,
): Promise<FileHandle> {
  return await onDisk(path, code, async () => {
    // O_NONBLOCK: a pipe put in its place must not hold the open(2).
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const handle = await open(path, flags);
    const found = await handle.stat();
    if (found.isFile() && found.size === size) return handle;
    await handle.close();
    throw changed(path);
  });
}

/** Fills `target` from where `handle` stands. @throws {@link SealingError} `sealing/changed`. */
export async function readExactly(
  handle: FileHandle,
  target: Uint8Array,
  path: string,
): Promise<void> {
  await onDisk(path, "sealing/input", async () => {
    let length = 0;
    while (length < target.length) {
      const { bytesRead } = await handle.read(target, length, target.length - length, null);
      if (bytesRead === 0) throw changed(path);
      length += bytesRead;
    }
  });
}

/** @throws {@link SealingError} `sealing/changed` where the file goes on. */
export async function requireEnd(handle: FileHandle, path: string): Promise<void> {
  const { bytesRead } = await handle.read(new Uint8Array(1), 0, 1, null);
  if (bytesRead !== 0) throw changed(path);
}

/** All of a plain file of at most `most` bytes. @throws {@link SealingError} `code`. */
export async function readSmall(
  path: string,
  most: number,
  code: SealingErrorCode,
): Promise<{ readonly bytes: Uint8Array; readonly mode: number }> {
  return await onDisk(path, code, async () => {
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const found = await handle.stat();
      if (!found.isFile()) throw new SealingError(code, `${path}: it is no plain file`);
      if (found.size > most) throw new SealingError(code, `${path}: more than ${most} bytes`);
      const bytes = new Uint8Array(found.size);
      await readExactly(handle, bytes, path);
      await requireEnd(handle, path);
      return { bytes, mode: found.mode };
    } finally {
      await handle.close();
    }
  });
}

/** Forces a directory's entries to the disk, so that a rename outlives a loss of power. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function changed(path: string): SealingError {
  return new SealingError("sealing/changed", `${path} changed while it was read`);
}
