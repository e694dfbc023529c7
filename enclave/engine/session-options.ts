import type { InferenceSession } from "onnxruntime-node";
import type { SessionFiles } from "./messages.ts";

/** A folder that can hold no file: ONNX Runtime then finds external data in memory, or not at all. */
const NO_FOLDER = "/dev/null";
/** onnxruntime: logging severity "fatal". Its warnings may name what is in a tensor. */
const LOG_FATAL = 4;

/** How every session is opened. */
export function sessionOptions(
  external: SessionFiles["external"],
  intraOpThreads: number,
): InferenceSession.SessionOptions {
  return {
    executionProviders: ["cpu"],
    executionMode: "sequential",
    graphOptimizationLevel: "all",
    intraOpNumThreads: intraOpThreads,
    interOpNumThreads: 1,
    logSeverityLevel: LOG_FATAL,
    ...(external.length === 0
      ? {}
      : { externalData: external.map(({ path, bytes }) => ({ path, data: bytes })) }),
    extra: {
      session: {
        model_external_initializers_file_folder_path: NO_FOLDER,
        // An enclave has few processors, and its sessions would each spin on all of them. Measured with a
        // decoder of 135 million weights, 2 threads, 2 busy processors: a step takes 28 ms with spinning,
        // 16 ms without; 64 tokens of a prompt 800 and 456 ms.
        intra_op: { allow_spinning: "0" },
      },
    },
  };
}
