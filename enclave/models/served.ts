import type { ModelRef } from "@countersign/attestation/attester";
import type { InputInfo, Tensor, TensorInfo } from "../engine/datatypes.ts";
import type { Engine, Session } from "../engine/engine.ts";
import type { Feeds } from "../engine/feeds.ts";
import type { EnclaveError } from "../errors.ts";
import type { EmbeddingModel, TextModel } from "../text/model.ts";
import type { ModelMetadata } from "./metadata.ts";

/** One verified and loaded model of tensors. */
export interface ServedModel {
  readonly ref: ModelRef;
  readonly session: Session;
  readonly inputs: readonly InputInfo[];
  readonly outputs: readonly TensorInfo[];
  readonly metadata: ModelMetadata;
}

/** Every model of this enclave. What is in here was hashed, matched its digest, and is loaded. */
export interface ServedModels {
  /** In the order of provisioning. */
  readonly refs: readonly ModelRef[];
  readonly engine: { readonly name: "onnxruntime-node"; readonly version: string };
  /** The largest request body, and the most bytes that a request's tensors may take together. */
  readonly maxRequestBytes: number;
  /** A model of tensors. @param version - null for the newest of any kind. */
  lookup(id: string, version: string | null): ServedModel | null;
  /** A model of text. @param version - null for the newest of any kind. */
  text(id: string, version: string | null): TextModel | EmbeddingModel | null;
  /** In the order of provisioning. */
  texts(): readonly (TextModel | EmbeddingModel)[];
  /** Of any kind, ascending. */
  versions(id: string): readonly string[];
  /** See {@link Engine.run}. */
  infer(
    model: ServedModel,
    feeds: Feeds,
    outputs: readonly number[],
    signal: AbortSignal,
  ): Promise<readonly Tensor[]>;
  queue(): { readonly depth: number; readonly limit: number };
  /** Whether runs are still accepted; false for ever once {@link failure} resolved. */
  ready(): boolean;
  /** Resolves with the reason when the engine can run nothing any more: the enclave must then end. */
  readonly failure: Promise<EnclaveError>;
  close(): Promise<void>;
}

type AnyModel = ServedModel | TextModel | EmbeddingModel;

function isText(model: AnyModel): model is TextModel | EmbeddingModel {
  return "kind" in model;
}

/** Joins loaded models and their engine. */
export function serveModels(
  engine: Engine,
  models: readonly AnyModel[],
  maxRequestBytes: number,
): ServedModels {
  const byId = new Map<string, AnyModel[]>();
  for (const model of models) byId.set(model.ref.id, [...(byId.get(model.ref.id) ?? []), model]);
  for (const versions of byId.values()) {
    versions.sort((a, b) => Number(a.ref.version) - Number(b.ref.version));
  }
  const find = (id: string, version: string | null): AnyModel | null => {
    const versions = byId.get(id) ?? [];
    if (version === null) return versions.at(-1) ?? null;
    return versions.find((model) => model.ref.version === version) ?? null;
  };
  return {
    refs: models.map((model) => model.ref),
    engine: { name: "onnxruntime-node", version: engine.version },
    maxRequestBytes,
    lookup(id, version) {
      const model = find(id, version);
      return model === null || isText(model) ? null : model;
    },
    text(id, version) {
      const model = find(id, version);
      return model !== null && isText(model) ? model : null;
    },
    texts: () => models.filter(isText),
    versions: (id) => (byId.get(id) ?? []).map((model) => model.ref.version),
    infer: (model, feeds, outputs, signal) => engine.run(model.session, feeds, outputs, signal),
    queue: () => engine.queue(),
    ready: () => engine.open,
    failure: engine.failure,
    close: () => engine.close(),
  };
}
