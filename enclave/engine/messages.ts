import type { GenerationRequest } from "../text/generation.ts";
import type { Elements, TensorInfo } from "./datatypes.ts";
import type { DecoderConfig } from "./generation/decoder-config.ts";
import type { GenerationErrorCode, Outcome } from "./generation/outcome.ts";
import type { DecoderPlan } from "./generation/plan.ts";
import type { LoadRefusal } from "./refusal.ts";

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
    }
  | {
      readonly kind: "load-decoder";
      readonly id: number;
      readonly files: SessionFiles;
      readonly config: DecoderConfig;
      readonly limits: DecoderLimits;
    }
  | {
      readonly kind: "generate";
      readonly id: number;
      /** Index of the decoder, in the order of loading. */
      readonly decoder: number;
      readonly request: GenerationRequest;
    }
  /** Ends a choice, or all of them where it is null. */
  | { readonly kind: "stop"; readonly id: number; readonly choice: number | null };

/** What decoders share. */
export interface DecoderLimits {
  readonly intraOpThreads: number;
  readonly cacheBytes: number;
  readonly maxSequences: number;
}

export type FromWorker =
  | { readonly kind: "ready"; readonly version: string }
  | {
      readonly kind: "loaded";
      readonly id: number;
      readonly session: number;
      readonly inputs: readonly TensorInfo[];
      readonly outputs: readonly TensorInfo[];
    }
  | ({ readonly kind: "refused"; readonly id: number } & LoadRefusal)
  | { readonly kind: "done"; readonly id: number; readonly tensors: readonly WireTensor[] }
  /** ONNX Runtime refused the run. Its message may quote input, so it stays in the worker. */
  | { readonly kind: "failed"; readonly id: number }
  | {
      readonly kind: "decoder-loaded";
      readonly id: number;
      readonly decoder: number;
      readonly plan: DecoderPlan;
    }
  /** A generation has begun, or is refused. */
  | { readonly kind: "accepted"; readonly id: number }
  | { readonly kind: "declined"; readonly id: number; readonly code: GenerationErrorCode }
  | { readonly kind: "outcomes"; readonly outcomes: readonly Outcome[] };
