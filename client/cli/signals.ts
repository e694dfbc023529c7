/** Ctrl-C, a service manager, a closed terminal. */
export const END_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Resolves when somebody asks this process to end. */
export async function untilSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const signal of END_SIGNALS) {
    process.once(signal, () => {
      resolve();
    });
  }
  await promise;
}
