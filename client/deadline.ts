import { ClientError } from "./errors.ts";

/** The error of a caller who wants no more. */
export function abortedError(options?: ErrorOptions): ClientError {
  return new ClientError("client/aborted", "the caller ended the request", options);
}

/**
 * What `promise` yields, unless `signal` ends the wait first.
 *
 * For work that several callers wait for: one who leaves does not end it for the others.
 *
 * @throws ClientError `client/aborted`.
 */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => {
    reject(abortedError({ cause: signal.reason }));
  };
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** A signal that `signal` ends, or the passing of `timeoutMs`. */
export function withTimeout(signal: AbortSignal | null, timeoutMs: number): AbortSignal {
  const timeout = AbortSignal.timeout(timeoutMs);
  return signal === null ? timeout : AbortSignal.any([signal, timeout]);
}
