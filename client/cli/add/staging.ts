/** A model is put together in a hidden directory beside its place, and moved there in one step. */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { equalBytes } from "@countersign/attestation";

import { CommandError } from "../exit.ts";
import { systemCode } from "../files.ts";
import { hashModel, type HashedModel } from "../models.ts";
import { onDisk } from "./disk.ts";
import type { StagedFile } from "./origin.ts";
import { showBytes } from "./progress.ts";

/** Where one model of one origin is put together; the same one in every run, so that it resumes. */
export interface Staging {
  /** Becomes the version's directory. */
  readonly tree: string;
  readonly root: string;
  /** The places for a file of the model. Makes its directories. */
  place(to: string): Promise<StagedFile>;
  /** Lets another run have it; what is in it stays. */
  release(): Promise<void>;
}

const VERSION = /^[1-9]\d{0,8}$/u;
const MAX_VERSION = 999_999_999;
/** Left free on the disk. */
const SPARE_BYTES = 64 * 1024 * 1024;
const LOCK = "lock";

/**
 * Opens the staging directory for `identity`: origin, revision and variant.
 *
 * @throws CommandError where another process is at it.
 */
export async function openStaging(
  repository: string,
  id: string,
  identity: readonly string[],
): Promise<Staging> {
  const name = createHash("sha256").update(JSON.stringify(identity)).digest("hex").slice(0, 16);
  // The dot hides it from nodes, which read the repository when they start.
  const root = join(repository, `.adding-${id}-${name}`);
  const [tree, parts] = [join(root, "tree"), join(root, "parts")];
  await onDisk(root, async () => {
    await mkdir(tree, { recursive: true });
    await mkdir(parts, { recursive: true });
  });
  await takeLock(join(root, LOCK));
  return {
    tree,
    root,
    async place(to) {
      const whole = join(tree, to);
      await onDisk(whole, () => mkdir(dirname(whole), { recursive: true }));
      const part = join(parts, encodeURIComponent(to));
      return { whole, part: `${part}.part`, etag: `${part}.etag` };
    },
    release: async () => await onDisk(root, () => rm(join(root, LOCK), { force: true })),
  };
}

/** Removes what an earlier run left in the tree that does not belong to the model. */
export async function removeSurplus(tree: string, wanted: ReadonlySet<string>): Promise<void> {
  await onDisk(tree, async () => {
    for (const entry of await readdir(tree, { withFileTypes: true, recursive: true })) {
      const path = join(entry.parentPath, entry.name);
      if (!entry.isDirectory() && !wanted.has(path)) await rm(path);
    }
  });
}

/** @throws CommandError where a model of `bytes` does not fit on the disk beside what is there of it. */
export async function requireRoom({ root }: Staging, bytes: number): Promise<void> {
  const { bavail, bsize } = await onDisk(root, () => statfs(root));
  const [free, missing] = [bavail * bsize, bytes - (await bytesBelow(root))];
  if (missing <= 0 || missing + SPARE_BYTES <= free) return;
  throw new CommandError(
    `${showBytes(missing)} of the model are missing, and ${showBytes(free)} are free in ${root}`,
    "make room, or name another place with --models DIR",
  );
}

async function bytesBelow(root: string): Promise<number> {
  return await onDisk(root, async () => {
    let bytes = 0;
    for (const entry of await readdir(root, { withFileTypes: true, recursive: true })) {
      if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
    }
    return bytes;
  });
}

/** A model in its place. */
export interface PlacedModel {
  readonly model: HashedModel;
  /** Whether it was there already, as the same files. */
  readonly present: boolean;
}

/** Moves the finished tree to the model's next version, unless a version has the same digest. */
export async function placeModel(
  repository: string,
  id: string,
  staging: Staging,
): Promise<PlacedModel> {
  const directory = join(repository, id);
  await onDisk(directory, () => mkdir(directory, { recursive: true }));
  const made = await hashModel(staging.tree, id, "1");
  const versions = await versionsOf(directory);
  for (const version of versions) {
    // One that cannot be hashed is no equal; the node will say what is wrong with it.
    const other = await hashModel(join(directory, version), id, version).catch(() => null);
    if (other === null || !equalBytes(other.digest, made.digest)) continue;
    await onDisk(staging.root, () => rm(staging.root, { recursive: true }));
    return { model: other, present: true };
  }
  for (let next = Number(versions.at(-1) ?? "0") + 1; next <= MAX_VERSION; next++) {
    if (!(await moved(staging.tree, join(directory, String(next))))) continue;
    await onDisk(staging.root, () => rm(staging.root, { recursive: true }));
    return { model: { ...made, version: String(next) }, present: false };
  }
  throw new CommandError(`${directory} has no number left for another version`);
}

async function versionsOf(directory: string): Promise<readonly string[]> {
  const entries = await onDisk(directory, () => readdir(directory));
  return entries
    .filter((name) => VERSION.test(name))
    .toSorted((left, right) => Number(left) - Number(right));
}

/** False where somebody else has just taken the place. */
async function moved(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOTDIR") return false;
    throw new CommandError(`cannot put the model into ${to}: ${code}`);
  }
}

/** One process at a time; a lock whose process is gone is nobody's. */
async function takeLock(path: string): Promise<void> {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      await writeFile(path, String(process.pid), { flag: "wx" });
      return;
    } catch (error) {
      if (systemCode(error) !== "EEXIST") {
        throw new CommandError(`cannot write ${path}: ${systemCode(error)}`);
      }
    }
    const owner = Number(await readFile(path, "utf8").catch(() => ""));
    if (isAlive(owner)) {
      throw new CommandError(
        `process ${owner} is adding this model`,
        `wait for it; if it is no such process, remove ${path}`,
      );
    }
    await onDisk(path, () => rm(path, { force: true }));
  }
  throw new CommandError(`another process took ${path}`);
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === "EPERM";
  }
}
