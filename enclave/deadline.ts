import { EnclaveError } from "./errors.ts";

/**
 * `promise`, or `exchange/timeout` when it takes longer than `timeoutMs`.
 *
 * A promise that is too late is left behind; its own failure is not reported any more.
 */
export function withDeadline<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new EnclaveError("exchange/timeout", `nothing for ${timeoutMs} ms`));
    }, timeoutMs);
    promise.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error instanceof Error ? error : new TypeError("rejected with no error"));
      },
    );
  });
}
