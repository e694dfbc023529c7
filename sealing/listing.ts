/** What lies in one version's directory, and which versions a directory holds. */
import type { Dirent } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { MAX_MANIFEST_ENTRIES, SEAL_PATH } from "@countersign/protocol";
import { SealingError } from "./errors.ts";
import { onDisk } from "./files.ts";

/** One file of a version's directory. */
export interface ListedFile {
  /** Relative to the directory, with "/" between its parts. */
  readonly path: string;
  /** On this machine. */
  readonly file: string;
  readonly size: number;
}

/** One version's directory, and what it is called below the directory that was asked about. */
export interface FoundVersion {
  readonly directory: string;
  /** `<id>/<version>`, or "" where the directory asked about is the version itself. */
  readonly name: string;
  readonly sealed: boolean;
}

const MAX_DEPTH = 8;
const VERSION = /^[1-9]\d{0,8}$/u;
/** The file that makes a directory a version of a model: its graph alone, or that of an export. */
const GRAPH = /^(?:model|onnx\/[^/]+)\.onnx$/u;

/** Whether a model with these files is one that an enclave could load. */
export function hasGraph(paths: readonly string[]): boolean {
  return paths.some((path) => GRAPH.test(path));
}

/** Hears of what may not lie in a version, by its path; where it returns, that is passed over. */
export type OnForeign = (path: string, found: string) => void;

/**
 * Every file below `directory`, which may hold plain files and directories and nothing else.
 *
 * @throws {@link SealingError} `sealing/input`, and what `onForeign` throws.
 */
export async function listFiles(
  directory: string,
  onForeign: OnForeign,
): Promise<readonly ListedFile[]> {
  const files: ListedFile[] = [];
  await walk({ root: directory, files, onForeign }, []);
  return files;
}

/**
 * The versions in `directory`: itself, or every `<id>/<version>` below it.
 *
 * @throws {@link SealingError} `sealing/input` where there are none.
 */
export async function findVersions(directory: string): Promise<readonly FoundVersion[]> {
  const entries = await list(directory);
  if (await isVersion(directory, entries)) {
    return [{ directory, name: "", sealed: isSealed(entries) }];
  }
  const found: FoundVersion[] = [];
  for (const model of entries) {
    if (!model.isDirectory() || model.name.startsWith(".")) continue;
    const versions = (await list(join(directory, model.name)))
      .filter((entry) => entry.isDirectory() && VERSION.test(entry.name))
      .toSorted((a, b) => Number(a.name) - Number(b.name));
    for (const { name } of versions) {
      const path = join(directory, model.name, name);
      const sealed = isSealed(await list(path));
      found.push({ directory: path, name: `${model.name}/${name}`, sealed });
    }
  }
  if (found.length > 0) return found;
  throw new SealingError(
    "sealing/input",
    `${directory} is no version of a model and holds none: ` +
      "want <name>/<version>/model.onnx, or an export with onnx/….onnx, or a sealed version",
  );
}

/** @throws {@link SealingError} `sealing/input` where none of the versions in `directory` is sealed. */
export async function findSealed(directory: string): Promise<readonly FoundVersion[]> {
  const sealed = (await findVersions(directory)).filter((version) => version.sealed);
  if (sealed.length > 0) return sealed;
  throw new SealingError("sealing/input", `${directory} holds no sealed version`);
}

/** Whether the directory with these entries is a sealed version. */
function isSealed(entries: readonly Dirent[]): boolean {
  return entries.some(({ name }) => name === SEAL_PATH);
}

async function isVersion(directory: string, entries: readonly Dirent[]): Promise<boolean> {
  if (isSealed(entries) || hasGraph(entries.map(({ name }) => name))) return true;
  if (!entries.some((entry) => entry.name === "onnx" && entry.isDirectory())) return false;
  const graphs = await list(join(directory, "onnx"));
  return hasGraph(graphs.map(({ name }) => `onnx/${name}`));
}

/** One look at a version's directory. */
interface Walk {
  readonly root: string;
  readonly files: ListedFile[];
  readonly onForeign: OnForeign;
}

async function walk(into: Walk, parts: readonly string[]): Promise<void> {
  const { root, files, onForeign } = into;
  const directory = join(root, ...parts);
  if (parts.length >= MAX_DEPTH) throw refused(directory, `is over ${MAX_DEPTH} directories deep`);
  for (const entry of await list(directory)) {
    const inner = [...parts, entry.name];
    const path = inner.join("/");
    if (entry.name.startsWith(".")) {
      onForeign(path, "is hidden: remove it or rename it");
      continue;
    }
    if (entry.isDirectory()) {
      await walk(into, inner);
      continue;
    }
    if (!entry.isFile()) {
      onForeign(path, "is no plain file: put the file itself there");
      continue;
    }
    // A sealed version has its seal besides.
    if (files.length > MAX_MANIFEST_ENTRIES) {
      throw refused(root, `holds over ${MAX_MANIFEST_ENTRIES} files`);
    }
    const file = join(root, ...inner);
    const { size } = await onDisk(file, "sealing/input", async () => await lstat(file));
    files.push({ path, file, size });
  }
}

async function list(directory: string): Promise<readonly Dirent[]> {
  const entries = await onDisk(directory, "sealing/input", async () => {
    return await readdir(directory, { withFileTypes: true });
  });
  return entries.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function refused(path: string, found: string): SealingError {
  return new SealingError("sealing/input", `${path} ${found}`);
}
