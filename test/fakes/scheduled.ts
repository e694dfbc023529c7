/** The scheduler on this thread, over a made-up decoder, with its memory and its runs in sight. */
import "./no-float16.ts";
import { InferenceSession } from "onnxruntime-node";
import { DecoderSession, type StepInput } from "../../enclave/engine/generation/decoder-session.ts";
import { loadDecoder, type LoadedDecoder } from "../../enclave/engine/generation/load-decoder.ts";
import type { Outcome } from "../../enclave/engine/generation/outcome.ts";
import type { DecoderPlan } from "../../enclave/engine/generation/plan.ts";
import { CachePool } from "../../enclave/engine/generation/pool.ts";
import { Scheduler } from "../../enclave/engine/generation/scheduler.ts";
import { readDecoderGraph } from "../../enclave/engine/graph/decoder.ts";
import { createVocabulary } from "../../enclave/text/vocabulary.ts";
import type { GenerationRequest } from "../../enclave/text/generation.ts";
import type { DecoderSpec } from "./decoder/index.ts";
import { decoderConfig, decoderFiles, requestOf } from "./text-engine.ts";

/** What one run was given. */
export interface SeenRun {
  readonly rows: number;
  readonly tokens: number;
  readonly ids: readonly number[];
}

/** What came of one generation. */
export interface Ended {
  readonly tokens: readonly (readonly number[])[];
  readonly failure: Outcome["failure"];
}

/** Sees every run before it happens, and may spoil it. */
export class WatchedSession extends DecoderSession {
  readonly runs: SeenRun[] = [];
  /** Throws, to have the run fail. */
  before: (run: SeenRun) => void = () => undefined;
  /** Changes logits after a run. */
  after: (run: SeenRun, logits: Float32Array) => void = () => undefined;

  override async run(
    ...[input, past, present, wanted]: Parameters<DecoderSession["run"]>
  ): Promise<Float32Array | null> {
    const run = seen(input);
    this.runs.push(run);
    this.before(run);
    const logits = await super.run(input, past, present, wanted);
    if (logits !== null) this.after(run, logits);
    return logits;
  }
}

function seen({ rows, tokens, ids }: StepInput): SeenRun {
  return { rows, tokens, ids: [...ids].map(Number) };
}

export class Scheduled {
  readonly decoder: LoadedDecoder;
  readonly session: WatchedSession;
  readonly pool: CachePool;
  readonly outcomes: Outcome[] = [];
  readonly #scheduler: Scheduler;
  readonly #ended = new Map<number, (outcome: Outcome) => void>();
  #nextId = 0;
  /** Called with each message, before anything else happens. */
  watch: (outcomes: readonly Outcome[]) => void = () => undefined;

  constructor(decoder: LoadedDecoder, session: WatchedSession, pool: CachePool) {
    this.decoder = decoder;
    this.session = session;
    this.pool = pool;
    this.#scheduler = new Scheduler(pool, (outcomes) => {
      this.outcomes.push(...outcomes);
      this.watch(outcomes);
      for (const outcome of outcomes) if (outcome.ended) this.#ended.get(outcome.id)?.(outcome);
    });
    this.#scheduler.addDecoder(decoder);
  }

  get lastId(): number {
    return this.#nextId - 1;
  }

  /** Resolves when the worker's last word about it has come. */
  async generate(changes: Partial<GenerationRequest>): Promise<Ended> {
    const id = this.#nextId++;
    const request = requestOf(changes);
    const ended = new Promise<Outcome>((resolve) => this.#ended.set(id, resolve));
    this.#scheduler.add(id, this.decoder, request);
    const { failure } = await ended;
    const events = this.outcomes.filter((each) => each.id === id).flatMap((each) => each.tokens);
    const tokens = request.choices.map((_, choice) =>
      events.flatMap((e) => (e.choice === choice && e.token !== null ? [e.token] : [])),
    );
    return { tokens, failure };
  }

  stop(id: number, choice: number | null): void {
    this.#scheduler.stop(id, choice);
  }
}

export interface ScheduledOptions {
  readonly cacheBytes?: number;
  /** Instead of what the probe finds. */
  readonly rows?: DecoderPlan["rows"];
  readonly mode?: "exact";
  /** Instead of a probe, which needs memory of its own. */
  readonly plan?: DecoderPlan;
}

export async function scheduled(
  spec: Partial<DecoderSpec>,
  options: ScheduledOptions = {},
): Promise<Scheduled> {
  const session = await watchedSession(spec);
  const config = decoderConfig(spec);
  const plan = options.plan ?? (await planOf(spec, options));
  const vocabulary = createVocabulary(config.tokens);
  const decoder = { session, plan, vocabulary, endTokens: config.endTokens, never: [] };
  return new Scheduled(decoder, session, new CachePool(options.cacheBytes ?? 1 << 25));
}

async function planOf(spec: Partial<DecoderSpec>, options: ScheduledOptions): Promise<DecoderPlan> {
  const limits = { intraOpThreads: 1, maxSequences: 8 };
  const pool = new CachePool(1 << 25);
  const { session, plan } = await loadDecoder(
    decoderFiles(spec),
    decoderConfig(spec),
    pool,
    limits,
  );
  await session.release();
  const { rows = plan.rows, mode = plan.mode } = options;
  const twofold = mode === "exact" && session.graph.form !== "append";
  return { ...plan, rows, mode, twofold };
}

export async function watchedSession(spec: Partial<DecoderSpec>): Promise<WatchedSession> {
  const graph = readDecoderGraph(decoderFiles(spec).graph);
  const opened = await InferenceSession.create(graph.bytes, { intraOpNumThreads: 1 });
  const session = new WatchedSession(opened, graph);
  await session.measure();
  return session;
}
