/** What lies in another process's memory, as whoever runs the machine can read it: Linux, proc(5). */
import { open, readFile } from "node:fs/promises";

const CHUNK_BYTES = 16 << 20;
/** `START-END rw.. OFFSET DEVICE INODE PATH`. */
const REGION = /^([0-9a-f]+)-([0-9a-f]+) rw/u;

/**
 * The names of the needles that are somewhere in what a process can write to.
 *
 * @throws where its memory may not be read.
 */
export async function findInMemory(
  pid: number,
  needles: ReadonlyMap<string, Buffer>,
): Promise<ReadonlySet<string>> {
  const overlap = Math.max(...[...needles.values()].map(({ length }) => length)) - 1;
  const found = new Set<string>();
  const memory = await open(`/proc/${pid}/mem`);
  try {
    const buffer = Buffer.alloc(CHUNK_BYTES);
    for (const [start, end] of await regions(pid)) {
      for (let at = start; at < end; at += CHUNK_BYTES - overlap) {
        // A region may be gone, or have no pages to read, by now.
        const part = await memory
          .read(buffer, 0, Math.min(CHUNK_BYTES, end - at), at)
          .catch(() => ({ bytesRead: 0 }));
        const read = buffer.subarray(0, part.bytesRead);
        for (const [name, needle] of needles) if (read.includes(needle)) found.add(name);
      }
    }
    buffer.fill(0);
    return found;
  } finally {
    await memory.close();
  }
}

/** Whether we may look into a process: a machine can forbid it even to its owner (ptrace(2)). */
export async function isReadable(pid: number): Promise<boolean> {
  try {
    await (await open(`/proc/${pid}/mem`)).close();
    return true;
  } catch {
    return false;
  }
}

/** The processes that `pid` started, by its first thread, and that run. */
export async function childrenOf(pid: number): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.trim().split(" ").filter(Boolean).map(Number);
}

async function regions(pid: number): Promise<readonly (readonly [number, number])[]> {
  const maps = await readFile(`/proc/${pid}/maps`, "utf8");
  return maps.split("\n").flatMap((line) => {
    const [, start, end] = REGION.exec(line) ?? [];
    if (start === undefined || end === undefined) return [];
    return [[Number.parseInt(start, 16), Number.parseInt(end, 16)] as const];
  });
}
