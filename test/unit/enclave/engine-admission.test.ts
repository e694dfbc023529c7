/** Who is let in, in what order, and what becomes of those who wait: the main thread's part. */
import { describe, expect, it, vi } from "vitest";
import { Generations, MAX_CONSTRAINED } from "../../../enclave/engine/generations.ts";
import type { Outcome } from "../../../enclave/engine/generation/outcome.ts";
import {
  choosingBytes,
  type DecoderPlan,
  generationBytes,
} from "../../../enclave/engine/generation/plan.ts";
import type { ToWorker } from "../../../enclave/engine/messages.ts";
import { EnclaveError } from "../../../enclave/errors.ts";
import type { Generation, GenerationRequest } from "../../../enclave/text/generation.ts";
import { neverAborted, promptOf, requestOf, tokensOf } from "../../fakes/text-engine.ts";

const PLAN: DecoderPlan = {
  contextLength: 1024,
  vocabularySize: 384,
  bytesPerToken: 100,
  arrays: 4,
  mode: "in-place",
  twofold: false,
  rows: { least: 1, most: 8 },
};
/** Prompt and answer need 128 slots, and 128 more count for nothing: in place nothing moves. */
const SMALL = requestOf({ prompt: promptOf(100), maxTokens: 20 });
const SMALL_BYTES: number = 128 * 100 + choosingBytes(PLAN);

/** Generations in front of a worker that does what a test says. */
class Door {
  readonly sent: ToWorker[] = [];
  stalls = 0;
  readonly generations: Generations;
  #nextId = 0;

  constructor(fit: number, maxSequences = 4, plan = PLAN) {
    // A fifth is for the one array that may be held twice.
    const limits = {
      cacheBytes: (fit * SMALL_BYTES * 5) / 4,
      maxSequences,
      inferenceTimeoutMs: 1000,
    };
    this.generations = new Generations(limits, {
      post: (message) => {
        this.sent.push(message);
      },
      nextId: () => this.#nextId++,
      stalled: () => {
        this.stalls += 1;
      },
    });
    this.generations.addDecoder(0, plan);
  }

  start(request: GenerationRequest = SMALL, signal = neverAborted()): Promise<Generation> {
    this.generations.requireServable(0, request);
    const started = this.generations.start(0, request, signal);
    // A test looks at some of them only, and later.
    started.catch(() => undefined);
    return started;
  }

  /** Ids of the generations that the worker was given. */
  get admitted(): readonly number[] {
    return this.sent.flatMap((message) => (message.kind === "generate" ? [message.id] : []));
  }

  get stopped(): readonly unknown[] {
    return this.sent.flatMap((m) => (m.kind === "stop" ? [[m.id, m.choice]] : []));
  }

  accept(id: number): void {
    this.generations.receive({ kind: "accepted", id });
  }

  outcome(id: number, changes: Partial<Outcome>): void {
    const outcome = { id, tokens: [], ended: false, failure: null, ...changes };
    this.generations.receive({ kind: "outcomes", outcomes: [outcome] });
  }
}

function refused(door: Door, changes: Partial<GenerationRequest>): unknown {
  try {
    door.generations.requireServable(0, requestOf(changes));
    return null;
  } catch (error) {
    return error instanceof EnclaveError ? [error.code, error.param] : error;
  }
}

const event = { choice: 0, token: 7, logprob: null, top: [], finish: null } as const;

describe("a request that can never be served", () => {
  it.each([
    [
      "longer than the context",
      { prompt: promptOf(1000), maxTokens: 25 },
      ["prompt/too-long", null],
    ],
    ["just as long", { prompt: promptOf(1000), maxTokens: 24 }, null],
    [
      "of more cache than there is",
      { choices: [{ seed: 1 }, { seed: 2 }], maxTokens: 1000 },
      ["prompt/too-long", null],
    ],
    [
      "of more choices than rows",
      { choices: Array.from({ length: 5 }, (_, seed) => ({ seed })) },
      ["request/unsupported", "n"],
    ],
    ["without a prompt", { prompt: new Int32Array(0) }, ["request/parameter", "prompt"]],
    ["with a token that is none", { prompt: Int32Array.of(384) }, ["request/parameter", "prompt"]],
    ["with a token below none", { prompt: Int32Array.of(1, -1) }, ["request/parameter", "prompt"]],
    ["with the last token", { prompt: Int32Array.of(383) }, null],
  ])("%s", (_, changes, expected) => {
    expect(refused(new Door(8), changes)).toEqual(expected);
  });

  it("is a bug where it asks for no tokens at all", () => {
    expect(refused(new Door(8), { maxTokens: 0 })).toBeInstanceOf(TypeError);
    expect(refused(new Door(8), { choices: [] })).toBeInstanceOf(TypeError);
  });
});

describe("the longest answer that there is room for", () => {
  const append = { ...PLAN, mode: "append" } as const;
  it.each([
    ["in place", PLAN],
    ["appended", append],
    ["exact and twofold", { ...PLAN, mode: "exact", twofold: true } as const],
    ["beside a row of padding", { ...append, rows: { least: 2, most: 8 } } as const],
  ])("is served, and one token more is not: %s", (_, plan) => {
    for (const fit of [0.5, 1, 3, 6, 40]) {
      const door = new Door(fit, 4, plan);
      for (const length of [1, 100, 127, 128, 129, 300, 511, 1000, 1023, 1024, 1500]) {
        for (const count of [1, 3]) {
          const choices = Array.from({ length: count }, (__, seed) => ({ seed }));
          const most = door.generations.mostTokens(0, length, count);
          const prompt = promptOf(length);
          const outcomes = [most, most + 1].map((maxTokens) =>
            maxTokens === 0 ? null : refused(door, { prompt, choices, maxTokens }),
          );
          expect(outcomes).toEqual([null, ["prompt/too-long", null]]);
        }
      }
    }
  });
});

describe("admission", () => {
  it("lets in so many constrained requests at a time, whose memory no cache counts", () => {
    const door = new Door(64, 64);
    const constrained = { ...SMALL, constraint: [{ kind: "json-object" }] } as const;
    for (let i = 0; i < MAX_CONSTRAINED + 2; i++) void door.start(constrained);
    expect(door.admitted).toHaveLength(MAX_CONSTRAINED);
    door.outcome(3, { ended: true });
    door.outcome(4, { ended: true });
    void door.start();
    expect(door.admitted).toHaveLength(MAX_CONSTRAINED + 3);
  });

  it("lets in what fits, and the next in order when something ended", () => {
    const door = new Door(2);
    for (let i = 0; i < 4; i++) void door.start();
    expect(door.admitted).toEqual([0, 1]);
    expect(door.generations.depth).toBe(4);
    door.outcome(1, { ended: true });
    expect(door.admitted).toEqual([0, 1, 2]);
    door.outcome(0, { ended: true });
    door.outcome(2, { ended: true });
    door.outcome(3, { ended: true });
    expect(door.admitted).toEqual([0, 1, 2, 3]);
    expect(door.generations.depth).toBe(0);
  });

  it("lets nobody pass who came later, however small", () => {
    const door = new Door(8);
    void door.start(requestOf({ maxTokens: 800 }));
    const large = door.start(requestOf({ maxTokens: 800 }));
    void door.start();
    expect(door.admitted).toEqual([0]);
    door.outcome(0, { ended: true });
    expect(door.admitted).toEqual([0, 1, 2]);
    void large;
  });

  it("counts choices, each for itself", () => {
    const door = new Door(8);
    const choices = [{ seed: 1 }, { seed: 2 }, { seed: 3 }];
    void door.start({ ...SMALL, choices });
    void door.start({ ...SMALL, choices: choices.slice(1) });
    void door.start();
    expect(door.admitted).toEqual([0]);
    door.outcome(0, { ended: true });
    expect(door.admitted).toEqual([0, 1, 2]);
  });

  it("reckons a move to a larger cache, padding, and past and new together", () => {
    const append = { ...PLAN, mode: "append" } as const;
    const exact = { ...PLAN, mode: "exact" } as const;
    // 100 and 20 tokens stay in 128 slots; 100 and 100 move from 128 to 256.
    expect(generationBytes(append, 100, 20, 1)).toBe(128 * 100);
    expect(generationBytes(append, 100, 100, 1)).toBe((128 + 256) * 100);
    expect(generationBytes(append, 200, 10, 1)).toBe(256 * 100);
    expect(generationBytes({ ...append, rows: { least: 2, most: 4 } }, 200, 10, 3)).toBe(
      6 * 256 * 100,
    );
    expect(generationBytes(PLAN, 100, 100, 1)).toBe(256 * 100);
    expect(generationBytes(exact, 100, 100, 2)).toBe(2 * 256 * 100);
    expect(generationBytes({ ...exact, twofold: true }, 100, 100, 2)).toBe(4 * 256 * 100);
    // All that a context can hold: its last token is never stored.
    expect(generationBytes(PLAN, 1, 1023, 1)).toBe(1023 * 100);
  });

  it("reckons what choosing among a large vocabulary takes", () => {
    const plan = { ...PLAN, vocabularySize: 1_000_000 };
    const cache = 1023 * PLAN.bytesPerToken;
    const fit = Math.ceil((cache + choosingBytes(plan)) / SMALL_BYTES);
    const door = new Door(fit, 4, plan);
    void door.start();
    void door.start();
    expect(door.admitted).toEqual([0]);
    const choices = [{ seed: 1 }, { seed: 2 }];
    expect(refused(door, { choices })).toEqual(["prompt/too-long", null]);
    // As many as mostTokens says, and not one more.
    expect(door.generations.mostTokens(0, 8, 1)).toBe(1016);
    expect(refused(door, { maxTokens: 1016 })).toBeNull();
    expect(door.generations.mostTokens(0, 8, 2)).toBe(0);
  });

  it("gives a place back that was waited for in vain", async () => {
    const door = new Door(1);
    const leaving = new AbortController();
    void door.start();
    const second = door.start(SMALL, leaving.signal);
    void door.start();
    leaving.abort();
    await expect(second).rejects.toMatchObject({ code: "inference/aborted" });
    door.outcome(0, { ended: true });
    expect(door.admitted).toEqual([0, 2]);
    expect(door.stopped).toEqual([]);
  });

  it("keeps a place until the worker has nothing of it any more", async () => {
    const door = new Door(1);
    const leaving = new AbortController();
    const first = door.start(SMALL, leaving.signal);
    void door.start();
    leaving.abort();
    await expect(first).rejects.toMatchObject({ code: "inference/aborted" });
    expect(door.stopped).toEqual([[0, null]]);
    expect(door.admitted).toEqual([0]);
    door.outcome(0, { ended: true });
    expect(door.admitted).toEqual([0, 1]);
  });

  it("declines what the worker cannot begin", async () => {
    const door = new Door(1);
    const first = door.start();
    void door.start();
    door.generations.receive({ kind: "declined", id: 0, code: "constraint/schema" });
    await expect(first).rejects.toMatchObject({ code: "constraint/schema" });
    expect(door.admitted).toEqual([0, 1]);
  });
});

describe("a choice that is stopped", () => {
  it("yields nothing more, not even what came before and was not read", async () => {
    const door = new Door(8);
    const first = door.start({ ...SMALL, choices: [{ seed: 1 }, { seed: 2 }] });
    door.accept(0);
    const generation = await first;
    door.outcome(0, { tokens: [event, { ...event, choice: 1 }] });
    generation.stop(0);
    door.outcome(0, { tokens: [event, { ...event, choice: 1, finish: "length" }] });
    // One that has finished, but of which the end was not read, is stopped too.
    generation.stop(1);
    door.outcome(0, { ended: true });
    expect(await tokensOf(generation)).toEqual([]);
    expect(door.stopped).toEqual([[0, 0]]);
  });
});

describe("time", () => {
  it("bounds the wait for a turn, and each stall, but not a generation", async () => {
    vi.useFakeTimers();
    try {
      const door = new Door(1);
      const first = door.start();
      const second = door.start();
      door.accept(0);
      for (let i = 0; i < 9; i++) {
        await vi.advanceTimersByTimeAsync(900);
        door.outcome(0, { tokens: [event] });
      }
      await expect(second).rejects.toMatchObject({ code: "inference/timeout" });
      const tokens = tokensOf(await first);
      tokens.catch(() => undefined);
      await vi.advanceTimersByTimeAsync(1000);
      await expect(tokens).rejects.toMatchObject({ code: "inference/timeout" });
      expect(door.stopped).toEqual([[0, null]]);
      // The worker never says that it stopped.
      await vi.advanceTimersByTimeAsync(9999);
      expect(door.stalls).toBe(0);
      await vi.advanceTimersByTimeAsync(1);
      expect(door.stalls).toBe(1);
    } finally {
      vi.useRealTimers();
    }
  });
});
