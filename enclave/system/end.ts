import { nativeFunction } from "./native.ts";

/**
 * Ends this process now, with `status`. Node's own way waits for its worker threads to come back, and
 * one that is in ONNX Runtime may never: where the process is the first one, its machine would stay.
 */
export function endProcess(status: number): never {
  try {
    // _exit(2): every thread with it, and nothing is flushed. Our lines are written as they come.
    nativeFunction("void _exit(int status)")(status);
  } catch {
    // No such function here: in Node's own way then.
    process.exit(status);
  }
  throw new TypeError("_exit returned");
}
