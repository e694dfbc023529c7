import "./environment.ts";
import { once } from "node:events";
import { SHARE_ENV, Worker } from "node:worker_threads";
import { EnclaveError } from "../errors.ts";
import type { FromWorker } from "./messages.ts";

const START_TIMEOUT_MS = 60_000;

/**
 * Starts the thread, and waits until it says what version of ONNX Runtime it loaded.
 *
 * @throws {@link EnclaveError} `engine/failed` where it does not start.
 */
export async function startWorker(): Promise<{
  readonly worker: Worker;
  readonly version: string;
}> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), {
    name: "inference",
    env: SHARE_ENV,
  });
  return { worker, version: await started(worker) };
}

async function started(worker: Worker): Promise<string> {
  const signal = AbortSignal.timeout(START_TIMEOUT_MS);
  try {
    // `once` rejects on "error"; a worker that ends first never answers, and the limit tells.
    // oxlint-disable-next-line typescript/no-unsafe-assignment -- events are any; this one is ours
    const [message]: readonly FromWorker[] = await once(worker, "message", { signal });
    if (message?.kind === "ready") return message.version;
    throw new TypeError("the worker's first message is another");
  } catch (cause) {
    await worker.terminate();
    throw new EnclaveError("engine/failed", "the inference worker did not start", { cause });
  }
}
