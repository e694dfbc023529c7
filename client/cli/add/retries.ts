import { CommandError } from "../exit.ts";
import type { Surroundings } from "./surroundings.ts";

/** A failure that may pass: a connection that broke, a server that is busy. */
export class PassingError extends Error {
  override readonly name = "PassingError";
  /** How long the server asks us to wait; null where it does not. */
  readonly waitMs: number | null;

  constructor(message: string, options?: ErrorOptions & { readonly waitMs?: number | null }) {
    super(message, options);
    this.waitMs = options?.waitMs ?? null;
  }
}

/** Failures in a row between which nothing was gained. */
const MAX_FAILURES = 6;
/** In all: a server that breaks off after every byte is given up, too. */
const MAX_ATTEMPTS = 200;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;
/** A server that wants a longer break is asked again by the user, not by us. */
const MAX_ASKED_WAIT_MS = 300_000;

/**
 * What `attempt` yields, tried again after a {@link PassingError}, each time after a longer break.
 *
 * @param gained - rises with what was gained; while it does, failures do not add up.
 * @throws CommandError with the last failure, where it does not pass.
 */
export async function withRetries<T>(
  around: Pick<Surroundings, "sleep" | "random" | "signal" | "note">,
  attempt: () => Promise<T>,
  gained: () => number = () => 0,
): Promise<T> {
  let failures = 0;
  let best = gained();
  for (let attempts = 1; ; attempts++) {
    around.signal.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof PassingError)) throw error;
      const now = gained();
      failures = now > best ? 1 : failures + 1;
      best = Math.max(best, now);
      const asked = error.waitMs ?? 0;
      if (failures >= MAX_FAILURES || attempts >= MAX_ATTEMPTS || asked > MAX_ASKED_WAIT_MS) {
        throw givenUp(error, attempts);
      }
      const waitMs = Math.max(asked, backoffMs(failures, around.random()));
      around.note(`${error.message}; again in ${Math.ceil(waitMs / 1000)} s`);
      await around.sleep(waitMs, around.signal);
    }
  }
}

/** Doubled with each failure, and spread, so that clients that failed together do not come together. */
function backoffMs(failures: number, random: number): number {
  const whole = Math.min(FIRST_WAIT_MS * 2 ** (failures - 1), LONGEST_WAIT_MS);
  return whole * (0.5 + random / 2);
}

function givenUp(error: PassingError, attempts: number): CommandError {
  const wait = error.waitMs === null ? "" : `, and asks for ${error.waitMs / 1000} s of patience`;
  const tried = attempts === 1 ? "" : `, after ${attempts} attempts`;
  const fix = "run the same command later: what has arrived is kept, and it goes on from there";
  return new CommandError(`${error.message}${wait}${tried}`, fix);
}
