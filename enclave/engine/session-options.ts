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
        // A thread that has nothing to do looks for work without a pause while a run lasts, and sleeps
        // between runs. Measured with a decoder of 135 million weights in 8 bits, 2 threads, 2 processors:
        // 98 tokens a second, 78 where it always sleeps at once; where it goes on between runs, others
        // who need the processor wait (28 ms a step, not 16, beside other work).
        force_spinning_stop: "1",
        intra_op: { allow_spinning: "1" },
      },
    },
  };
}
