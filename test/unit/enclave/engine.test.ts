import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import {
  Engine,
  type EngineOptions,
  type Session,
  startEngine,
} from "../../../enclave/engine/engine.ts";
import { type Feeds, requireFeeds } from "../../../enclave/engine/feeds.ts";
import { identityModel } from "../../fakes/onnx-proto.ts";

const OPTIONS: EngineOptions = {
  intraOpThreads: 1,
  queueLength: 4,
  inferenceTimeoutMs: 5000,
  cacheBytes: 1 << 24,
  maxSequences: 4,
};
const INFO = { name: "x", datatype: "FP32", shape: [-1], allowEmpty: false } as const;
const SESSION: Session = { index: 0, inputs: [INFO], outputs: [INFO] };

function feeds(...elements: readonly number[]): Feeds {
  const bytes = new Uint8Array(Float32Array.from(elements).buffer);
  const tensor = { datatype: "FP32", shape: [elements.length], elements: bytes } as const;
  return requireFeeds([INFO], new Map([["x", tensor]]), 1024);
}

const neverAborted = (): AbortSignal => new AbortController().signal;
const open: Engine[] = [];
afterEach(async () => {
  for (const engine of open.splice(0)) await engine.close();
});

/** An engine whose worker runs `script` for each message instead of a model. */
function engineWith(
  script: string,
  options: Partial<EngineOptions> = {},
  workerData: unknown = null,
): Engine {
  const prelude = `const { parentPort, workerData } = require("node:worker_threads");`;
  const echo = `const echo = (m) => parentPort.postMessage({ kind: "done", id: m.id, tensors: m.feeds });`;
  const worker = new Worker(`${prelude}${echo} parentPort.on("message", (m) => { ${script} });`, {
    eval: true,
    workerData,
  });
  const engine = new Engine(worker, "0", { ...OPTIONS, ...options });
  open.push(engine);
  return engine;
}

/** The code of the refusal, or the first element of the answer. */
async function outcome(engine: Engine, element = 1, signal = neverAborted()): Promise<unknown> {
  try {
    const [tensor] = await engine.run(SESSION, feeds(element), [0], signal);
    const bytes = tensor?.elements;
    return bytes instanceof Uint8Array ? new Float32Array(bytes.slice().buffer)[0] : null;
  } catch (error) {
    return error instanceof Error && "code" in error ? error.code : error;
  }
}

describe("the engine over ONNX Runtime", () => {
  it("runs a model in its worker, and says what it loaded", async () => {
    const engine = await startEngine(OPTIONS);
    open.push(engine);
    expect(engine.version).toBe("1.30.0");
    const graph = new Uint8Array(identityModel("FP32", ["n"]));
    const session = await engine.load({ graph, external: [] });
    expect(session.inputs).toEqual([{ name: "x", datatype: "FP32", shape: [-1] }]);
    // The very buffer moved to the worker: nobody on this thread can change what was hashed.
    expect(graph.length).toBe(0);
    const [tensor] = await engine.run(session, feeds(1, 2, 3), [0], neverAborted());
    expect(tensor?.shape).toEqual([3]);
    expect(tensor?.elements).toEqual(new Uint8Array(Float32Array.of(1, 2, 3).buffer));
  });

  it("sets ORT_DISABLE_TELEMETRY for the whole process", () => {
    expect(process.env["ORT_DISABLE_TELEMETRY"]).toBe("1");
  });

  it("answers many callers, each with its own result", async () => {
    const engine = await startEngine({ ...OPTIONS, queueLength: 64 });
    open.push(engine);
    const graph = new Uint8Array(identityModel("FP32", ["n"]));
    const session = await engine.load({ graph, external: [] });
    const answers = await Promise.all(
      Array.from({ length: 64 }, (_, i) => engine.run(session, feeds(i), [0], neverAborted())),
    );
    answers.forEach(([tensor], i) => {
      expect(tensor?.elements).toEqual(new Uint8Array(Float32Array.of(i).buffer));
    });
    expect(engine.queue()).toEqual({ depth: 0, limit: 64 });
  });

  it("refuses a file that is no model, with ONNX Runtime's reason as the cause only", async () => {
    const engine = await startEngine(OPTIONS);
    open.push(engine);
    const load = engine.load({ graph: new Uint8Array([1, 2, 3]), external: [] });
    await expect(load).rejects.toMatchObject({ code: "model/load" });
    expect(engine.open).toBe(true);
  });
});

describe("the queue", () => {
  it("refuses one more than its length, and takes requests again when there is room", async () => {
    const engine = engineWith("setTimeout(() => echo(m), 100);");
    const running = [1, 2, 3, 4].map((i) => outcome(engine, i));
    expect(engine.queue()).toEqual({ depth: 4, limit: 4 });
    expect(await outcome(engine)).toBe("queue/full");
    expect(await Promise.all(running)).toEqual([1, 2, 3, 4]);
    expect(engine.queue().depth).toBe(0);
    expect(await outcome(engine, 5)).toBe(5);
  });

  it("answers a run that takes too long, and holds its place until the worker is done", async () => {
    const engine = engineWith("setTimeout(() => echo(m), 250);", { inferenceTimeoutMs: 50 });
    expect(await outcome(engine)).toBe("inference/timeout");
    expect(engine.queue().depth).toBe(1);
    await expect.poll(() => engine.queue().depth).toBe(0);
    expect(engine.open).toBe(true);
  });

  it("times out what waits, too, and gives its place back", async () => {
    const engine = engineWith("setTimeout(() => echo(m), 250);", { inferenceTimeoutMs: 50 });
    const all = await Promise.all([1, 2, 3].map((i) => outcome(engine, i)));
    expect(all).toEqual(["inference/timeout", "inference/timeout", "inference/timeout"]);
    // Two are with the worker; the third left the queue.
    expect(engine.queue().depth).toBe(2);
  });

  it("withdraws a waiting run when its caller leaves: the worker never sees it", async () => {
    const seen = new Int32Array(new SharedArrayBuffer(4));
    const script = "Atomics.add(workerData, 0, 1); setTimeout(() => echo(m), 50);";
    const engine = engineWith(script, {}, seen);
    const leaving = new AbortController();
    const first = [outcome(engine, 1), outcome(engine, 2)];
    const third = outcome(engine, 3, leaving.signal);
    leaving.abort();
    expect(await third).toBe("inference/aborted");
    expect(await Promise.all(first)).toEqual([1, 2]);
    expect(await outcome(engine, 4)).toBe(4);
    expect(seen[0]).toBe(3);
  });

  it("drops the result of a run whose caller left while it ran", async () => {
    const engine = engineWith("setTimeout(() => echo(m), 50);");
    const leaving = new AbortController();
    const run = outcome(engine, 1, leaving.signal);
    leaving.abort();
    expect(await run).toBe("inference/aborted");
    expect(engine.queue().depth).toBe(1);
    await expect.poll(() => engine.queue().depth).toBe(0);
    expect(await outcome(engine, 2)).toBe(2);
  });

  it("refuses a caller that has left before", async () => {
    const engine = engineWith("echo(m);");
    expect(await outcome(engine, 1, AbortSignal.abort())).toBe("inference/aborted");
    expect(engine.queue().depth).toBe(0);
  });

  it("answers a run that failed without its reason, and goes on", async () => {
    const engine = engineWith(
      `if (m.id === 0) parentPort.postMessage({ kind: "failed", id: m.id }); else echo(m);`,
    );
    expect(await outcome(engine)).toBe("inference/failed");
    expect(await outcome(engine, 2)).toBe(2);
  });
});

describe("the end of the engine", () => {
  it("refuses everyone when the worker breaks, and stays closed", async () => {
    const engine = engineWith(`throw new Error("secret");`);
    const all = await Promise.all([1, 2, 3, 4].map((i) => outcome(engine, i)));
    expect(all).toEqual(Array<string>(4).fill("engine/failed"));
    expect((await engine.failure).code).toBe("engine/failed");
    expect((await engine.failure).message).not.toContain("secret");
    expect(engine.open).toBe(false);
    expect(await outcome(engine)).toBe("engine/failed");
    await expect(engine.load({ graph: new Uint8Array(1), external: [] })).rejects.toMatchObject({
      code: "engine/failed",
    });
  });

  it("refuses everyone when the worker ends by itself", async () => {
    const engine = engineWith("process.exit(0);");
    expect(await outcome(engine)).toBe("engine/failed");
    expect(engine.open).toBe(false);
  });

  it("fails when a run does not end at all", async () => {
    const engine = engineWith("for (;;);", { inferenceTimeoutMs: 20 });
    expect(await outcome(engine)).toBe("inference/timeout");
    expect((await engine.failure).code).toBe("engine/stalled");
  });

  it("refuses what waits when it is closed", async () => {
    const engine = engineWith("");
    const run = outcome(engine);
    await engine.close();
    expect(await run).toBe("engine/closed");
    expect(await outcome(engine)).toBe("engine/closed");
  });

  it("fails closed when feeds come whose buffers were given away before", async () => {
    const engine = engineWith("echo(m);");
    const given = feeds(1);
    await engine.run(SESSION, given, [0], neverAborted());
    await expect(engine.run(SESSION, given, [0], neverAborted())).rejects.toMatchObject({
      code: "engine/failed",
    });
  });
});
