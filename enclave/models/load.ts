import type { Awaitable, ModelRef } from "@countersign/attestation/attester";
import { type Envelope, type Provisioning, sealedBytes } from "@countersign/protocol";
import { errorCode } from "../answers.ts";
import type { Clock } from "../clock.ts";
import { type Engine, type EngineOptions, startEngine } from "../engine/engine.ts";
import type { KeyRelease } from "../keys/release.ts";
import type { Log } from "../log.ts";
import { isEmbedding } from "../text/embedding-config.ts";
import { loadEmbeddingModel } from "../text/embedding-model.ts";
import { readExportFiles } from "../text/export-files.ts";
import type { EmbeddingModel, TextModel } from "../text/model.ts";
import { loadTextModel } from "../text/text-model.ts";
import { type FileBytes, readModelFile, wipeFiles } from "./file.ts";
import {
  type ModelMetadata,
  NO_METADATA,
  NO_TEXT_METADATA,
  parseMetadata,
  parseTextMetadata,
} from "./metadata.ts";
import { neededBytes, requireMemory } from "./memory.ts";
import {
  GRAPH_PATH,
  METADATA_PATH,
  type NamedModel,
  readNamed,
  requireDistinct,
  sizeOf,
} from "./named.ts";
import { type ServedModel, type ServedModels, serveModels } from "./served.ts";

/** Streams one file of a model from the host, which may send anything: of a sealed version, sealed. */
export type FetchModelFile = (
  id: string,
  version: string,
  path: string,
  size: number,
) => AsyncIterable<Uint8Array>;

export interface LoadOptions extends EngineOptions {
  readonly log: Log;
  readonly clock: Clock;
  /** Where the data keys of sealed versions come from. */
  readonly keys: KeyRelease;
  /** Bytes that this process may still take, when asked. */
  readonly availableBytes: () => number;
}

type AnyModel = ServedModel | TextModel | EmbeddingModel;

/**
 * Fetches, opens, verifies and loads every provisioned model; none is served unless all are.
 *
 * @throws {@link EnclaveError} `model/digest`, `model/manifest`, `model/version`, `model/size`,
 * `boot/memory`, `key/…`, `model/sealed`, `model/hash`, `model/metadata`, `model/external-data`,
 * `model/unsupported`, `model/load`, `model/config`, `model/tokenizer`, `model/template`,
 * `model/cache`, `model/memory`, `engine/failed`; ProtocolError `manifest/…`, `seal/envelope`,
 * `key-services/none`; and whatever `fetchModelFile` throws.
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
  const dataKeys = new Map<NamedModel, Uint8Array>();
  let engine: Engine | null = null;
  try {
    // 2. All keys, before the first file: one that is refused costs no gigabytes.
    for (const model of named) {
      const { envelope } = model;
      if (envelope === null) continue;
      const release = (): Promise<Uint8Array> => releaseKey(model, envelope, options);
      dataKeys.set(model, await orRefused(model, log, release));
    }
    // 3. It comes.
    const started = await startEngine(engineOptions(options));
    engine = started;
    const models: AnyModel[] = [];
    for (const model of named) {
      const files = (): Promise<ModelFiles> =>
        readFiles(model, dataKeys.get(model) ?? null, fetchModelFile);
      models.push(await orRefused(model, log, () => loadModel(started, model, files, log)));
    }
    return serveModels(started, models, provisioning.limits.maxRequestBytes);
  } catch (error) {
    await engine?.close();
    throw error;
  } finally {
    for (const key of dataKeys.values()) key.fill(0);
  }
}

/** These and no more: the engine keeps them, and would keep what keys are asked for with. */
function engineOptions(options: LoadOptions): EngineOptions {
  const { intraOpThreads, queueLength, inferenceTimeoutMs, cacheBytes, maxSequences } = options;
  return { intraOpThreads, queueLength, inferenceTimeoutMs, cacheBytes, maxSequences };
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

/** @returns the data key of `model`, 32 bytes, for the caller to overwrite. */
async function releaseKey(
  { id, version, digest }: NamedModel,
  { parsed, bytes }: { readonly parsed: Envelope; readonly bytes: Uint8Array },
  { keys, clock, log }: LoadOptions,
): Promise<Uint8Array> {
  const askedMs = clock.monotonicMs();
  const key = await keys.release(parsed, bytes, digest);
  const ms = Math.round(clock.monotonicMs() - askedMs);
  log("key-released", { id, version, kind: parsed.kind, ms });
  return key;
}

/** By path, each the one that the manifest names, to the byte. */
type ModelFiles = ReadonlyMap<string, FileBytes>;

/** @param key - of a sealed version, null for one in the clear. It is overwritten. */
async function readFiles(
  { id, version, digest, entries }: NamedModel,
  key: Uint8Array | null,
  fetchModelFile: FetchModelFile,
): Promise<ModelFiles> {
  const files = new Map<string, FileBytes>();
  try {
    for (const [index, entry] of entries.entries()) {
      const { path, size } = entry;
      const sealed = key === null ? null : { key, modelDigest: digest, index, size, path };
      const sentBytes = sealed === null ? size : sealedBytes(size);
      const chunks = fetchModelFile(id, version, path, sentBytes);
      files.set(path, await readModelFile(entry, sealed, chunks));
    }
    return files;
  } catch (error) {
    wipeFiles(files.values());
    throw error;
  } finally {
    key?.fill(0);
  }
}

async function loadModel(
  engine: Engine,
  model: NamedModel,
  read: () => Promise<ModelFiles>,
  log: Log,
): Promise<AnyModel> {
  const { id, version, entries } = model;
  // 1. What the manifest names, and nothing else.
  const files = await read();
  // 2. ONNX Runtime opens the buffers that were hashed. They move to its thread; nobody else has them.
  const ref: ModelRef = { id, version, digest: model.digest.slice() };
  try {
    const loaded =
      model.graph === GRAPH_PATH
        ? await openTensorModel(engine, files, ref)
        : await openExport(engine, files, ref);
    const bytes = entries.reduce((sum, entry) => sum + entry.size, 0);
    log("model-loaded", { id, version, bytes });
    return loaded;
  } catch (error) {
    wipeFiles(files.values());
    throw error;
  }
}

/** A model.onnx whose inputs and outputs are tensors. */
async function openTensorModel(
  engine: Engine,
  files: ModelFiles,
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
  files: ModelFiles,
  ref: ModelRef,
): Promise<TextModel | EmbeddingModel> {
  const metadataFile = files.get(METADATA_PATH) ?? null;
  const metadata = metadataFile === null ? NO_TEXT_METADATA : parseTextMetadata(metadataFile);
  const parsed = readExportFiles(files);
  return isEmbedding(parsed, metadata)
    ? await loadEmbeddingModel(engine, parsed, metadata, ref)
    : await loadTextModel(engine, parsed, ref);
}
