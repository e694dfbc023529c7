/** A generation as its caller sees it: tokens as they come, and every way to end. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Engine, startEngine, type TextSession } from "../../../enclave/engine/engine.ts";
import { requireFeeds } from "../../../enclave/engine/feeds.ts";
import { TokenStream } from "../../../enclave/engine/token-stream.ts";
import { EnclaveError } from "../../../enclave/errors.ts";
import type { GeneratedToken } from "../../../enclave/text/generation.ts";
import { identityModel } from "../../fakes/onnx-proto.ts";
import {
  decoderConfig,
  decoderFiles,
  ENGINE_OPTIONS,
  eventsOf,
  generated,
  LIVELY,
  neverAborted,
  promptOf,
  requestOf,
  tokensOf,
} from "../../fakes/text-engine.ts";

let engine: Engine;
let session: TextSession;
beforeAll(async () => {
  engine = await startEngine(ENGINE_OPTIONS);
  session = await engine.loadText(decoderFiles({}), decoderConfig({}));
});
afterAll(async () => {
  await engine.close();
});

const LONG = requestOf({ maxTokens: 500, sampling: LIVELY });

async function expectIdle(): Promise<void> {
  await expect.poll(() => engine.queue().depth).toBe(0);
}

describe("a generation under way", () => {
  it("ends with inference/aborted when its caller leaves", async () => {
    const leaving = new AbortController();
    const generation = await engine.generate(session, LONG, leaving.signal);
    let batches = 0;
    const reading = (async () => {
      for await (const batch of generation.tokens) {
        batches += batch.length;
        if (batches > 3) leaving.abort();
      }
    })();
    await expect(reading).rejects.toMatchObject({ code: "inference/aborted" });
    expect(batches).toBeLessThan(20);
    await expectIdle();
  });

  it("ends when the loop over it is left", async () => {
    const generation = await engine.generate(session, LONG, neverAborted());
    for await (const batch of generation.tokens) if (batch.length > 0) break;
    await expectIdle();
  });

  it("says nothing more of a choice that was stopped, and no finish", async () => {
    const request = { ...LONG, maxTokens: 40, choices: [{ seed: 1 }, { seed: 2 }] };
    const generation = await engine.generate(session, request, neverAborted());
    const events: GeneratedToken[] = [];
    let seen = 0;
    for await (const batch of generation.tokens) {
      events.push(...batch);
      const before = seen;
      seen = events.filter(({ choice }) => choice === 0).length;
      if (before < 3 && seen >= 3) generation.stop(0);
    }
    const first = events.filter(({ choice }) => choice === 0);
    expect(first.length).toBe(seen);
    expect(first.length).toBeLessThan(10);
    expect(first.every(({ finish }) => finish === null)).toBe(true);
    const second = events.filter(({ choice }) => choice === 1);
    expect(second).toHaveLength(40);
    expect(second.at(-1)?.finish).toBe("length");
    await expectIdle();
  });

  it("ends when its last choice is stopped", async () => {
    const generation = await engine.generate(session, LONG, neverAborted());
    let count = 0;
    for await (const batch of generation.tokens) {
      count += batch.length;
      generation.stop(0);
      generation.stop(0);
    }
    expect(count).toBeGreaterThan(0);
    await expectIdle();
  });

  it("refuses a caller that has left before", async () => {
    const left = engine.generate(session, LONG, AbortSignal.abort());
    await expect(left).rejects.toMatchObject({ code: "inference/aborted" });
  });

  it("refuses a constraint that its vocabulary cannot write, and goes on", async () => {
    const digits = decoderConfig({}, { tokens: [Uint8Array.of(0x31)] });
    const poor = await engine.loadText(decoderFiles({}), digits);
    const constraint = [{ kind: "literal", text: "x" }] as const;
    const refused = engine.generate(poor, requestOf({ constraint }), neverAborted());
    await expect(refused).rejects.toMatchObject({ code: "constraint/schema" });
    expect(await generated(engine, poor, { maxTokens: 2 })).toEqual([0, 0]);
  });
});

describe("runs of other models", () => {
  it("go on between the steps of a generation", async () => {
    const model = await engine.load({
      graph: new Uint8Array(identityModel("FP32", ["n"])),
      external: [],
    });
    const info = { name: "x", datatype: "FP32", shape: [-1], allowEmpty: false } as const;
    const generation = await engine.generate(session, LONG, neverAborted());
    const events = eventsOf(generation);
    for (let i = 0; i < 20; i++) {
      const elements = new Uint8Array(Float32Array.of(i).buffer);
      const tensor = { datatype: "FP32", shape: [1], elements } as const;
      const feeds = requireFeeds([info], new Map([["x", tensor]]), 64);
      const [answer] = await engine.run(model, feeds, [0], neverAborted());
      expect(answer?.elements).toEqual(new Uint8Array(Float32Array.of(i).buffer));
    }
    // Twenty runs took turns with its steps: it is not over yet.
    expect(engine.queue().depth).toBe(1);
    expect((await events)[0]).toHaveLength(500);
  });
});

describe("the end of the engine", () => {
  it("gives everyone the reason: who waits, who is read in, who is under way", async () => {
    const short = await startEngine({ ...ENGINE_OPTIONS, maxSequences: 2, queueLength: 3 });
    const model = await short.loadText(decoderFiles({}), decoderConfig({}));
    const first = await short.generate(model, LONG, neverAborted());
    const second = await short.generate(
      model,
      { ...LONG, prompt: promptOf(11), maxTokens: 300 },
      neverAborted(),
    );
    const waiting = short.generate(model, LONG, neverAborted());
    const full = short.generate(model, LONG, neverAborted());
    await expect(full).rejects.toMatchObject({ code: "queue/full" });
    const all = [tokensOf(first), tokensOf(second), waiting].map((each) =>
      expect(each).rejects.toMatchObject({ code: "engine/closed" }),
    );
    await short.close();
    await Promise.all(all);
    const late = short.generate(model, LONG, neverAborted());
    await expect(late).rejects.toMatchObject({ code: "engine/closed" });
  });
});

describe("a stream of tokens", () => {
  const event = { choice: 0, token: 1, logprob: null, top: [], finish: null } as const;

  it("gives what came before its end, but nothing before an error", async () => {
    const done = new TokenStream(() => undefined);
    done.push([event]);
    done.push([event]);
    done.end("done");
    done.push([event]);
    const batches: number[] = [];
    for await (const batch of done.read()) batches.push(batch.length);
    expect(batches).toEqual([2]);
    const failed = new TokenStream(() => undefined);
    failed.push([event]);
    failed.end(new EnclaveError("inference/aborted", "test"));
    failed.end("done");
    await expect(failed.read().next()).rejects.toMatchObject({ code: "inference/aborted" });
  });

  it("says that its reader left only where it was before the end", async () => {
    let left = 0;
    for (const ends of [true, false]) {
      const stream = new TokenStream(() => {
        left += 1;
      });
      stream.push([event]);
      const reader = stream.read();
      await reader.next();
      if (ends) stream.end("done");
      await reader.return(undefined);
    }
    expect(left).toBe(1);
  });
});
