/** What `promise` rejects with, which must be of `kind`. */
export async function rejection<T extends Error>(
  promise: Promise<unknown>,
  kind: abstract new (...args: never[]) => T,
): Promise<T> {
  const error: unknown = await promise.then(
    () => new TypeError("it resolved"),
    (reason: unknown) => reason,
  );
  if (error instanceof kind) return error;
  throw new TypeError(`want a ${kind.name}`, { cause: error });
}
