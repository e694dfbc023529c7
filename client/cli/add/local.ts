import { constants } from "node:fs";
import { copyFile, lstat, readdir, rename } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";

import { CommandError } from "../exit.ts";
import { systemCode } from "../files.ts";
import { onDisk } from "./disk.ts";
import type { Origin, OriginFile } from "./origin.ts";
import { isGraphName, type ModelSource } from "./source.ts";
import type { Surroundings } from "./surroundings.ts";

type FileSource = Extract<ModelSource, { readonly kind: "file" }>;

/** An export is shallow; a deeper tree is something else. */
const MAX_DEPTH = 4;
const MAX_FILES = 10_000;

/** A directory of this machine, or one graph in it. Links are refused: they name other files. */
export async function openLocal(around: Surroundings, { path }: FileSource): Promise<Origin> {
  const found = await lstat(path).catch((error: unknown) => {
    const code = systemCode(error);
    const reason = code === "ENOENT" ? "there is no such file or directory" : code;
    throw new CommandError(`cannot read ${path}: ${reason}`);
  });
  const isGraph = found.isFile() && isGraphName(path);
  if (!isGraph && !found.isDirectory()) {
    const fix = "name a directory in the layout of an export, or a file NAME.onnx";
    throw new CommandError(`${path} is neither a directory nor a graph`, fix);
  }
  const root = isGraph ? dirname(path) : path;
  const files: OriginFile[] = [];
  if (isGraph) files.push({ path: relative(root, path), size: found.size, hash: null });
  else {
    await walk(root, root, 0, files).catch((error: unknown) => {
      if (error instanceof CommandError) throw error;
      throw new CommandError(`cannot read ${root}: ${systemCode(error)}`);
    });
  }
  return {
    name: path,
    revision: null,
    licence: null,
    files,
    find: async (name) => await findFile(root, name),
    async fetch(file, staged) {
      const from = join(root, file.path);
      const { size } = await requirePlain(from);
      await onDisk(staged.part, () => copyFile(from, staged.part, constants.COPYFILE_FICLONE));
      await onDisk(staged.whole, () => rename(staged.part, staged.whole));
      around.progress.at(file.path, size);
    },
  };
}

async function walk(
  root: string,
  directory: string,
  depth: number,
  files: OriginFile[],
): Promise<void> {
  if (depth >= MAX_DEPTH) return;
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    // .git, .cache: nothing of a model.
    if (entry.name.startsWith(".")) continue;
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      await walk(root, path, depth + 1, files);
      continue;
    }
    if (files.length >= MAX_FILES) {
      throw new CommandError(`${root} holds more than ${MAX_FILES} files`);
    }
    // A link is listed, so that choosing it is refused by its name and not passed over.
    const { size } = await lstat(path);
    files.push({ path: relative(root, path).split(sep).join("/"), size, hash: null });
  }
}

async function findFile(root: string, path: string): Promise<OriginFile | null> {
  const found = await lstat(join(root, path)).catch(() => null);
  return found === null ? null : { path, size: found.size, hash: null };
}

async function requirePlain(path: string): Promise<{ readonly size: number }> {
  const found = await lstat(path).catch((error: unknown) => {
    throw new CommandError(`cannot read ${path}: ${systemCode(error)}`);
  });
  if (found.isFile()) return found;
  throw new CommandError(`${path} is no plain file`, "put the file itself there");
}
