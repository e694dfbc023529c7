/** How often a key service is asked, and for how long: a boot that waits for ever says nothing. */
import { randomInt } from "node:crypto";
import { EnclaveError } from "../errors.ts";
import type { KeyReleaseContext } from "./release.ts";

const MAX_ATTEMPTS = 5;
/** Of one attempt, and of all with the pauses between them. */
const ATTEMPT_TIMEOUT_MS = 10_000;
const TOTAL_TIMEOUT_MS = 60_000;
/** The longest pause after the first attempt; twice that after each further one, up to the last. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8_000;

/** A fault that another attempt may mend, whatever its code. So is every `key/unreachable`. */
export class PassingError extends EnclaveError {}

/**
 * What `ask` comes to, after as many attempts as it takes and five at most.
 *
 * @param ask - ends when its signal is aborted: where it does not, it is left behind.
 * @throws whatever the last attempt threw; EnclaveError `key/unreachable` where that took too long.
 */
export async function persistently<T>(
  { clock, log }: Pick<KeyReleaseContext, "clock" | "log">,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const endMs = clock.monotonicMs() + TOTAL_TIMEOUT_MS;
  for (let attempt = 1; ; attempt++) {
    try {
      const leftMs = Math.max(0, endMs - clock.monotonicMs());
      return await within(Math.min(ATTEMPT_TIMEOUT_MS, leftMs), ask, clock);
    } catch (error) {
      if (!isPassing(error)) throw error;
      const pauseMs = pauseAfter(attempt);
      log("key-attempt-failed", { attempt, code: error.code });
      if (attempt >= MAX_ATTEMPTS || clock.monotonicMs() + pauseMs >= endMs) throw error;
      await new Promise<void>((resolve) => {
        clock.after(pauseMs, resolve);
      });
    }
  }
}

/** Whatever else a service says, it would say again. */
function isPassing(error: unknown): error is EnclaveError {
  if (error instanceof PassingError) return true;
  return error instanceof EnclaveError && error.code === "key/unreachable";
}

/** Anything up to a bound that doubles: enclaves that start together do not ask together again. */
function pauseAfter(attempt: number): number {
  const bound = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1));
  return randomInt(bound + 1);
}

async function within<T>(
  timeoutMs: number,
  ask: (signal: AbortSignal) => Promise<T>,
  clock: KeyReleaseContext["clock"],
): Promise<T> {
  const controller = new AbortController();
  const { promise: late, reject } = Promise.withResolvers<never>();
  const cancel = clock.after(timeoutMs, () => {
    const reason = new EnclaveError("key/unreachable", `no answer within ${timeoutMs} ms`);
    controller.abort(reason);
    reject(reason);
  });
  try {
    return await Promise.race([ask(controller.signal), late]);
  } finally {
    cancel();
  }
}
