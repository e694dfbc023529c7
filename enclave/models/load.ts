import { createHash } from "node:crypto";
import { type Awaitable, equalBytes, type ModelRef } from "@countersign/attestation/attester";
import { type ManifestEntry, parseManifest, type Provisioning } from "@countersign/protocol";
import { errorCode } from "../answers.ts";
import { type Engine, startEngine } from "../engine/engine.ts";
import { EnclaveError } from "../errors.ts";
import type { Log } from "../log.ts";
import { isEmbedding } from "../text/embedding-config.ts";
import { loadEmbeddingModel } from "../text/embedding-model.ts";
import { isExport, readExportFiles, requireGraphPath } from "../text/export-files.ts";
import type { EmbeddingModel, TextModel } from "../text/model.ts";
import { loadTextModel } from "../text/text-model.ts";
import {
  type ModelMetadata,
  NO_METADATA,
  NO_TEXT_METADATA,
  parseMetadata,
  parseTextMetadata,
} from "./metadata.ts";
import { type ModelSize, neededBytes, requireMemory } from "./memory.ts";
import { type ServedModel, type ServedModels, serveModels } from "./served.ts";

/** The graph of a model of tensors; an export's lies elsewhere. A protobuf message, so less than 2 GiB. */
const GRAPH_PATH = "model.onnx";
const MAX_GRAPH_BYTES = 2 ** 31 - 1;
/** Optional: how people are to read the model's inputs and outputs. */
const METADATA_PATH = "metadata.json";
const MAX_METADATA_BYTES = 256 * 1024;
/** Any other file beside the graph. All files of a model are in memory at once. */
const MAX_FILE_BYTES = 2 ** 34;
/** A version directory's name: a positive decimal number, so that one version is the newest. */
const VERSION = /^[1-9][0-9]{0,8}$/u;

/** Streams one file of a model from the host, which may send anything. */
export type FetchModelFile = (
  id: string,
  version: string,
  path: string,
  size: number,
) => AsyncIterable<Uint8Array>;

export interface LoadOptions {
  readonly log: Log;
  readonly intraOpThreads: number;
  readonly queueLength: number;
  readonly inferenceTimeoutMs: number;
  readonly cacheBytes: number;
  readonly maxSequences: number;
  /** Bytes that this process may still take, when asked. */
  readonly availableBytes: () => number;
}

type ProvisionedModel = Provisioning["models"][number];
type Bytes = Uint8Array<ArrayBuffer>;
type AnyModel = ServedModel | TextModel | EmbeddingModel;

/**
 * Fetches, verifies and loads every provisioned model; none is served unless all are.
 *
 * @throws {@link EnclaveError} `model/digest`, `model/manifest`, `model/version`, `model/size`,
 * `boot/memory`, `model/hash`, `model/metadata`, `model/external-data`, `model/unsupported`,
 * `model/load`, `model/config`, `model/tokenizer`, `model/template`, `model/cache`, `model/memory`,
 * `engine/failed`; ProtocolError `manifest/…`; and whatever `fetchModelFile` throws.
 */
export async function loadModels(
  provisioning: Provisioning,
  fetchModelFile: FetchModelFile,
  options: LoadOptions,
): Promise<ServedModels> {
  const { log, cacheBytes } = options;
  requireDistinct(provisioning.models);
  // 1. What is to come is known, to the byte, and there is room for it.
  const named: NamedModel[] = [];
  for (const model of provisioning.models) {
    named.push(await orRefused(model, log, () => readNamed(model)));
  }
  requireMemory(neededBytes(named.map(sizeOf), cacheBytes), options.availableBytes(), log);
  // 2. It comes.
  const engine = await startEngine(options);
  try {
    const models: AnyModel[] = [];
    for (const model of named) {
      models.push(await orRefused(model, log, () => loadModel(engine, model, fetchModelFile, log)));
    }
    return serveModels(engine, models, provisioning.limits.maxRequestBytes);
  } catch (error) {
    await engine.close();
    throw error;
  }
}

/** What `load` gives; where it fails, a line in the log says which model it was. */
async function orRefused<T>(
  { id, version }: { readonly id: string; readonly version: string },
  log: Log,
  load: () => Awaitable<T>,
): Promise<T> {
  try {
    return await load();
  } catch (error) {
    log("model-refused", { id, version, code: errorCode(error) });
    throw error;
  }
}

/** A model whose manifest is the one whose digest the host configured, and PCR16 will commit to. */
interface NamedModel {
  readonly id: string;
  readonly version: string;
  readonly digest: Uint8Array;
  readonly entries: readonly ManifestEntry[];
  /** Path of its graph. */
  readonly graph: string;
}

function readNamed({ id, version, digest, manifest }: ProvisionedModel): NamedModel {
  const found = createHash("sha256").update(manifest).digest();
  if (!equalBytes(found, digest)) {
    throw new EnclaveError("model/digest", `${id}/${version}: the manifest has another digest`);
  }
  const entries = parseManifest(manifest);
  return { id, version, digest, entries, graph: requireFiles(id, version, entries) };
}

function sizeOf({ entries, graph }: NamedModel): ModelSize {
  const bytes = entries.reduce((sum, { size }) => sum + size, 0);
  const graphBytes = entries.find(({ path }) => path === graph)?.size ?? 0;
  return {
    kind: graph === GRAPH_PATH ? "tensors" : "text",
    graphBytes,
    otherBytes: bytes - graphBytes,
  };
}

async function loadModel(
  engine: Engine,
  model: NamedModel,
  fetchModelFile: FetchModelFile,
  log: Log,
): Promise<AnyModel> {
  const { id, version, entries } = model;
  // 1. Each file is the one that the manifest names, to the byte.
  const files = new Map<string, Bytes>();
  for (const entry of entries) {
    const chunks = fetchModelFile(id, version, entry.path, entry.size);
    files.set(entry.path, await fetchFile(entry, chunks));
  }
  // 2. ONNX Runtime opens the buffers that were hashed. They move to its thread; nobody else has them.
  const ref: ModelRef = { id, version, digest: model.digest.slice() };
  const loaded =
    model.graph === GRAPH_PATH
      ? await openTensorModel(engine, files, ref)
      : await openExport(engine, files, ref);
  const bytes = entries.reduce((sum, entry) => sum + entry.size, 0);
  log("model-loaded", { id, version, bytes });
  return loaded;
}

/** A model.onnx whose inputs and outputs are tensors. */
async function openTensorModel(
  engine: Engine,
  files: ReadonlyMap<string, Bytes>,
  ref: ModelRef,
): Promise<ServedModel> {
  const graph = files.get(GRAPH_PATH);
  if (graph === undefined) throw new TypeError("the graph was required before");
  const metadataFile = files.get(METADATA_PATH) ?? null;
  const external = [...files]
    .filter(([path]) => path !== GRAPH_PATH && path !== METADATA_PATH)
    .map(([path, bytes]) => ({ path, bytes }));
  const session = await engine.load({ graph, external });
  // What metadata.json says goes with what the graph has.
  const metadata: ModelMetadata =
    metadataFile === null ? NO_METADATA : parseMetadata(metadataFile, session);
  const inputs = session.inputs.map((info) => ({
    ...info,
    allowEmpty: metadata.inputs.get(info.name)?.["allowEmpty"] === true,
  }));
  return { ref, session, inputs, outputs: session.outputs, metadata };
}

/** A Hugging Face export, which continues texts or turns them into vectors. */
async function openExport(
  engine: Engine,
  files: ReadonlyMap<string, Bytes>,
  ref: ModelRef,
): Promise<TextModel | EmbeddingModel> {
  const metadataFile = files.get(METADATA_PATH) ?? null;
  const metadata = metadataFile === null ? NO_TEXT_METADATA : parseTextMetadata(metadataFile);
  const parsed = readExportFiles(files);
  return isEmbedding(parsed, metadata)
    ? await loadEmbeddingModel(engine, parsed, metadata, ref)
    : await loadTextModel(engine, parsed, ref);
}

/** Reads one file into a buffer of its own and hashes what arrived there. */
async function fetchFile(entry: ManifestEntry, chunks: AsyncIterable<Uint8Array>): Promise<Bytes> {
  const bytes = new Uint8Array(entry.size);
  const hash = createHash("sha256");
  let length = 0;
  for await (const chunk of chunks) {
    if (length + chunk.length > bytes.length) {
      throw new EnclaveError("model/size", `${entry.path}: more than ${entry.size} bytes`);
    }
    bytes.set(chunk, length);
    hash.update(bytes.subarray(length, length + chunk.length));
    length += chunk.length;
  }
  if (length !== entry.size) {
    throw new EnclaveError("model/size", `${entry.path}: ${length} bytes, want ${entry.size}`);
  }
  if (!equalBytes(hash.digest(), entry.sha256)) {
    throw new EnclaveError("model/hash", `${entry.path}: not the file that the manifest names`);
  }
  return bytes;
}

/** The path of the graph, where the files are a model's and of its sizes. */
function requireFiles(id: string, version: string, entries: readonly ManifestEntry[]): string {
  const paths = entries.map(({ path }) => path);
  const tensors = paths.includes(GRAPH_PATH);
  if (tensors && isExport(paths)) {
    throw new EnclaveError(
      "model/manifest",
      `${id}/${version}: ${GRAPH_PATH} and an export in one`,
    );
  }
  if (!tensors && !isExport(paths)) {
    throw new EnclaveError("model/manifest", `${id}/${version}: no ${GRAPH_PATH}, no onnx/*.onnx`);
  }
  const graph = tensors ? GRAPH_PATH : requireGraphPath(paths);
  for (const { path, size } of entries) {
    const limit =
      path === graph
        ? MAX_GRAPH_BYTES
        : path === METADATA_PATH
          ? MAX_METADATA_BYTES
          : MAX_FILE_BYTES;
    if (size > limit) {
      throw new EnclaveError("model/size", `${id}/${version}: ${path} of ${size} bytes`);
    }
  }
  return graph;
}

function requireDistinct(models: readonly ProvisionedModel[]): void {
  const seen = new Set<string>();
  for (const { id, version } of models) {
    if (!VERSION.test(version)) {
      throw new EnclaveError("model/version", `${id}: a version is a positive decimal number`);
    }
    const key = JSON.stringify([id, version]);
    if (seen.has(key)) throw new EnclaveError("model/manifest", `${id}/${version} is named twice`);
    seen.add(key);
  }
}
