import { describe, expect, it } from "vitest";
import { scheduled } from "../../fakes/scheduled.ts";
import { GREEDY, LIVELY, promptOf } from "../../fakes/text-engine.ts";

const FORMS = ["concat", "gqa"] as const;

describe.each(FORMS)("the scheduler over a decoder of form %s", (form) => {
  it("gives all memory back at the end, and never holds more than it may", async () => {
    const worker = await scheduled({ form });
    expect(worker.pool.usedBytes).toBe(0);
    const all = Array.from({ length: 8 }, (_, i) =>
      worker.generate({ prompt: promptOf(20 + 40 * i, i), maxTokens: 100 - 10 * i }),
    );
    const ended = await Promise.all(all);
    expect(ended.map(({ tokens, failure }) => [tokens[0]?.length, failure])).toEqual(
      ended.map((_, i) => [100 - 10 * i, null]),
    );
    expect(worker.pool.usedBytes).toBe(0);
    expect(worker.pool.totalBytes).toBeLessThanOrEqual(worker.pool.limitBytes);
  });

  it("ends within two steps when it is stopped, one choice or all", async () => {
    const worker = await scheduled({ form });
    let runsWhenStopped = 0;
    worker.watch = (outcomes) => {
      const tokens = outcomes.flatMap((outcome) => outcome.tokens);
      if (runsWhenStopped > 0 || tokens.length < 2 || worker.outcomes.length < 5) return;
      runsWhenStopped = worker.session.runs.length;
      worker.stop(worker.lastId, null);
    };
    const choices = [{ seed: 1 }, { seed: 2 }];
    const { tokens } = await worker.generate({ maxTokens: 300, choices, sampling: LIVELY });
    expect(worker.session.runs.length - runsWhenStopped).toBeLessThanOrEqual(2);
    expect(tokens[0]?.length).toBeLessThan(10);
    expect(worker.pool.usedBytes).toBe(0);
  });

  it("goes on with the others when one choice is stopped", async () => {
    const worker = await scheduled({ form });
    worker.watch = () => {
      if (worker.outcomes.length === 4) worker.stop(worker.lastId, 0);
    };
    const choices = [{ seed: 1 }, { seed: 2 }, { seed: 3 }];
    const { tokens } = await worker.generate({ maxTokens: 30, choices, sampling: LIVELY });
    expect(tokens[0]?.length).toBeLessThan(7);
    expect(tokens.slice(1).map((each) => each.length)).toEqual([30, 30]);
    expect(worker.session.runs.at(-1)?.rows).toBe(2);
  });

  it("leaks nothing in a thousand generations that end early, wherever they are", async () => {
    const worker = await scheduled({ form });
    let stops = 0;
    for (let round = 0; round < 125; round++) {
      const ids: number[] = [];
      const all = Array.from({ length: 8 }, (_, i) => {
        const prompt = promptOf(1 + (((round * 8 + i) * 37) % 300), i);
        const ended = worker.generate({ prompt, maxTokens: 200 });
        ids.push(worker.lastId);
        return ended;
      });
      const from = worker.outcomes.length;
      worker.watch = () => {
        // Some in the middle of their prompt, some before it, some in the middle of their answer.
        if (worker.outcomes.length - from < round % 12) return;
        for (const id of ids) worker.stop(id, null);
      };
      worker.watch([]);
      await Promise.all(all);
      stops += ids.length;
      expect(worker.pool.usedBytes).toBe(0);
    }
    expect(stops).toBe(1000);
    expect(worker.pool.totalBytes).toBeLessThanOrEqual(worker.pool.limitBytes);
  }, 60_000);

  it("reads a long prompt in pieces, between steps of the others", async () => {
    const worker = await scheduled({ form });
    const short = worker.generate({ prompt: promptOf(4), maxTokens: 20 });
    const long = worker.generate({ prompt: promptOf(400), maxTokens: 1 });
    await Promise.all([short, long]);
    const lengths = worker.session.runs.map(({ tokens }) => tokens);
    expect(lengths.slice(0, 9)).toEqual([4, 1, 128, 1, 128, 1, 128, 1, 16]);
  });

  it("reads prompts in turns", async () => {
    const worker = await scheduled({ form });
    const lengths = [300, 299, 298];
    await Promise.all(
      lengths.map((length) => worker.generate({ prompt: promptOf(length), maxTokens: 1 })),
    );
    const read = worker.session.runs.map(({ tokens }) => tokens);
    expect(read).toEqual([128, 128, 128, 128, 128, 128, 44, 43, 42]);
  });

  it("reads a prompt once for all its choices", async () => {
    const worker = await scheduled({ form });
    const choices = Array.from({ length: 4 }, (_, seed) => ({ seed }));
    await worker.generate({ prompt: promptOf(140), maxTokens: 3, choices, sampling: LIVELY });
    const runs = worker.session.runs.map(({ rows, tokens }) => [rows, tokens]);
    expect(runs).toEqual([
      [1, 128],
      [1, 12],
      [4, 1],
      [4, 1],
    ]);
  });

  it("fails those whose run fails, frees what they held, and goes on with others", async () => {
    const worker = await scheduled({ form });
    const bad = promptOf(9, 5);
    worker.session.before = ({ tokens, ids }) => {
      if (tokens === 9 && ids[0] === bad[0]) throw new Error("secret");
    };
    const failing = worker.generate({ prompt: bad, maxTokens: 5 });
    const going = worker.generate({ prompt: promptOf(7), maxTokens: 5 });
    expect(await failing).toEqual({ tokens: [[]], failure: "inference/failed" });
    expect((await going).tokens[0]).toHaveLength(5);
    worker.session.before = ({ tokens }) => {
      if (tokens === 1) throw new Error("secret");
    };
    const step = await worker.generate({ maxTokens: 5 });
    expect(step.failure).toBe("inference/failed");
    expect(step.tokens[0]).toHaveLength(1);
    expect(worker.pool.usedBytes).toBe(0);
  });

  it("fails the one whose logits are no numbers, and not who shares its run", async () => {
    const worker = await scheduled({ form });
    worker.session.after = ({ rows, tokens }, logits) => {
      if (rows === 2 && tokens === 1) logits.fill(NaN, 0, logits.length / 2);
    };
    const both = [3, 4].map((seed) => worker.generate({ prompt: promptOf(6, seed), maxTokens: 9 }));
    const [first, second] = await Promise.all(both);
    expect(first?.failure).toBe("inference/failed");
    expect(second?.failure).toBeNull();
    expect(second?.tokens[0]).toHaveLength(9);
    expect(worker.pool.usedBytes).toBe(0);
  });

  it("puts a row of padding beside a sequence alone where batches of one differ", async () => {
    const request = { prompt: promptOf(120), maxTokens: 60, sampling: GREEDY };
    const plain = await (await scheduled({ form })).generate(request);
    const worker = await scheduled({ form }, { rows: { least: 2, most: 8 } });
    const padded = await worker.generate(request);
    expect(padded.tokens).toEqual(plain.tokens);
    const steps = worker.session.runs.filter(({ tokens }) => tokens === 1);
    expect(new Set(steps.map(({ rows }) => rows))).toEqual(new Set([2]));
    // Whoever comes next finds the padding's row as if nobody had been there.
    const again = await Promise.all([worker.generate(request), worker.generate(request)]);
    for (const { tokens } of again) expect(tokens).toEqual(plain.tokens);
    expect(worker.pool.usedBytes).toBe(0);
  });
});
