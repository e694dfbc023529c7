/** One campaign against one target, inside a worker: mutate, run, keep what reached something new. */
import { setImmediate } from "node:timers/promises";
import { getHeapStatistics } from "node:v8";
import type { Coverage, Look } from "./coverage.ts";
import { type Figures, type Finding, type FindingKind, type Job, MAX_HEAP_MIB } from "./job.ts";
import type { Journal } from "./journal.ts";
import { Pool } from "./pool.ts";
import { Random } from "./random.ts";
import { ACCEPTED, type Input, type Target } from "./target.ts";

const MAX_EXTERNAL_BYTES = MAX_HEAP_MIB << 20;
/** Twice a document's limit. As a tree, bytes take a hundred times their room. */
const MAX_INPUT_BYTES = 32_768;
const PROGRESS_MS = 1000;

/** What a campaign reports to. */
export interface Listener {
  finding(finding: Finding): void;
  progress(figures: Figures): void;
}

export class Campaign {
  readonly #target: Target;
  readonly #job: Job;
  readonly #coverage: Coverage;
  readonly #journal: Journal;
  readonly #listener: Listener;
  readonly #random: Random;
  readonly #pool: Pool;
  readonly #outcomes = new Set<string>();
  /** Kinds and reasons of the findings, so that each is reported once. */
  readonly #found = new Set<string>();
  readonly #baselineHeapBytes = liveHeapBytes();
  #leaks = false;
  #executions = 0;
  #accepted = 0;
  #peakHeapBytes = 0;
  #peakExternalBytes = 0;
  #slowestMs = 0;
  #reportedAtMs = 0;

  constructor(
    target: Target,
    job: Job,
    tools: { readonly coverage: Coverage; readonly journal: Journal; readonly listener: Listener },
  ) {
    this.#target = target;
    this.#job = job;
    this.#coverage = tools.coverage;
    this.#journal = tools.journal;
    this.#listener = tools.listener;
    this.#random = new Random(job.seed);
    this.#pool = new Pool(target.seeds.filter(({ bytes }) => bytes.length <= MAX_INPUT_BYTES));
  }

  /** Runs until a limit of the job is reached. */
  async run(): Promise<Figures> {
    await this.#plant();
    while (!this.#finished()) {
      const batch = await this.#mutants();
      for (const input of batch) await this.#count(input);
      const look = this.#coverage.look();
      if (this.#coverage.isNews(look)) await this.#keepNew(batch, look);
      this.#journal.idle();
      await this.#requireBuffersFreed(batch);
      this.#progress();
    }
    return this.figures();
  }

  /** Runs one input of another run; its outcome. */
  async replay(input: Input): Promise<string> {
    const outcome = await this.#execute(input);
    this.#journal.idle();
    return outcome;
  }

  /** So far. */
  figures(): Figures {
    const covered = this.#coverage.blocks().flatMap((blocks) => blocks.covered);
    return {
      executions: this.#executions,
      accepted: this.#accepted,
      outcomes: this.#outcomes.size,
      kept: this.#pool.size,
      cpuMs: cpuMs(),
      peakHeapBytes: this.#peakHeapBytes,
      baselineHeapBytes: this.#baselineHeapBytes,
      peakExternalBytes: this.#peakExternalBytes,
      slowestMs: this.#slowestMs,
      coveredBlocks: covered.filter((ran) => ran).length,
      knownBlocks: covered.length,
    };
  }

  async #plant(): Promise<void> {
    for (const seed of this.#target.seeds) {
      const outcome = await this.#count(seed);
      if (seed.genuine && outcome !== ACCEPTED) {
        this.#report("refused", `a genuine seed, with ${outcome}`, seed);
      }
    }
    this.#journal.idle();
    this.#coverage.add(this.#coverage.look());
  }

  #finished(): boolean {
    const { executions, findings } = this.#job;
    if (this.#leaks || this.#found.size >= findings) return true;
    return this.#executions >= executions || cpuMs() >= this.#job.cpuMs;
  }

  async #mutants(): Promise<readonly Input[]> {
    const batch: Input[] = [];
    for (let i = 0; i < this.#target.batch; i++) {
      const parent = this.#pool.parent(this.#random);
      const other = this.#pool.any(this.#random);
      const { bytes, ...rest } = await this.#target.mutate(this.#random, parent, other);
      batch.push({ bytes: bytes.slice(0, MAX_INPUT_BYTES), ...rest });
    }
    return batch;
  }

  /**
   * Runs halves of a batch again, down to the inputs that reach what none did before.
   *
   * @param seen - the look at the whole of `batch`.
   */
  async #keepNew(batch: readonly Input[], seen: Look): Promise<void> {
    const [only] = batch;
    if (batch.length === 1 && only !== undefined) {
      this.#pool.add(this.#random, only);
    } else {
      const half = Math.ceil(batch.length / 2);
      for (const part of [batch.slice(0, half), batch.slice(half)]) {
        for (const input of part) await this.#execute(input);
        const look = this.#coverage.look();
        if (this.#coverage.isNews(look)) await this.#keepNew(part, look);
      }
    }
    // All of it: what no half reached again was not the doing of the inputs alone.
    this.#coverage.add(seen);
  }

  async #count(input: Input): Promise<string> {
    const outcome = await this.#execute(input);
    this.#executions++;
    if (outcome === ACCEPTED) this.#accepted++;
    this.#outcomes.add(outcome);
    return outcome;
  }

  async #execute(input: Input): Promise<string> {
    this.#journal.begin(input);
    const before = getHeapStatistics().external_memory;
    const startMs = performance.now();
    let outcome = "crash";
    try {
      const run = await this.#target.run(input);
      outcome = run.outcome;
      if (run.breach !== null) this.#report("breach", run.breach, input);
    } catch (error) {
      this.#report("crash", described(error), input);
    }
    this.#slowestMs = Math.max(this.#slowestMs, performance.now() - startMs);
    const { used_heap_size, external_memory } = getHeapStatistics();
    this.#peakHeapBytes = Math.max(this.#peakHeapBytes, used_heap_size);
    this.#peakExternalBytes = Math.max(this.#peakExternalBytes, external_memory);
    // Where some was freed meanwhile, less is seen than was taken; never more.
    if (external_memory - before > MAX_EXTERNAL_BYTES) {
      this.#report("heap", `more than ${MAX_HEAP_MIB} MiB of buffers in one execution`, input);
    }
    return outcome;
  }

  /** Buffers are no part of the heap that V8 limits, and what they hold must not grow either. */
  async #requireBuffersFreed(batch: readonly Input[]): Promise<void> {
    const last = batch.at(-1);
    if (getHeapStatistics().external_memory <= MAX_EXTERNAL_BYTES || last === undefined) return;
    // V8 frees the buffers that one collection found dead only by and by.
    for (let i = 0; i < 2; i++) {
      globalThis.gc?.();
      await setImmediate();
    }
    if (getHeapStatistics().external_memory <= MAX_EXTERNAL_BYTES) return;
    this.#report(
      "heap",
      `more than ${MAX_HEAP_MIB} MiB of buffers are held after a collection`,
      last,
    );
    this.#leaks = true;
  }

  #report(kind: FindingKind, reason: string, input: Input): void {
    // Numbers differ from input to input; the first line says which promise it was.
    const [promise = ""] = reason.split("\n", 1);
    const same = `${kind} ${promise.replaceAll(/[0-9a-f]{2,}|\d/gu, "#")}`;
    if (this.#found.has(same) || this.#found.size >= this.#job.findings) return;
    this.#found.add(same);
    const { bytes, stance, signed } = input;
    this.#listener.finding({
      target: this.#target.name,
      kind,
      reason,
      seed: this.#job.seed,
      input: { bytes, stance, signed },
    });
  }

  #progress(): void {
    if (performance.now() - this.#reportedAtMs < PROGRESS_MS) return;
    this.#reportedAtMs = performance.now();
    this.#listener.progress(this.figures());
  }
}

/** Of V8's heap, after a collection. */
function liveHeapBytes(): number {
  globalThis.gc?.();
  return getHeapStatistics().used_heap_size;
}

/** Of all threads of this process, since its start. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function described(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${String(error)}`;
  return (error.stack ?? error.message).split("\n").slice(0, 8).join("\n");
}
