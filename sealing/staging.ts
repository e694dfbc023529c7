/** A directory that is there whole or not at all: made hidden beside its place, and moved there. */
import { randomBytes } from "node:crypto";
import { type FileHandle, lstat, mkdir, open, realpath, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { SealingError } from "./errors.ts";
import { onDisk, syncDirectory, systemCode } from "./files.ts";

/** Who may read what is made: ciphertext is for everybody the umask allows, plaintext is not. */
export type Readers = "everybody" | "owner";

/** A directory that is being made. */
export interface Staging {
  /** Makes `path`, with `/` between its parts, and has `write` fill it. */
  write(path: string, write: (handle: FileHandle) => Promise<void>): Promise<void>;
}

const MODES = {
  everybody: { directory: 0o777, file: 0o666 },
  owner: { directory: 0o700, file: 0o600 },
} as const satisfies Record<Readers, unknown>;
type Modes = (typeof MODES)[Readers];

/**
 * Has `fill` make what becomes the directory `out`; where it fails, nothing is left.
 *
 * @param source - a directory that `out` may not lie in. @throws {@link SealingError} `sealing/output`.
 */
export async function stageDirectory<T>(
  out: string,
  source: string,
  readers: Readers,
  fill: (staging: Staging) => Promise<T>,
): Promise<T> {
  const place = resolve(out);
  return await belowParents(place, async () => {
    await requireFree(place, source);
    return await stage(place, MODES[readers], fill);
  });
}

async function stage<T>(
  place: string,
  modes: Modes,
  fill: (staging: Staging) => Promise<T>,
): Promise<T> {
  const suffix = randomBytes(6).toString("hex");
  // The dot hides it from a node that reads the repository it lies in.
  const root = join(dirname(place), `.${basename(place)}.${suffix}`);
  await onDisk(root, "sealing/output", async () => await mkdir(root, modes.directory));
  try {
    const made = await fill({
      write: async (path, write) => {
        await writeStaged(join(root, ...path.split("/")), modes, write);
      },
    });
    await onDisk(place, "sealing/output", async () => {
      await rename(root, place);
      await syncDirectory(dirname(place));
    });
    return made;
  } catch (error) {
    await rm(root, { recursive: true, force: true });
    throw error;
  }
}

/** Makes the directories that `place` is to lie in; where `work` fails, those that it made are gone. */
async function belowParents<T>(place: string, work: () => Promise<T>): Promise<T> {
  const parent = dirname(place);
  const first = await onDisk(parent, "sealing/output", async () => {
    return await mkdir(parent, { recursive: true });
  });
  try {
    return await work();
  } catch (error) {
    if (first !== undefined) await removeEmpty(parent, first);
    throw error;
  }
}

/** From `last` up to `first`, as far as nobody put anything there. */
async function removeEmpty(last: string, first: string): Promise<void> {
  try {
    for (let path = last; path.startsWith(first); path = dirname(path)) await rmdir(path);
  } catch {
    // What is in use stays; that the work failed is what counts.
    return;
  }
}

/**
 * Replaces the file `name` of `directory` in one step.
 *
 * The new one is made beside the directory: in it nothing may lie that does not belong there.
 */
export async function replaceFile(
  directory: string,
  name: string,
  content: Uint8Array,
): Promise<void> {
  // Beside it on its own disk: a link to it may lie on another.
  const root = await onDisk(directory, "sealing/output", async () => await realpath(directory));
  const path = join(root, name);
  const made = join(dirname(root), `.${basename(root)}.${randomBytes(6).toString("hex")}`);
  await onDisk(path, "sealing/output", async () => {
    try {
      const handle = await open(made, "wx", MODES.everybody.file);
      try {
        await handle.writeFile(content);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(made, path);
      await syncDirectory(dirname(path));
    } catch (error) {
      await rm(made, { force: true });
      throw error;
    }
  });
}

async function writeStaged(
  path: string,
  modes: Modes,
  write: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  await onDisk(path, "sealing/output", async () => {
    await mkdir(dirname(path), { recursive: true, mode: modes.directory });
    const handle = await open(path, "wx", modes.file);
    try {
      await write(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
  });
}

async function requireFree(place: string, source: string): Promise<void> {
  const found = await onDisk(place, "sealing/output", async () => {
    return await lstat(place).catch((error: unknown) => {
      if (systemCode(error) === "ENOENT") return null;
      throw error;
    });
  });
  if (found !== null) {
    const message = `${place} exists already, and nothing is overwritten`;
    throw new SealingError("sealing/output", message);
  }
  const parent = await onDisk(dirname(place), "sealing/output", async () => {
    return await realpath(dirname(place));
  });
  const way = relative(await realpath(source), join(parent, basename(place)));
  if (way === ".." || way.startsWith(`..${sep}`)) return;
  throw new SealingError(
    "sealing/output",
    `${place} lies in ${source}, and would become part of it`,
  );
}
