import { EnclaveError } from "../errors.ts";
import type { GeneratedToken, Generation, GenerationRequest } from "../text/generation.ts";
import type { GenerationErrorCode, Outcome } from "./generation/outcome.ts";
import { type DecoderPlan, promisableBytes, requestBytes } from "./generation/plan.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import { TokenStream } from "./token-stream.ts";

/** What all generations have together. */
export interface GenerationLimits {
  readonly cacheBytes: number;
  /** Choices that are generated at a time. */
  readonly maxSequences: number;
  /** Bounds the wait for a turn, and each time in which nothing is done for a generation. */
  readonly inferenceTimeoutMs: number;
}

/**
 * Requests with a constraint that are generated at a time. What a schema made to be ambiguous keeps
 * between steps is bounded (constraint/automaton.ts), but not counted in `cacheBytes`.
 */
export const MAX_CONSTRAINED = 8;

export interface GenerationPort {
  post(message: ToWorker): void;
  nextId(): number;
  /** The worker does not end what it was told to end. */
  stalled(): void;
}

/** One request from its admission to the worker's last word about it. */
interface Entry {
  readonly id: number;
  readonly decoder: number;
  readonly request: GenerationRequest;
  readonly bytes: number;
  readonly stream: TokenStream;
  readonly signal: AbortSignal;
  readonly abort: () => void;
  readonly resolve: (generation: Generation) => void;
  readonly reject: (error: EnclaveError) => void;
  /** Choices that have not ended. */
  readonly open: Set<number>;
  phase: "waiting" | "posted" | "leaving";
  timer: NodeJS.Timeout | null;
}

/**
 * Requests for text, in the main thread: admitted in the order they come, by what they can need at most.
 *
 * What a request may take of memory and of rows is promised to it before the worker hears of it. So
 * nothing that is under way ever has to end for want of memory, and nobody passes one who came before.
 */
export class Generations {
  readonly #limits: GenerationLimits;
  readonly #port: GenerationPort;
  readonly #plans = new Map<number, DecoderPlan>();
  readonly #waiting: Entry[] = [];
  readonly #posted = new Map<number, Entry>();
  #promisedBytes = 0;
  #promisedRows = 0;
  #constrained = 0;

  constructor(limits: GenerationLimits, port: GenerationPort) {
    this.#limits = limits;
    this.#port = port;
  }

  /** How many wait or are under way, those that leave among them. */
  get depth(): number {
    return this.#waiting.length + this.#posted.size;
  }

  addDecoder(decoder: number, plan: DecoderPlan): void {
    this.#plans.set(decoder, plan);
  }

  /**
   * @throws {@link EnclaveError} `prompt/too-long`, `request/parameter`, `request/unsupported` where the
   * request can never be served.
   */
  requireServable(decoder: number, request: GenerationRequest): void {
    const plan = this.#plan(decoder);
    const { prompt, maxTokens, choices } = request;
    if (!Number.isSafeInteger(maxTokens) || maxTokens < 1 || choices.length < 1) {
      throw new TypeError("a generation of no tokens or choices");
    }
    if (prompt.length === 0 || prompt.some((id) => id < 0 || id >= plan.vocabularySize)) {
      throw new EnclaveError(
        "request/parameter",
        "the prompt has no tokens, or one that is unknown",
        {
          param: "prompt",
        },
      );
    }
    if (prompt.length + maxTokens > plan.contextLength) {
      throw new EnclaveError(
        "prompt/too-long",
        `${prompt.length} tokens of prompt and ${maxTokens} of answer, the context has ` +
          `${plan.contextLength}`,
      );
    }
    if (choices.length > this.#limits.maxSequences) {
      throw new EnclaveError(
        "request/unsupported",
        `${choices.length} choices, at most ${this.#limits.maxSequences} are generated at a time`,
        { param: "n" },
      );
    }
    const bytes = requestBytes(plan, prompt.length, maxTokens, choices.length);
    if (bytes > this.#promisable()) {
      throw new EnclaveError(
        "prompt/too-long",
        `${prompt.length} tokens of prompt and ${choices.length} times ${maxTokens} of answer need ` +
          `${bytes} bytes, there are ${this.#promisable()}`,
      );
    }
  }

  /**
   * Tokens that each of so many choices may have at most after such a prompt: what the context leaves
   * and all caches together have room for. 0 for none.
   */
  mostTokens(decoder: number, promptTokens: number, choices: number): number {
    const plan = this.#plan(decoder);
    let fitting = 0;
    let beyond = Math.max(plan.contextLength - promptTokens, 0) + 1;
    // A longer answer never takes less.
    while (beyond - fitting > 1) {
      const middle = Math.floor((fitting + beyond) / 2);
      const bytes = requestBytes(plan, promptTokens, middle, choices);
      if (bytes <= this.#promisable()) fitting = middle;
      else beyond = middle;
    }
    return fitting;
  }

  /** Resolves when the request's turn has come. See {@link Engine.generate} for what it throws. */
  start(decoder: number, request: GenerationRequest, signal: AbortSignal): Promise<Generation> {
    return new Promise((resolve, reject) => {
      const { prompt, maxTokens, choices } = request;
      const plan = this.#plan(decoder);
      const abort = (): void => {
        this.#leave(entry, new EnclaveError("inference/aborted", "the caller left"));
      };
      const entry: Entry = {
        id: this.#port.nextId(),
        decoder,
        request,
        bytes: requestBytes(plan, prompt.length, maxTokens, choices.length),
        stream: new TokenStream(abort),
        signal,
        abort,
        resolve,
        reject,
        open: new Set(choices.keys()),
        phase: "waiting",
        timer: null,
      };
      entry.timer = setTimeout(() => {
        const limitMs = this.#limits.inferenceTimeoutMs;
        this.#leave(entry, new EnclaveError("inference/timeout", `no token within ${limitMs} ms`));
      }, this.#limits.inferenceTimeoutMs);
      signal.addEventListener("abort", abort, { once: true });
      this.#waiting.push(entry);
      this.#admit();
    });
  }

  receive(message: Extract<FromWorker, { kind: "accepted" | "declined" | "outcomes" }>): void {
    switch (message.kind) {
      case "accepted": {
        const entry = this.#posted.get(message.id);
        if (entry !== undefined) this.#accept(entry);
        return;
      }
      case "declined": {
        const entry = this.#posted.get(message.id);
        if (entry === undefined) return;
        this.#settle(entry, failed(message.code));
        this.#release(entry);
        return;
      }
      case "outcomes":
        for (const outcome of message.outcomes) this.#advance(outcome);
        return;
      default:
        message satisfies never;
    }
  }

  /** Everyone gets the reason. */
  close(error: EnclaveError): void {
    for (const entry of [...this.#waiting.splice(0), ...this.#posted.values()]) {
      this.#settle(entry, error);
      if (entry.timer !== null) clearTimeout(entry.timer);
    }
    this.#posted.clear();
  }

  #plan(decoder: number): DecoderPlan {
    const plan = this.#plans.get(decoder);
    if (plan === undefined) throw new TypeError(`no decoder ${decoder}`);
    return plan;
  }

  #promisable(): number {
    const arrays = [...this.#plans.values()].map((plan) => plan.arrays);
    return promisableBytes(this.#limits.cacheBytes, Math.min(...arrays));
  }

  /** Lets in who waits, in order, as far as there is room. */
  #admit(): void {
    for (;;) {
      const entry = this.#waiting[0];
      if (entry === undefined) return;
      const { choices, constraint } = entry.request;
      const rows = choices.length;
      const constrained = constraint === null ? 0 : 1;
      if (this.#promisedBytes + entry.bytes > this.#promisable()) return;
      if (this.#promisedRows + rows > this.#limits.maxSequences) return;
      if (this.#constrained + constrained > MAX_CONSTRAINED) return;
      this.#waiting.shift();
      this.#promisedBytes += entry.bytes;
      this.#promisedRows += rows;
      this.#constrained += constrained;
      entry.phase = "posted";
      this.#posted.set(entry.id, entry);
      entry.timer?.refresh();
      const { id, decoder, request } = entry;
      this.#port.post({ kind: "generate", id, decoder, request });
    }
  }

  #accept(entry: Entry): void {
    entry.resolve({
      tokens: entry.stream.read(),
      stop: (choice) => {
        entry.stream.drop(choice);
        if (!entry.open.delete(choice)) return;
        this.#port.post({ kind: "stop", id: entry.id, choice });
        if (entry.open.size === 0) this.#settle(entry, "done");
      },
    });
  }

  #advance({ id, tokens, ended, failure }: Outcome): void {
    const entry = this.#posted.get(id);
    if (entry === undefined) return;
    if (entry.phase === "posted") entry.timer?.refresh();
    // A choice that was stopped may have gone on for a step before the worker knew.
    const wanted = tokens.filter(({ choice }) => entry.open.has(choice));
    entry.stream.push(wanted);
    this.#closeFinished(entry, wanted);
    if (!ended) return;
    const reason = failure === null ? "done" : failed(failure);
    this.#settle(entry, reason);
    this.#release(entry);
  }

  #closeFinished(entry: Entry, tokens: readonly GeneratedToken[]): void {
    for (const { choice, finish } of tokens) if (finish !== null) entry.open.delete(choice);
    if (entry.open.size === 0) this.#settle(entry, "done");
  }

  /** Gives the caller its end. What the worker still holds is freed when it says so. */
  #settle(entry: Entry, reason: EnclaveError | "done"): void {
    entry.signal.removeEventListener("abort", entry.abort);
    if (reason !== "done") entry.reject(reason);
    entry.stream.end(reason);
  }

  /** Ends an entry early. */
  #leave(entry: Entry, error: EnclaveError): void {
    this.#settle(entry, error);
    if (entry.timer !== null) clearTimeout(entry.timer);
    entry.timer = null;
    if (entry.phase === "waiting") {
      this.#waiting.splice(this.#waiting.indexOf(entry), 1);
      this.#admit();
      return;
    }
    if (entry.phase === "leaving" || !this.#posted.has(entry.id)) return;
    entry.phase = "leaving";
    this.#port.post({ kind: "stop", id: entry.id, choice: null });
    entry.timer = setTimeout(() => {
      this.#port.stalled();
    }, STALL_FACTOR * this.#limits.inferenceTimeoutMs);
  }

  /** The worker holds nothing of it any more. */
  #release(entry: Entry): void {
    if (entry.timer !== null) clearTimeout(entry.timer);
    this.#posted.delete(entry.id);
    this.#promisedBytes -= entry.bytes;
    this.#promisedRows -= entry.request.choices.length;
    if (entry.request.constraint !== null) this.#constrained -= 1;
    this.#admit();
  }
}

/** As for a run: a worker that does not answer for this many limits never will. */
const STALL_FACTOR = 10;

function failed(code: GenerationErrorCode): EnclaveError {
  switch (code) {
    case "constraint/schema":
      return new EnclaveError(code, "the model cannot write such a text");
    case "memory/full":
      return new EnclaveError(code, "the machine has less memory for texts than it was told");
    case "inference/failed":
      return new EnclaveError(code, "the text could not be continued");
    default:
      return code satisfies never;
  }
}
