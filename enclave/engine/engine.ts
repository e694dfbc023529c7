import type { Worker } from "node:worker_threads";
import { EnclaveError } from "../errors.ts";
import type { Tensor, TensorInfo } from "./datatypes.ts";
import type { Generation, GenerationRequest } from "../text/generation.ts";
import type { Feeds } from "./feeds.ts";
import type { DecoderConfig } from "./generation/decoder-config.ts";
import { Generations } from "./generations.ts";
import type { FromWorker, SessionFiles, ToWorker, WireTensor } from "./messages.ts";
import { startWorker } from "./start-worker.ts";

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

export interface EngineOptions {
  readonly intraOpThreads: number;
  /** Runs that wait or run at a time; one more is refused. */
  readonly queueLength: number;
  readonly inferenceTimeoutMs: number;
  /** All texts that are being generated: keys and values, and what is counted of the vocabulary. */
  readonly cacheBytes: number;
  /** Texts that are generated at a time, each choice for itself. */
  readonly maxSequences: number;
}

/** A model that the worker holds. */
export interface Session {
  readonly index: number;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
}

/** A decoder that the worker holds. */
export interface TextSession {
  readonly index: number;
  readonly vocabularySize: number;
  /** Tokens of prompt and answer together: what configuration and graph both allow. */
  readonly contextLength: number;
  /** Of keys and values. */
  readonly bytesPerToken: number;
  /** Sequences that were proven not to disturb one another in one run. */
  readonly maxSequences: number;
}

type Loaded = Extract<FromWorker, { kind: "loaded" | "decoder-loaded" }>;

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
  readonly resolve: (message: Loaded) => void;
  readonly reject: (error: EnclaveError) => void;
}

/** Starts the inference worker. @throws {@link EnclaveError} `engine/failed` where it does not start. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { worker, version } = await startWorker();
  return new Engine(worker, version, options);
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
  readonly #generations: Generations;
  #nextId = 0;
  #closed: EnclaveError | null = null;
  #reportFailure: (error: EnclaveError) => void = () => undefined;

  constructor(worker: Worker, version: string, options: EngineOptions) {
    this.#worker = worker;
    this.version = version;
    this.#options = options;
    this.#generations = new Generations(options, {
      post: (message) => {
        this.#post(message, []);
      },
      nextId: () => this.#nextId++,
      stalled: () => {
        this.#fail(new EnclaveError("engine/stalled", "a generation does not end"));
      },
    });
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
  async load(files: SessionFiles): Promise<Session> {
    const { intraOpThreads } = this.#options;
    const loaded = await this.#load(files, (id) => ({ kind: "load", id, files, intraOpThreads }));
    if (loaded.kind !== "loaded") throw new TypeError("a decoder was loaded instead");
    return { index: loaded.session, inputs: loaded.inputs, outputs: loaded.outputs };
  }

  /**
   * Opens a decoder, and proves how its sequences may share a run. Buffers move as in {@link load}.
   *
   * @throws {@link EnclaveError} `model/cache`, `model/memory`, and as {@link load}.
   */
  async loadText(files: SessionFiles, config: DecoderConfig): Promise<TextSession> {
    const { intraOpThreads, cacheBytes, maxSequences } = this.#options;
    const limits = { intraOpThreads, cacheBytes, maxSequences };
    const loaded = await this.#load(files, (id) => ({
      kind: "load-decoder",
      id,
      files,
      config,
      limits,
    }));
    if (loaded.kind !== "decoder-loaded") throw new TypeError("no decoder was loaded");
    const { decoder: index, plan } = loaded;
    this.#generations.addDecoder(index, plan);
    const { vocabularySize, contextLength, bytesPerToken, rows } = plan;
    return { index, vocabularySize, contextLength, bytesPerToken, maxSequences: rows.most };
  }

  /** See {@link Generations.mostTokens}. */
  mostTokens(session: TextSession, promptTokens: number, choices: number): number {
    return this.#generations.mostTokens(session.index, promptTokens, choices);
  }

  /**
   * Continues a prompt. Resolves when its turn has come and the worker has begun with it.
   *
   * @throws {@link EnclaveError} `prompt/too-long`, `request/parameter`, `request/unsupported`,
   * `constraint/schema`, `queue/full`, `inference/timeout`, `inference/aborted`, or what closed the
   * engine.
   */
  async generate(
    session: TextSession,
    request: GenerationRequest,
    signal: AbortSignal,
  ): Promise<Generation> {
    this.#generations.requireServable(session.index, request);
    const refusal = this.#refusal(signal);
    if (refusal !== null) throw refusal;
    return await this.#generations.start(session.index, request, signal);
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

  /** How many runs and texts wait or run, answered or not, and how many may. */
  queue(): { readonly depth: number; readonly limit: number } {
    return {
      depth: this.#waiting.length + this.#posted.size + this.#generations.depth,
      limit: this.#options.queueLength,
    };
  }

  /** Ends the worker; whatever waits is refused with `engine/closed`. */
  async close(): Promise<void> {
    this.#fail(new EnclaveError("engine/closed", "the engine is closed"));
    await this.#worker.terminate();
  }

  #load(files: SessionFiles, message: (id: number) => ToWorker): Promise<Loaded> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== null) {
        reject(this.#closed);
        return;
      }
      const id = this.#nextId++;
      this.#loads.set(id, { resolve, reject });
      const moved = [files.graph.buffer, ...files.external.map(({ bytes }) => bytes.buffer)];
      this.#post(message(id), moved);
    });
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
      case "loaded":
      case "decoder-loaded":
        this.#loads.get(message.id)?.resolve(message);
        this.#loads.delete(message.id);
        return;
      case "refused": {
        const { id, code, message: words, reason: cause } = message;
        const error = new EnclaveError(code, words, cause === null ? {} : { cause });
        this.#loads.get(id)?.reject(error);
        this.#loads.delete(id);
        return;
      }
      case "accepted":
      case "declined":
      case "outcomes":
        this.#generations.receive(message);
        return;
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
    this.#generations.close(error);
    this.#reportFailure(error);
    void this.#worker.terminate();
  }
}
