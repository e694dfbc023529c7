import type { Progress } from "./progress.ts";

/** The part of `fetch` that is used here. */
export type Fetch = (url: URL, init: RequestInit) => Promise<Response>;

/** Everything that adding a model needs from outside, so that a test can stand in for the world. */
export interface Surroundings {
  readonly fetch: Fetch;
  /** Ends early, with the signal's reason, where `signal` does. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** Unix time, milliseconds. */
  readonly nowMs: () => number;
  /** Without a byte for so long, a connection is given up. */
  readonly stallMs: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Ends the work; what was fetched stays. */
  readonly signal: AbortSignal;
  readonly progress: Progress;
  /** Says something to a person: that a request is tried again. */
  readonly note: (line: string) => void;
}
