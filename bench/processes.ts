/** What the kernel counts. Linux only: it reads /proc. */
import { readdir, readFile } from "node:fs/promises";

/** /proc counts in these (USER_HZ), proc_pid_stat(5). */
const TICKS_PER_SECOND = 100;

/** Memory of one process, bytes. */
export interface Resident {
  /** All pages, those that other processes share included. */
  readonly rss: number;
  /** A page that n processes share counts as one n-th, whoever the others are. */
  readonly pss: number;
  /** Pages of no file: nobody shares them. */
  readonly anonymous: number;
}

/** The only child of a process: of a host, its enclave. */
export async function childOf(pid: number): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  const [child] = children.trim().split(" ");
  if (child === undefined || child === "") throw new Error(`process ${pid} has no child`);
  return Number(child);
}

export async function residentOf(pid: number): Promise<Resident> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  const bytes = (name: string): number => {
    const found = new RegExp(`^${name}: +(\\d+) kB$`, "mu").exec(text)?.[1];
    return found === undefined ? Number.NaN : Number(found) * 1024;
  };
  return { rss: bytes("Rss"), pss: bytes("Pss"), anonymous: bytes("Anonymous") };
}

/** CPU time of all threads of a process, seconds. */
export async function cpuOf(pid: number): Promise<number> {
  return cpuIn(await readFile(`/proc/${pid}/stat`, "utf8"));
}

/** CPU time of the threads of this name, seconds. A thread that ends meanwhile does not count. */
export async function cpuOfThreads(pid: number, name: string): Promise<number> {
  let seconds = 0;
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const text = await readFile(`/proc/${pid}/task/${thread}/stat`, "utf8").catch(() => null);
    if (text?.includes(`(${name})`) === true) seconds += cpuIn(text);
  }
  return seconds;
}

function cpuIn(stat: string): number {
  // After the name, which is in parentheses, utime and stime are the 12th and 13th field.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** CPU time that was spent on anything, on all processors together, seconds. */
export async function cpuOfMachine(): Promise<number> {
  const [line = ""] = (await readFile("/proc/stat", "utf8")).split("\n", 1);
  const [user = 0, nice = 0, system = 0, , , irq = 0, soft = 0, steal = 0] = line
    .trim()
    .split(/ +/u)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + soft + steal) / TICKS_PER_SECOND;
}
