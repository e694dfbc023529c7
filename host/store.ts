/**
 * The model repository on disk, in the layout of Triton and KServe: DIR/<id>/<version>/….
 *
 * Everything below a version's directory is in its manifest, so nothing may be there that the
 * operator does not see: no links, no hidden files, no devices. Plain files above (a README, the
 * script that made a model) belong to no model and are left alone.
 */
import { createHash } from "node:crypto";
import type { Dirent } from "node:fs";
import { join } from "node:path";
import {
  encodeManifest,
  type ManifestEntry,
  MAX_MODELS,
  ProtocolError,
  SEAL_PATH,
  SEALED_SUFFIX,
} from "@countersign/protocol";
import { HostError, systemCode } from "./errors.ts";
import { HASH_CHUNK_BYTES } from "./limits.ts";
import { readSealedVersion, sealAmong, type StoredEnvelope } from "./sealed-version.ts";
import {
  changed,
  layout,
  listSorted,
  openModelFile,
  type StoredFile,
  unreadable,
  versionFiles,
} from "./version-files.ts";

/** One version of a model, with its manifest. */
export interface StoredModel {
  readonly id: string;
  readonly version: string;
  readonly manifest: Uint8Array;
  /** SHA-256 of the manifest's bytes: the same whether sealed or not. */
  readonly digest: Uint8Array;
  /** Of a sealed version: how an enclave gets its key. Null where the files lie in clear. */
  readonly envelope: StoredEnvelope | null;
  readonly files: readonly StoredFile[];
}

export interface ModelStore {
  /** Sorted by id, then by version as a number. */
  readonly models: readonly StoredModel[];
  /** Directories that hold no version, so that the operator can see they were passed over. */
  readonly skipped: readonly string[];
}

const MODEL_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/u;
const VERSION = /^[1-9]\d{0,8}$/u;
const GRAPH = "model.onnx";
/** A Hugging Face export has its graph here, and these files beside the folder. */
const EXPORT_GRAPH = /^onnx\/[^/]+\.onnx$/u;
const EXPORT_FILES = ["config.json", "tokenizer.json"];
const LAYOUT =
  `want DIR/<id>/<version>/${GRAPH}, for example models/digits/1/${GRAPH}, ` +
  "or a Hugging Face export there: config.json, tokenizer.json, onnx/model.onnx";

/**
 * Reads and hashes every version below `directory`.
 *
 * @throws {@link HostError} `models/missing`, `models/empty`, `models/layout`, `models/unreadable`.
 */
export async function scanModels(directory: string): Promise<ModelStore> {
  const models: StoredModel[] = [];
  const skipped: string[] = [];
  for (const entry of await listRoot(directory)) {
    const path = join(directory, entry.name);
    const versions = await listVersions(path, entry);
    if (versions === null) continue;
    if (versions.length === 0) {
      skipped.push(path);
      continue;
    }
    if (!MODEL_ID.test(entry.name)) {
      throw layout(
        path,
        "is no model's name: want 1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first",
      );
    }
    for (const version of versions) {
      if (models.length === MAX_MODELS)
        throw layout(directory, `holds over ${MAX_MODELS} versions`);
      models.push(await readVersion(entry.name, version, join(path, version)));
    }
  }
  if (models.length === 0) {
    throw new HostError("models/empty", `${directory} holds no model: ${LAYOUT}`);
  }
  return { models, skipped };
}

async function listRoot(directory: string): Promise<readonly Dirent[]> {
  try {
    return await listSorted(directory);
  } catch (error) {
    const code = systemCode(error);
    if (code !== "ENOENT" && code !== "ENOTDIR") throw unreadable(directory, error);
    throw new HostError(
      "models/missing",
      `${directory} is not a directory: name the model repository with --models DIR; ${LAYOUT}`,
      { cause: error },
    );
  }
}

/** The version directories of a model, rising, or null where `entry` is a plain file or hidden. */
async function listVersions(path: string, entry: Dirent): Promise<string[] | null> {
  if (entry.isSymbolicLink())
    throw layout(path, "is a symbolic link: put the directory itself here");
  if (!entry.isDirectory() || entry.name.startsWith(".")) return null;
  const versions: string[] = [];
  for (const child of await listSorted(path).catch((error: unknown) => {
    throw unreadable(path, error);
  })) {
    const childPath = join(path, child.name);
    if (child.isSymbolicLink()) throw layout(childPath, "is a symbolic link");
    if (!child.isDirectory() || !/^\d+$/u.test(child.name)) continue;
    if (!VERSION.test(child.name)) {
      throw layout(childPath, "is not a version: want a number from 1, without leading zeros");
    }
    versions.push(child.name);
  }
  return versions.toSorted((a, b) => Number(a) - Number(b));
}

async function readVersion(id: string, version: string, directory: string): Promise<StoredModel> {
  const files = await versionFiles(directory);
  if (files.length === 0) {
    throw layout(directory, `is empty: put ${GRAPH} there, or remove the directory`);
  }
  const seal = sealAmong(files);
  if (seal !== null) {
    const sealed = await readSealedVersion(directory, seal, files);
    requireGraph(directory, sealed.files);
    return { id, version, ...sealed };
  }
  requireGraph(directory, files);
  const entries: ManifestEntry[] = [];
  for (const stored of files) {
    const sha256 = await hashFile(stored);
    entries.push({ path: stored.path, size: stored.size, sha256 });
  }
  const manifest = encodeEntries(directory, entries);
  const digest = createHash("sha256").update(manifest).digest();
  return { id, version, manifest, digest: new Uint8Array(digest), envelope: null, files };
}

/** A bare graph, or an export with one graph: the enclave would refuse anything else. */
function requireGraph(directory: string, files: readonly StoredFile[]): void {
  const paths = files.map(({ path }) => path);
  const graphs = paths.filter((path) => path === GRAPH || EXPORT_GRAPH.test(path));
  const [graph, another] = graphs;
  if (graph === undefined) {
    if (paths.some((path) => path.endsWith(SEALED_SUFFIX))) {
      throw layout(directory, `has sealed files and no ${SEAL_PATH}: they cannot be opened`);
    }
    throw layout(
      directory,
      `has no ${GRAPH} and no onnx/*.onnx: put it there, or remove the directory`,
    );
  }
  if (another !== undefined) {
    throw layout(directory, `has several graphs, ${graphs.join(", ")}: keep one of them`);
  }
  if (graph === GRAPH) return;
  const missing = EXPORT_FILES.filter((path) => !paths.includes(path));
  if (missing.length > 0) throw layout(directory, `has ${graph} but no ${missing.join(", no ")}`);
}

function encodeEntries(directory: string, entries: readonly ManifestEntry[]): Uint8Array {
  try {
    return encodeManifest(entries);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new HostError("models/layout", `${directory}: ${error.message}`, { cause: error });
  }
}

/** SHA-256 of the file, read once in chunks; its size must stay what the directory said. */
async function hashFile(stored: StoredFile): Promise<Uint8Array> {
  const hash = createHash("sha256");
  const chunk = Buffer.allocUnsafe(HASH_CHUNK_BYTES);
  const handle = await openModelFile(stored);
  let length = 0;
  try {
    for (;;) {
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
      hash.update(chunk.subarray(0, bytesRead));
    }
  } catch (error) {
    throw unreadable(stored.file, error);
  } finally {
    await handle.close();
  }
  if (length === stored.size) return new Uint8Array(hash.digest());
  throw changed(stored);
}
