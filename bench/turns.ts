/** Functions of one process that take turns, so that drifts of the machine meet all of them. */
import { median, paired } from "./statistics.ts";

/** One call, per round of many, µs. CPU time is that of all threads. */
export interface Times {
  readonly wallUs: readonly number[];
  readonly cpuUs: readonly number[];
}

export interface Plan {
  readonly rounds: number;
  /** Of each function in one round. */
  readonly calls: number;
}

/**
 * Calls each function `calls` times, then the next, and all of it `rounds` times after a warm-up.
 * Returns what gives each one's times.
 */
export async function takeTurns<Names extends Readonly<Record<string, () => unknown>>>(
  functions: Names,
  { rounds, calls }: Plan,
): Promise<(name: keyof Names & string) => Times> {
  const found = new Map(
    Object.keys(functions).map((name): [string, Recorded] => [name, { wallUs: [], cpuUs: [] }]),
  );
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    for (const [name, call] of Object.entries(functions)) {
      const { wallUs, cpuUs } = await timeCalls(call, calls);
      if (round < 0) continue;
      found.get(name)?.wallUs.push(wallUs);
      found.get(name)?.cpuUs.push(cpuUs);
    }
  }
  return (name) => {
    const times = found.get(name);
    if (times === undefined) throw new TypeError(`${name} took no turn`);
    return times;
  };
}

interface Recorded {
  readonly wallUs: number[];
  readonly cpuUs: number[];
}

/** The median of the rounds' ratios. */
export function ratioOf(a: readonly number[], b: readonly number[]): number {
  return median(paired(a, b, (x, y) => x / y));
}

const WARM_UP_ROUNDS = 3;

async function timeCalls(
  call: () => unknown,
  calls: number,
): Promise<{ readonly wallUs: number; readonly cpuUs: number }> {
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  for (let i = 0; i < calls; i++) await call();
  const wallUs = (performance.now() - startMs) * 1000;
  const { user, system } = process.cpuUsage(cpu);
  return { wallUs: wallUs / calls, cpuUs: (user + system) / calls };
}
