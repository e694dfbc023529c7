/** What a model is by its manifest, before a byte of it is fetched. */
import { equalBytes } from "@countersign/attestation/attester";
import {
  type Envelope,
  type ManifestEntry,
  parseEnvelope,
  parseManifest,
  type ProvisionedModel,
} from "@countersign/protocol";
import { createHash } from "node:crypto";
import { EnclaveError } from "../errors.ts";
import { isExport, requireGraphPath } from "../text/export-files.ts";
import type { ModelSize } from "./memory.ts";

/** The graph of a model of tensors; an export's lies elsewhere. A protobuf message, so less than 2 GiB. */
export const GRAPH_PATH = "model.onnx";
const MAX_GRAPH_BYTES = 2 ** 31 - 1;
/** Optional: how people are to read the model's inputs and outputs. */
export const METADATA_PATH = "metadata.json";
const MAX_METADATA_BYTES = 256 * 1024;
/** Any other file beside the graph. All files of a model are in memory at once. */
const MAX_FILE_BYTES = 2 ** 34;
/** A version directory's name: a positive decimal number, so that one version is the newest. */
const VERSION = /^[1-9][0-9]{0,8}$/u;

/** A model whose manifest is the one whose digest the host configured, and PCR16 will commit to. */
export interface NamedModel {
  readonly id: string;
  readonly version: string;
  readonly digest: Uint8Array;
  readonly entries: readonly ManifestEntry[];
  /** Path of its graph. */
  readonly graph: string;
  /** Of a sealed version. */
  readonly envelope: { readonly parsed: Envelope; readonly bytes: Uint8Array } | null;
}

/**
 * @throws {@link EnclaveError} `model/digest`, `model/manifest`, `model/size`; ProtocolError
 * `manifest/…`, `seal/envelope`.
 */
export function readNamed({
  id,
  version,
  digest,
  manifest,
  envelope,
}: ProvisionedModel): NamedModel {
  const found = createHash("sha256").update(manifest).digest();
  if (!equalBytes(found, digest)) {
    throw new EnclaveError("model/digest", `${id}/${version}: the manifest has another digest`);
  }
  const entries = parseManifest(manifest);
  return {
    id,
    version,
    digest,
    entries,
    graph: requireFiles(id, version, entries),
    envelope: envelope === null ? null : { parsed: parseEnvelope(envelope), bytes: envelope },
  };
}

export function sizeOf({ entries, graph }: NamedModel): ModelSize {
  const bytes = entries.reduce((sum, { size }) => sum + size, 0);
  const graphBytes = entries.find(({ path }) => path === graph)?.size ?? 0;
  return {
    kind: graph === GRAPH_PATH ? "tensors" : "text",
    graphBytes,
    otherBytes: bytes - graphBytes,
  };
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

/** @throws {@link EnclaveError} `model/version`, `model/manifest`. */
export function requireDistinct(models: readonly ProvisionedModel[]): void {
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
