/**
 * Two clocks that are to agree: one can be set, the other cannot.
 *
 * Epochs end, and requests are dated, by the one that can be set. Where it jumps, keys would live for
 * longer or shorter than their document says: the enclave ends instead.
 */
import type { Clock } from "./clock.ts";
import { EnclaveError } from "./errors.ts";

/** Between two looks. */
const INTERVAL_MS = 10_000;
/** What two clocks may drift apart between two looks; daemons that set a clock gently take far less. */
const MAX_JUMP_MS = 5_000;
/** The module's clock and ours, as a fresh document shows it. */
const MAX_SKEW_MS = 60_000;

export interface ClockWatch {
  /** Resolves with `clock/jumped`. Never rejects. */
  readonly failure: Promise<EnclaveError>;
  close(): void;
}

export function watchClock(clock: Clock): ClockWatch {
  const failed = Promise.withResolvers<EnclaveError>();
  let wall = clock.nowMs();
  let steady = clock.monotonicMs();
  let cancel: () => void = () => undefined;
  const look = (): void => {
    const jump = clock.nowMs() - wall - (clock.monotonicMs() - steady);
    if (Math.abs(jump) > MAX_JUMP_MS) {
      failed.resolve(new EnclaveError("clock/jumped", `by ${Math.round(jump)} ms`));
      return;
    }
    wall = clock.nowMs();
    steady = clock.monotonicMs();
    cancel = clock.after(INTERVAL_MS, look);
  };
  cancel = clock.after(INTERVAL_MS, look);
  return {
    failure: failed.promise,
    close: () => {
      cancel();
    },
  };
}

/**
 * The module's time is ours, about. A client judges a document by the module's time, and its epoch by
 * ours.
 *
 * @throws EnclaveError `clock/skew`.
 */
export function requireSameTime(documentMs: number, nowMs: number): void {
  const skew = documentMs - nowMs;
  if (Math.abs(skew) <= MAX_SKEW_MS) return;
  throw new EnclaveError("clock/skew", `the module is ${skew} ms ahead, want ≤ ${MAX_SKEW_MS}`);
}
