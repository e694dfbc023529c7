import { createHash } from "node:crypto";
import type { Dirent } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";

import {
  encodeManifest,
  type ManifestEntry,
  ProtocolError,
  SEAL_PATH,
} from "@countersign/protocol";

import { CommandError } from "./exit.ts";
import { systemCode } from "./files.ts";
import { withSealing } from "./sealing.ts";

/** One version of a model in a repository, hashed. */
export interface HashedModel {
  readonly id: string;
  readonly version: string;
  /** SHA-256 of the manifest: what policies list and receipts name. */
  readonly digest: Uint8Array;
  readonly files: readonly ManifestEntry[];
}

const VERSION = /^[1-9]\d{0,8}$/u;
const READ_BYTES = 1024 * 1024;
const MAX_DEPTH = 8;
const LAYOUT =
  "a model repository is DIR/<name>/<version>/model.onnx, with versions 1, 2, …, " +
  "or a Hugging Face export there: config.json, tokenizer.json, onnx/model.onnx";

/** Every version of every model in a repository, by name and rising version. */
export async function hashRepository(directory: string): Promise<readonly HashedModel[]> {
  const models: HashedModel[] = [];
  for (const model of await list(directory)) {
    if (!model.isDirectory() || model.name.startsWith(".")) continue;
    const parent = join(directory, model.name);
    const versions = (await list(parent))
      .filter((entry) => entry.isDirectory() && VERSION.test(entry.name))
      .toSorted((a, b) => Number(a.name) - Number(b.name));
    for (const { name } of versions) {
      models.push(await hashModel(join(parent, name), model.name, name));
    }
  }
  if (models.length === 0) {
    throw new CommandError(`there are no models in ${directory}`, LAYOUT);
  }
  return models;
}

/**
 * The manifest of one version directory, and its digest.
 *
 * Of a sealed version, both are the seal's word: the plaintext cannot be hashed here, and only an enclave
 * that opens it sees whether the word is true. @throws CommandError
 */
export async function hashModel(
  directory: string,
  id: string,
  version: string,
): Promise<HashedModel> {
  if ((await list(directory)).some(({ name }) => name === SEAL_PATH)) {
    return await withSealing(async ({ requireSealed }) => {
      const { digest, entries } = await requireSealed(directory);
      return { id, version, digest, files: entries };
    });
  }
  const files: ManifestEntry[] = [];
  await walk(directory, "", 0, files);
  if (files.length === 0) throw new CommandError(`${directory} is empty`, LAYOUT);
  try {
    const manifest = encodeManifest(files);
    const digest = new Uint8Array(createHash("sha256").update(manifest).digest());
    return { id, version, digest, files };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new CommandError(`${directory}: ${error.message}`);
  }
}

async function walk(
  root: string,
  below: string,
  depth: number,
  files: ManifestEntry[],
): Promise<void> {
  if (depth >= MAX_DEPTH) throw new CommandError(`${root} is over ${MAX_DEPTH} directories deep`);
  for (const entry of await list(join(root, below))) {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    if (entry.name.startsWith(".")) {
      throw new CommandError(
        `${join(root, path)} is hidden`,
        "remove it: it would change the model",
      );
    }
    if (entry.isDirectory()) {
      await walk(root, path, depth + 1, files);
    } else if (entry.isFile()) {
      files.push({ path, ...(await hashFile(join(root, path))) });
    } else {
      throw new CommandError(`${join(root, path)} is no plain file`, "put the file itself there");
    }
  }
}

async function hashFile(
  path: string,
): Promise<{ readonly size: number; readonly sha256: Uint8Array }> {
  const hash = createHash("sha256");
  const chunk = new Uint8Array(READ_BYTES);
  const handle = await open(path).catch((error: unknown) => {
    throw new CommandError(`cannot read ${path}: ${systemCode(error)}`);
  });
  let size = 0;
  try {
    for (;;) {
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) break;
      size += bytesRead;
      hash.update(chunk.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
  return { size, sha256: new Uint8Array(hash.digest()) };
}

async function list(directory: string): Promise<readonly Dirent[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    const code = systemCode(error);
    const reason = code === "ENOENT" ? "there is no such directory" : code;
    throw new CommandError(`cannot read models in ${directory}: ${reason}`, LAYOUT);
  }
}
