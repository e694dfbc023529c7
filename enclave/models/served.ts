import type { ModelRef } from "@countersign/attestation/attester";
import type { InputInfo, Tensor, TensorInfo } from "../engine/datatypes.ts";
import type { Engine, Session } from "../engine/engine.ts";
import type { Feeds } from "../engine/feeds.ts";
import type { EnclaveError } from "../errors.ts";
import type { ModelMetadata } from "./metadata.ts";

/** One verified and loaded model. */
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
  /** @param version - null for the newest. */
  lookup(id: string, version: string | null): ServedModel | null;
  /** Ascending. */
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

/** Joins loaded models and their engine. */
export function serveModels(
  engine: Engine,
  models: readonly ServedModel[],
  maxRequestBytes: number,
): ServedModels {
  const byId = new Map<string, ServedModel[]>();
  for (const model of models) byId.set(model.ref.id, [...(byId.get(model.ref.id) ?? []), model]);
  for (const versions of byId.values()) {
    versions.sort((a, b) => Number(a.ref.version) - Number(b.ref.version));
  }
  return {
    refs: models.map((model) => model.ref),
    engine: { name: "onnxruntime-node", version: engine.version },
    maxRequestBytes,
    lookup(id, version) {
      const versions = byId.get(id) ?? [];
      if (version === null) return versions.at(-1) ?? null;
      return versions.find((model) => model.ref.version === version) ?? null;
    },
    versions: (id) => (byId.get(id) ?? []).map((model) => model.ref.version),
    infer: (model, feeds, outputs, signal) => engine.run(model.session, feeds, outputs, signal),
    queue: () => engine.queue(),
    ready: () => engine.open,
    failure: engine.failure,
    close: () => engine.close(),
  };
}
