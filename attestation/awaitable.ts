/**
 * Steps over values that are there now or come later.
 *
 * With primitives that answer at once (Node's own) a chain of steps stays synchronous, which is what
 * makes a transcript cheap inside the enclave; with WebCrypto the same code yields promises.
 */
import type { Awaitable } from "./bytes.ts";

/** `step(value)`, at once where `value` is there. */
export function andThen<T, U>(value: Awaitable<T>, step: (value: T) => Awaitable<U>): Awaitable<U> {
  return value instanceof Promise ? value.then((ready) => step(ready)) : step(value);
}

/** All values, at once where each of them is there. */
export function allOf<T>(values: readonly Awaitable<T>[]): Awaitable<readonly T[]> {
  const ready: T[] = [];
  for (const value of values) {
    if (value instanceof Promise) return Promise.all(values);
    ready.push(value);
  }
  return ready;
}
