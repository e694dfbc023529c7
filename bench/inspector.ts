/** A running process's live heap, and what its main thread does, asked through Node's inspector. */

/** Where a process that was not told otherwise listens once it got SIGUSR1. */
const TARGETS = "http://127.0.0.1:9229/json/list";
const POLL_MS = 50;
const POLLS = 100;
/** `inspector.close` waits for its clients, so it is called when we have left. */
const CLOSE_LATER =
  "void setTimeout(() => process.getBuiltinModule('node:inspector').close(), 200)";
const CLOSED_MS = 500;
/** Between two looks of the profiler. */
const SAMPLING_US = 500;

export interface Heap {
  /** Of live objects. */
  readonly heapBytes: number;
  /** Of array buffers, which lie outside the heap. */
  readonly bufferBytes: number;
}

/** Opens the inspector of `pid`, collects garbage, looks, and closes the inspector again. */
export async function readHeap(pid: number): Promise<Heap> {
  return inspect(pid, async (ask) => {
    await ask("HeapProfiler.collectGarbage");
    const usage = await ask("Runtime.getHeapUsage");
    return { heapBytes: count(usage, "usedSize"), bufferBytes: count(usage, "backingStorageSize") };
  });
}

/** A function as the profiler saw it, and the time when it was the innermost. */
export interface ProfiledFunction {
  readonly id: number;
  /** Of its file; empty for native code. */
  readonly url: string;
  readonly children: readonly number[];
  selfUs: number;
}

/** Every function of the main thread of `pid` while `work` goes on, by id. */
export async function profile(
  pid: number,
  work: () => Promise<void>,
): Promise<Map<number, ProfiledFunction>> {
  return inspect(pid, async (ask) => {
    await ask("Profiler.enable");
    await ask("Profiler.setSamplingInterval", { interval: SAMPLING_US });
    await ask("Profiler.start");
    await work();
    const found = member(await ask("Profiler.stop"), "profile");
    const functions = new Map<number, ProfiledFunction>();
    for (const node of list(member(found, "nodes"))) {
      functions.set(count(node, "id"), {
        id: count(node, "id"),
        url: String(member(member(node, "callFrame"), "url")),
        children: list(member(node, "children")).map(Number),
        selfUs: 0,
      });
    }
    const times = list(member(found, "timeDeltas")).map(Number);
    list(member(found, "samples")).forEach((id, i) => {
      const sampled = functions.get(Number(id));
      if (sampled !== undefined) sampled.selfUs += times[i] ?? 0;
    });
    return functions;
  });
}

type Ask = (method: string, params?: object) => Promise<unknown>;

async function inspect<T>(pid: number, look: (ask: Ask) => Promise<T>): Promise<T> {
  process.kill(pid, "SIGUSR1");
  const socket = new WebSocket(await debuggerUrl());
  const answers = new Map<number, (result: unknown) => void>();
  socket.addEventListener("message", ({ data }) => {
    const message: unknown = JSON.parse(String(data));
    const id = member(message, "id");
    if (typeof id === "number") answers.get(id)?.(member(message, "result"));
  });
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", () => {
      reject(new Error(`no inspector in process ${pid}`));
    });
  });
  const ask: Ask = (method, params = {}) => {
    const id = answers.size;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    answers.set(id, resolve);
    socket.send(JSON.stringify({ id, method, params }));
    return promise;
  };
  // The port is everyone's: another process's inspector may have been there first.
  const named = await ask("Runtime.evaluate", { expression: "process.pid" });
  if (member(member(named, "result"), "value") !== pid) {
    throw new Error(`another process than ${pid} has its inspector open`);
  }
  const seen = await look(ask);
  await ask("Runtime.evaluate", { expression: CLOSE_LATER });
  socket.close();
  await delay(CLOSED_MS);
  return seen;
}

async function debuggerUrl(): Promise<string> {
  for (let poll = 0; poll < POLLS; poll++) {
    await delay(POLL_MS);
    const found = await fetch(TARGETS).catch(() => null);
    if (found === null) continue;
    const targets: unknown = await found.json();
    const first: unknown = Array.isArray(targets) ? targets[0] : null;
    const url = member(first, "webSocketDebuggerUrl");
    if (typeof url === "string") return url;
  }
  throw new Error("the inspector did not open");
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return new Map<string, unknown>(Object.entries(value)).get(name);
}

function count(value: unknown, name: string): number {
  const found = member(value, name);
  return typeof found === "number" ? found : Number.NaN;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
