/** Time, as an argument: the enclave's entry passes the system's, tests their own. */
export interface Clock {
  /** Unix time, milliseconds. */
  readonly nowMs: () => number;
  /** Milliseconds since some moment. Nobody can set it; it stands still while the machine sleeps. */
  readonly monotonicMs: () => number;
  /** Calls `run` once after `delayMs`, unless the returned function was called before. */
  readonly after: (delayMs: number, run: () => void) => () => void;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => {
      clearTimeout(timer);
    };
  },
};
