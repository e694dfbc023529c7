/**
 * Which blocks of the verifier were executed, by V8's own block coverage in this process.
 *
 * V8 counts in functions that are compiled after it was told to, so the verifier is imported later
 * than this starts.
 */
import { type Profiler, Session } from "node:inspector";
import type { FunctionBlocks } from "./job.ts";

/** What ran since the look before, of the modules that are counted. */
export type Look = readonly Profiler.ScriptCoverage[];

export class Coverage {
  readonly #session = new Session();
  readonly #prefix: string;
  readonly #functions = new Map<string, FunctionCoverage>();

  /** @param prefix - URLs of the modules that are counted begin so. */
  constructor(prefix: string) {
    this.#prefix = prefix;
    this.#session.connect();
    this.#session.post("Profiler.enable");
    // With counts, although nobody reads them: without, V8 inlines functions that it reported once,
    // and new blocks in them are reported no more.
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** What ran since the last look. */
  look(): Look {
    let scripts: Look = [];
    // In one process the answer is there before post returns.
    this.#session.post("Profiler.takePreciseCoverage", (error, taken) => {
      if (error !== null) throw error;
      scripts = taken.result.filter(({ url }) => url.startsWith(this.#prefix));
    });
    return scripts;
  }

  /** Whether a look saw a block that no look did that was added. */
  isNews(look: Look): boolean {
    return this.#each(look, (known, ranges) => known.isNews(ranges));
  }

  add(look: Look): void {
    this.#each(look, (known, ranges) => {
      known.add(ranges);
      return false;
    });
  }

  /** Every function that V8 named so far. */
  blocks(): readonly FunctionBlocks[] {
    return [...this.#functions.values()].map((known) => known.blocks());
  }

  #each(look: Look, visit: (known: FunctionCoverage, ranges: Ranges) => boolean): boolean {
    let any = false;
    for (const { url, functions } of look) {
      for (const { ranges } of functions) {
        const [whole] = ranges;
        if (whole === undefined) continue;
        const key = `${url} ${whole.startOffset} ${whole.endOffset}`;
        const known = this.#functions.get(key) ?? new FunctionCoverage(url, whole);
        this.#functions.set(key, known);
        if (visit(known, ranges)) any = true;
      }
    }
    return any;
  }
}

type Ranges = readonly Profiler.CoverageRange[];

/** One function: which of its characters belong to a block that was executed. */
class FunctionCoverage {
  readonly #url: string;
  readonly #start: number;
  readonly #covered: Uint8Array;
  readonly #edges: Set<number>;

  constructor(url: string, whole: Profiler.CoverageRange) {
    this.#url = url;
    this.#start = whole.startOffset;
    this.#covered = new Uint8Array(whole.endOffset - whole.startOffset);
    this.#edges = new Set([whole.startOffset, whole.endOffset]);
  }

  isNews(ranges: Ranges): boolean {
    return this.#painted(ranges).some((ran, at) => ran === 1 && this.#covered[at] === 0);
  }

  add(ranges: Ranges): void {
    for (const [at, ran] of this.#painted(ranges).entries()) if (ran === 1) this.#covered[at] = 1;
    for (const { startOffset, endOffset } of ranges) {
      this.#edges.add(startOffset).add(endOffset);
    }
  }

  blocks(): FunctionBlocks {
    const edges = [...this.#edges].toSorted((a, b) => a - b);
    const covered = edges.slice(0, -1).map((edge) => this.#covered[edge - this.#start] === 1);
    const end = this.#start + this.#covered.length;
    return { url: this.#url, start: this.#start, end, edges, covered };
  }

  /** Ranges nest, outer ones first: what comes later is the more exact. */
  #painted(ranges: Ranges): Uint8Array {
    const painted = new Uint8Array(this.#covered.length);
    for (const { startOffset, endOffset, count } of ranges) {
      painted.fill(Math.min(count, 1), startOffset - this.#start, endOffset - this.#start);
    }
    return painted;
  }
}
