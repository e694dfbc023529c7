import "./environment.ts";
import { once } from "node:events";
import { SHARE_ENV, Worker } from "node:worker_threads";
import { EnclaveError } from "../errors.ts";
import type { Tensor, TensorInfo } from "./datatypes.ts";
import type { Feeds } from "./feeds.ts";
import type { FromWorker, SessionFiles, ToWorker, WireTensor } from "./messages.ts";

/**
 * How many runs are with the worker at once: one that runs and one that waits at its door, so that it
 * need not sleep between two. The others wait here, where they can still be withdrawn.
 */
const POSTED_RUNS = 2;
/**
 * A run cannot be interrupted. One that takes this many times the limit of a request never ends for
 * all we know: the engine then fails, and the enclave with it, instead of refusing everyone for ever.
 */
const STALL_FACTOR = 10;
const START_TIMEOUT_MS = 60_000;

export interface EngineOptions {
  readonly intraOpThreads: number;
  /** Runs that wait or run at a time; one more is refused. */
  readonly queueLength: number;
  readonly inferenceTimeoutMs: number;
}

/** A model that the worker holds. */
export interface Session {
  readonly index: number;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
}

/** One run from its call until the worker is done with it, which may be long after its answer. */
interface Run {
  readonly id: number;
  readonly session: Session;
  readonly feeds: Feeds;
  readonly outputs: readonly number[];
  readonly resolve: (tensors: readonly Tensor[]) => void;
  readonly reject: (error: EnclaveError) => void;
  readonly signal: AbortSignal;
  readonly withdraw: () => void;
  timer: NodeJS.Timeout | null;
  answered: boolean;
}

interface Load {
  readonly resolve: (session: Session) => void;
  readonly reject: (error: EnclaveError) => void;
}

/** Starts the inference worker. @throws {@link EnclaveError} `engine/failed` where it does not start. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), {
    name: "inference",
    env: SHARE_ENV,
  });
  return new Engine(worker, await started(worker), options);
}

/** Waits for the worker's first message, which says what version of ONNX Runtime it loaded. */
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

/** The queue in front of the inference worker. Only the main thread touches it. */
export class Engine {
  /** ONNX Runtime's version, as the worker loaded it. */
  readonly version: string;
  /** Resolves once, with the reason, when the engine can run nothing any more. Never rejects. */
  readonly failure: Promise<EnclaveError>;
  readonly #worker: Worker;
  readonly #options: EngineOptions;
  readonly #waiting: Run[] = [];
  readonly #posted = new Map<number, Run>();
  readonly #loads = new Map<number, Load>();
  #nextId = 0;
  #closed: EnclaveError | null = null;
  #reportFailure: (error: EnclaveError) => void = () => undefined;

  constructor(worker: Worker, version: string, options: EngineOptions) {
    this.#worker = worker;
    this.version = version;
    this.#options = options;
    this.failure = new Promise((resolve) => {
      this.#reportFailure = resolve;
    });
    worker.on("message", (message: FromWorker) => {
      this.#receive(message);
    });
    worker.on("error", (cause) => {
      this.#fail(new EnclaveError("engine/failed", "the inference worker broke", { cause }));
    });
    worker.on("messageerror", (cause) => {
      this.#fail(new EnclaveError("engine/failed", "the inference worker is garbled", { cause }));
    });
    worker.on("exit", () => {
      this.#fail(new EnclaveError("engine/failed", "the inference worker ended"));
    });
  }

  /**
   * Opens a session on the very buffers that were hashed: they move to the worker.
   *
   * @throws {@link EnclaveError} `model/load`, `model/unsupported`, `model/external-data`, or what
   * closed the engine.
   */
  load(files: SessionFiles): Promise<Session> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== null) {
        reject(this.#closed);
        return;
      }
      const id = this.#nextId++;
      this.#loads.set(id, { resolve, reject });
      const { intraOpThreads } = this.#options;
      const moved = [files.graph.buffer, ...files.external.map(({ bytes }) => bytes.buffer)];
      this.#post({ kind: "load", id, files, intraOpThreads }, moved);
    });
  }

  /**
   * Runs a session once. The feeds' buffers are given away.
   *
   * @param outputs - indexes of the wanted outputs, which answer in the same order.
   * @throws {@link EnclaveError} `queue/full`, `inference/timeout`, `inference/aborted`,
   * `inference/failed`, or what closed the engine.
   */
  run(
    session: Session,
    feeds: Feeds,
    outputs: readonly number[],
    signal: AbortSignal,
  ): Promise<readonly Tensor[]> {
    return new Promise((resolve, reject) => {
      const refusal = this.#refusal(signal);
      if (refusal !== null) {
        reject(refusal);
        return;
      }
      const withdraw = (): void => {
        this.#answerEarly(run, new EnclaveError("inference/aborted", "the caller left"));
      };
      const run: Run = {
        id: this.#nextId++,
        session,
        feeds,
        outputs,
        resolve,
        reject,
        signal,
        withdraw,
        timer: null,
        answered: false,
      };
      run.timer = setTimeout(() => {
        const limitMs = this.#options.inferenceTimeoutMs;
        const error = new EnclaveError("inference/timeout", `no result within ${limitMs} ms`);
        this.#answerEarly(run, error);
      }, this.#options.inferenceTimeoutMs);
      signal.addEventListener("abort", withdraw, { once: true });
      this.#waiting.push(run);
      this.#dispatch();
    });
  }

  /** Whether runs are accepted. */
  get open(): boolean {
    return this.#closed === null;
  }

  /** How many runs wait or run, answered or not, and how many may. */
  queue(): { readonly depth: number; readonly limit: number } {
    return {
      depth: this.#waiting.length + this.#posted.size,
      limit: this.#options.queueLength,
    };
  }

  /** Ends the worker; whatever waits is refused with `engine/closed`. */
  async close(): Promise<void> {
    this.#fail(new EnclaveError("engine/closed", "the engine is closed"));
    await this.#worker.terminate();
  }

  #refusal(signal: AbortSignal): EnclaveError | null {
    if (this.#closed !== null) return this.#closed;
    if (signal.aborted) return new EnclaveError("inference/aborted", "the caller left");
    const { depth, limit } = this.queue();
    return depth < limit ? null : new EnclaveError("queue/full", `${limit} requests are waiting`);
  }

  #dispatch(): void {
    while (this.#posted.size < POSTED_RUNS) {
      const run = this.#waiting.shift();
      if (run === undefined) return;
      const { id, session, outputs } = run;
      const feeds = run.feeds.map(({ shape, elements }): WireTensor => ({ shape, elements }));
      const moved = new Set<ArrayBuffer>();
      for (const { elements } of feeds) {
        if (elements instanceof Uint8Array) moved.add(elements.buffer);
      }
      this.#posted.set(id, run);
      this.#post({ kind: "run", id, session: session.index, feeds, outputs }, [...moved]);
    }
  }

  #post(message: ToWorker, moved: readonly ArrayBuffer[]): void {
    try {
      this.#worker.postMessage(message, moved);
    } catch (cause) {
      // A buffer that was given away before: a bug of ours, so nothing here is to be relied on.
      this.#fail(new EnclaveError("engine/failed", "a message could not be sent", { cause }));
    }
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case "loaded": {
        const { id, session: index, inputs, outputs } = message;
        this.#loads.get(id)?.resolve({ index, inputs, outputs });
        this.#loads.delete(id);
        return;
      }
      case "refused": {
        const error = new EnclaveError(message.code, "ONNX Runtime does not open this model", {
          cause: message.reason,
        });
        this.#loads.get(message.id)?.reject(error);
        this.#loads.delete(message.id);
        return;
      }
      case "done":
      case "failed":
        this.#finish(message);
        return;
      case "ready":
        return;
      default:
        message satisfies never;
    }
  }

  #finish(message: Extract<FromWorker, { kind: "done" | "failed" }>): void {
    const run = this.#posted.get(message.id);
    if (run === undefined) return;
    this.#posted.delete(run.id);
    this.#dispatch();
    if (message.kind === "failed") {
      this.#answer(run, new EnclaveError("inference/failed", "the model did not run"));
      return;
    }
    const tensors = message.tensors.map(({ shape, elements }, i): Tensor => {
      const info = run.session.outputs[run.outputs[i] ?? -1];
      if (info === undefined) throw new TypeError("an output that nobody asked for");
      return { datatype: info.datatype, shape, elements };
    });
    this.#answer(run, tensors);
  }

  /** Answers a run that is not done. One that the worker holds keeps its place until it is. */
  #answerEarly(run: Run, error: EnclaveError): void {
    const index = this.#waiting.indexOf(run);
    if (index !== -1) this.#waiting.splice(index, 1);
    this.#answer(run, error);
    if (index === -1 && this.#posted.has(run.id)) {
      run.timer = setTimeout(() => {
        this.#fail(new EnclaveError("engine/stalled", "a run does not end"));
      }, STALL_FACTOR * this.#options.inferenceTimeoutMs);
    }
  }

  #answer(run: Run, answer: EnclaveError | readonly Tensor[]): void {
    if (run.timer !== null) clearTimeout(run.timer);
    run.signal.removeEventListener("abort", run.withdraw);
    if (run.answered) return;
    run.answered = true;
    if (answer instanceof EnclaveError) run.reject(answer);
    else run.resolve(answer);
  }

  /** The only way to closed, which has no exit: everyone who waits gets the reason. */
  #fail(error: EnclaveError): void {
    if (this.#closed !== null) return;
    this.#closed = error;
    for (const load of this.#loads.values()) load.reject(error);
    this.#loads.clear();
    for (const run of [...this.#posted.values(), ...this.#waiting]) this.#answer(run, error);
    this.#posted.clear();
    this.#waiting.length = 0;
    this.#reportFailure(error);
    void this.#worker.terminate();
  }
}
