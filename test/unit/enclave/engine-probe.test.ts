/** What a decoder is found to be able to do, and what it is then spared. */
import { describe, expect, it } from "vitest";
import { loadDecoder } from "../../../enclave/engine/generation/load-decoder.ts";
import { CachePool } from "../../../enclave/engine/generation/pool.ts";
import { probeDecoder, type Proof } from "../../../enclave/engine/generation/probe.ts";
import type { DecoderSpec } from "../../fakes/decoder/index.ts";
import { type SeenRun, watchedSession } from "../../fakes/scheduled.ts";
import { decoderConfig, decoderFiles } from "../../fakes/text-engine.ts";

const CONFIG = { slidingWindow: false, contextLength: 512 };
/** Two rows of 128 tokens and 17 of prompt, 512 bytes each; a quarter more for one array held twice. */
const LEAST_BYTES = (2 * (128 + 17) * 512 * 5) / 4;
const LIMITS = { intraOpThreads: 1, maxSequences: 4 };

async function proofOf(
  spec: Partial<DecoderSpec>,
  after: (run: SeenRun, logits: Float32Array) => void = () => undefined,
): Promise<Proof> {
  const session = await watchedSession(spec);
  session.after = after;
  const pool = new CachePool(1 << 24);
  const proof = await probeDecoder(session, pool, CONFIG, 4);
  expect(pool.usedBytes).toBe(0);
  return proof;
}

/** Changes the last bit of one logit. */
function disturb(logits: Float32Array, at = 0): void {
  const bits = new Int32Array(logits.buffer, logits.byteOffset, logits.length);
  bits[at] = (bits[at] ?? 0) ^ 1;
}

describe("the probe", () => {
  it.each([
    [{ form: "concat" }, "append"],
    [{ form: "gqa" }, "in-place"],
    [{ form: "gqa", weights: "q4f16" }, "in-place"],
  ] as const)("finds that %o shares runs of any size, %s", async (spec, mode) => {
    expect(await proofOf(spec)).toEqual({ mode, rows: { least: 1, most: 4 } });
  });

  it("finds that quantisation with one scale for a batch lets rows know of each other", async () => {
    const rows = { least: 1, most: 1 };
    expect(await proofOf({ weights: "int8" })).toEqual({ mode: "append", rows });
  });

  it("finds that batches of one differ from larger ones by a single bit", async () => {
    const proof = await proofOf({}, ({ rows, tokens }, logits) => {
      if (rows === 1 && tokens === 1) disturb(logits);
    });
    expect(proof.rows).toEqual({ least: 2, most: 4 });
  });

  it("finds that one size of batch differs by a single bit", async () => {
    const proof = await proofOf({ form: "gqa" }, ({ rows, tokens }, logits) => {
      if (rows === 3 && tokens === 1) disturb(logits, logits.length - 1);
    });
    expect(proof.rows).toEqual({ least: 1, most: 1 });
  });

  it("finds that slots to spare are counted, and gives each sequence an exact past", async () => {
    let steps = 0;
    const proof = await proofOf({}, ({ tokens }, logits) => {
      // The third single token is the second look at the slab, whose spare slots were soiled.
      steps += tokens === 1 ? 1 : 0;
      if (steps === 3) disturb(logits);
    });
    expect(proof).toEqual({ mode: "exact", rows: { least: 1, most: 1 } });
  });

  it("finds that padded and exact past differ by more than rounding", async () => {
    let steps = 0;
    const proof = await proofOf({ form: "gqa" }, ({ tokens }, logits) => {
      steps += tokens === 1 ? 1 : 0;
      if (steps === 2) logits[0] = (logits[0] ?? 0) + 1;
    });
    expect(proof.mode).toBe("exact");
  });

  it("does not try to share where a window counts slots", async () => {
    const session = await watchedSession({ architecture: "gemma2", window: 16 });
    const config = { ...CONFIG, slidingWindow: true };
    const proof = await probeDecoder(session, new CachePool(1 << 24), config, 4);
    expect(proof).toEqual({ mode: "exact", rows: { least: 1, most: 1 } });
  });

  it("reads the last id, so that a graph which does not know it is found", async () => {
    const session = await watchedSession({});
    session.before = ({ ids }) => {
      if (ids.includes(383)) throw new RangeError("no such row");
    };
    const pool = new CachePool(1 << 24);
    await expect(probeDecoder(session, pool, CONFIG, 4)).rejects.toThrow("no such row");
    expect(pool.usedBytes).toBe(0);
  });

  it("refuses a decoder whose logits are no numbers", async () => {
    const broken = proofOf({}, (_, logits) => {
      logits[7] = NaN;
    });
    await expect(broken).rejects.toMatchObject({ code: "model/unsupported" });
  });
});

describe("loading a decoder", () => {
  it.each([
    ["model/cache", decoderConfig({}, { layers: 3 }), 1 << 24],
    ["model/cache", decoderConfig({}, { kvHeads: 4 }), 1 << 24],
    ["model/cache", decoderConfig({}, { headDim: 32 }), 1 << 24],
    ["model/unsupported", decoderConfig({}, { contextLength: 17 }), 1 << 24],
    ["model/unsupported", decoderConfig({}, { tokens: [null, null] }), 1 << 24],
    ["model/memory", decoderConfig({}), LEAST_BYTES - 1],
  ] as const)("is refused with %s, and holds nothing then", async (code, config, cacheBytes) => {
    const pool = new CachePool(cacheBytes);
    const load = loadDecoder(decoderFiles({}), config, pool, LIMITS);
    await expect(load).rejects.toMatchObject({ code });
    expect(pool.usedBytes).toBe(0);
  });

  it("is refused where a large vocabulary leaves no memory for a single text", async () => {
    const spec = { vocabulary: 8192, hidden: 32 } as const;
    const pool = new CachePool(LEAST_BYTES);
    const load = loadDecoder(decoderFiles(spec), decoderConfig(spec), pool, LIMITS);
    await expect(load).rejects.toMatchObject({ code: "model/memory", param: "cacheBytes" });
    expect(pool.usedBytes).toBe(0);
  });

  it.each([
    ["GroupQueryAttention", { form: "gqa" }],
    ["RotaryEmbedding", { form: "gqa", architecture: "phi", kvHeads: 4 }],
  ] as const)("goes no further than the tables of %s", async (_, spec) => {
    const config = decoderConfig(spec, { contextLength: 2048 });
    const pool = new CachePool(1 << 24);
    const { plan } = await loadDecoder(decoderFiles(spec), config, pool, LIMITS);
    expect(plan.contextLength).toBe(512);
  });

  it("takes the least memory that will do, and then shares no run", async () => {
    const pool = new CachePool(LEAST_BYTES);
    const { plan } = await loadDecoder(decoderFiles({}), decoderConfig({}), pool, LIMITS);
    expect(plan.rows).toEqual({ least: 1, most: 1 });
    expect(plan.bytesPerToken).toBe(512);
    expect(plan.vocabularySize).toBe(384);
    expect(pool.usedBytes).toBe(0);
  });
});
