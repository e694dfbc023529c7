/** A closed loop: each connection sends its next request when it has the whole answer to the last. */

/** What happened in one window. */
export interface Window {
  readonly perSecond: number;
  readonly latenciesUs: readonly number[];
}

/** Calls `send` for `durationMs`, at `connections` places at a time. */
export async function runFor(
  send: () => Promise<unknown>,
  connections: number,
  durationMs: number,
): Promise<Window> {
  const startMs = performance.now();
  const endMs = startMs + durationMs;
  return run(send, connections, startMs, (nowMs) => nowMs < endMs);
}

/** Calls `send` `count` times in all, at `connections` places at a time. */
export async function runTimes(
  send: () => Promise<unknown>,
  connections: number,
  count: number,
): Promise<Window> {
  let left = count;
  return run(send, connections, performance.now(), () => left-- > 0);
}

async function run(
  send: () => Promise<unknown>,
  connections: number,
  startMs: number,
  goOn: (nowMs: number) => boolean,
): Promise<Window> {
  const latenciesUs: number[] = [];
  const loop = async (): Promise<void> => {
    let nowMs = performance.now();
    while (goOn(nowMs)) {
      await send();
      const doneMs = performance.now();
      latenciesUs.push((doneMs - nowMs) * 1000);
      nowMs = doneMs;
    }
  };
  await Promise.all(Array.from({ length: connections }, loop));
  const seconds = (performance.now() - startMs) / 1000;
  return { perSecond: latenciesUs.length / seconds, latenciesUs };
}
