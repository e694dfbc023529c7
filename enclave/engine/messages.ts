import type { Elements, TensorInfo } from "./datatypes.ts";

/** What passes between the engine and its worker thread. Elements move; nothing is shared. */

export interface WireTensor {
  readonly shape: readonly number[];
  readonly elements: Elements;
}

/** A model's graph and the files that hold its external data, by their path in the manifest. */
export interface SessionFiles {
  readonly graph: Uint8Array<ArrayBuffer>;
  readonly external: readonly {
    readonly path: string;
    readonly bytes: Uint8Array<ArrayBuffer>;
  }[];
}

export type ToWorker =
  | {
      readonly kind: "load";
      readonly id: number;
      readonly files: SessionFiles;
      readonly intraOpThreads: number;
    }
  | {
      readonly kind: "run";
      readonly id: number;
      /** Index of the session, in the order of loading. */
      readonly session: number;
      readonly feeds: readonly WireTensor[];
      /** Indexes of the wanted outputs. */
      readonly outputs: readonly number[];
    };

export type FromWorker =
  | { readonly kind: "ready"; readonly version: string }
  | {
      readonly kind: "loaded";
      readonly id: number;
      readonly session: number;
      readonly inputs: readonly TensorInfo[];
      readonly outputs: readonly TensorInfo[];
    }
  | {
      readonly kind: "refused";
      readonly id: number;
      readonly code: "model/load" | "model/unsupported" | "model/external-data";
      /** ONNX Runtime's words about the model file; no request was there yet. */
      readonly reason: string;
    }
  | { readonly kind: "done"; readonly id: number; readonly tensors: readonly WireTensor[] }
  /** ONNX Runtime refused the run. Its message may quote input, so it stays in the worker. */
  | { readonly kind: "failed"; readonly id: number };
