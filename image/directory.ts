/**
 * A tree as a folder, for builders that take one: a Docker engine copies it into an image. Devices are
 * left out: only root can make them, and every container runtime has its own.
 */
import { chmod, lutimes, mkdir, open, readdir, symlink, utimes } from "node:fs/promises";
import { join } from "node:path";
import { contentChunks, type Entry, type FileEntry, sortedEntries } from "./entry.ts";
import { ImageError } from "./errors.ts";

const FOLDER_MODE = 0o755;
const FILE_MODE = 0o644;
const PROGRAM_MODE = 0o755;

/**
 * Writes `entries` into `directory`, which is made, or is there and empty. Modes do not depend on the
 * umask, and times are 0: layers that are made of the folder are the same everywhere.
 *
 * @throws ImageError `image/input`.
 */
export async function writeDirectory(directory: string, entries: readonly Entry[]): Promise<void> {
  await mkdir(directory, { recursive: true }).catch(refused(directory, "cannot be made"));
  const found = await readdir(directory).catch(refused(directory, "cannot be read"));
  if (found.length > 0) throw new ImageError("image/input", `${directory} is not empty`);
  const sorted = sortedEntries(entries);
  await writeEntries(directory, sorted).catch((cause: unknown) => {
    if (cause instanceof ImageError) throw cause;
    throw new ImageError("image/input", `${directory} cannot be written`, { cause });
  });
}

async function writeEntries(directory: string, sorted: readonly Entry[]): Promise<void> {
  await chmod(directory, FOLDER_MODE);
  for (const entry of sorted) await writeEntry(directory, entry);
  // From the innermost outwards: to write a file changes its folder's time.
  for (const { kind, path } of sorted.toReversed()) {
    if (kind === "directory") await utimes(join(directory, path), 0, 0);
  }
  await utimes(directory, 0, 0);
}

async function writeEntry(directory: string, entry: Entry): Promise<void> {
  const path = join(directory, entry.path);
  switch (entry.kind) {
    case "directory":
      await mkdir(path);
      await chmod(path, FOLDER_MODE);
      return;
    case "link":
      await symlink(entry.target, path);
      await lutimes(path, 0, 0);
      return;
    case "file":
      await writeFileEntry(path, entry);
      return;
    case "device":
      return;
    default:
      entry satisfies never;
  }
}

async function writeFileEntry(path: string, { content, executable }: FileEntry): Promise<void> {
  const handle = await open(path, "wx");
  try {
    for await (const chunk of contentChunks(content)) await handle.writeFile(chunk);
    await handle.chmod(executable ? PROGRAM_MODE : FILE_MODE);
    await handle.utimes(0, 0);
  } finally {
    await handle.close();
  }
}

function refused(directory: string, what: string): (cause: unknown) => never {
  return (cause) => {
    throw new ImageError("image/input", `${directory} ${what}`, { cause });
  };
}
