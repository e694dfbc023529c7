/** What is asked of the nodes: a small model of ours, and one that takes about 1.2 ms. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BUNDLED_MODELS } from "../client/cli/paths.ts";
import { type Engine, startEngine } from "../enclave/engine/engine.ts";
import { requireFeeds } from "../enclave/engine/feeds.ts";
import { CHAIN_INPUTS, chainModel } from "./onnx.ts";
import { median } from "./statistics.ts";

export interface Workload {
  readonly name: string;
  /** The model repository. */
  readonly models: string;
  readonly path: string;
  readonly body: Uint8Array<ArrayBuffer>;
  /** What there is to say of it. */
  readonly about: string;
  remove(): Promise<void>;
}

/** "A model of about 1.2 ms". */
const TARGET_US = 1200;
const FIRST_PRODUCTS = 400;
const CLOSE_ENOUGH = 0.03;
const ATTEMPTS = 5;
const TIMED_RUNS = 400;
const WARM_UP_RUNS = 200;

/** One picture, as JSON. */
export function digits(): Workload {
  const pixels = Array.from({ length: 64 }, (_, i) => ((i * 7) % 17) / 16);
  return {
    name: "digits",
    models: BUNDLED_MODELS,
    path: "/v2/models/digits/infer",
    body: requestBody("image", [1, 1, 8, 8], pixels),
    about: "`digits`: one picture of 8 × 8 pixels as JSON.",
    remove: () => Promise.resolve(),
  };
}

/** Writes the chain whose length fits this machine. */
export async function chain(): Promise<Workload> {
  const { products, modelUs, roundTripUs } = await calibrate();
  const models = await mkdtemp(join(tmpdir(), "cs-bench-models-"));
  const version = join(models, "chain", "1");
  await mkdir(version, { recursive: true });
  await writeFile(join(version, "model.onnx"), chainModel(products));
  const values = Array.from({ length: CHAIN_INPUTS }, (_, i) => i / 8);
  return {
    name: "model of 1.2 ms",
    models,
    path: "/v2/models/chain/infer",
    body: requestBody("x", [1, CHAIN_INPUTS], values),
    about:
      `Model of 1.2 ms: ${products} products of a 240 × 240 float32 matrix on one thread; ` +
      `measured ${(modelUs / 1000).toFixed(2)} ms here, ${(roundTripUs / 1000).toFixed(2)} ms with ` +
      "the way to the inference thread and back.",
    remove: () => rm(models, { recursive: true, force: true }),
  };
}

interface Calibration {
  readonly products: number;
  /** The model alone, and as the enclave's main thread sees it. */
  readonly modelUs: number;
  readonly roundTripUs: number;
}

/** Times a length, and corrects it, until what it takes is about right. */
async function calibrate(): Promise<Calibration> {
  let products = FIRST_PRODUCTS;
  for (let attempt = 1; ; attempt++) {
    // A chain of no square product is all way and no work.
    const wayUs = await roundTrip(0);
    const roundTripUs = await roundTrip(products);
    const modelUs = roundTripUs - wayUs;
    const error = Math.abs(modelUs / TARGET_US - 1);
    if (error < CLOSE_ENOUGH || attempt === ATTEMPTS) return { products, modelUs, roundTripUs };
    products = Math.max(1, Math.round((products * TARGET_US) / modelUs));
  }
}

/** Median of one run after the other through the enclave's own engine, µs. */
async function roundTrip(products: number): Promise<number> {
  const queue = { queueLength: 4, inferenceTimeoutMs: 10_000 };
  const options = { intraOpThreads: 1, ...queue, cacheBytes: 1_048_576, maxSequences: 1 };
  const engine = await startEngine(options);
  try {
    return await timed(engine, chainModel(products));
  } finally {
    await engine.close();
  }
}

async function timed(engine: Engine, graph: Uint8Array<ArrayBuffer>): Promise<number> {
  const session = await engine.load({ graph, external: [] });
  const inputs = session.inputs.map((info) => ({ ...info, allowEmpty: false }));
  const { signal } = new AbortController();
  const times: number[] = [];
  for (let run = 0; run < WARM_UP_RUNS + TIMED_RUNS; run++) {
    const elements = new Uint8Array(new Float32Array(CHAIN_INPUTS).fill(1).buffer);
    const tensor = { datatype: "FP32", shape: [1, CHAIN_INPUTS], elements } as const;
    const feeds = requireFeeds(inputs, new Map([["x", tensor]]), elements.length);
    const startMs = performance.now();
    await engine.run(session, feeds, [0], signal);
    if (run >= WARM_UP_RUNS) times.push((performance.now() - startMs) * 1000);
  }
  return median(times);
}

function requestBody(
  name: string,
  shape: readonly number[],
  data: readonly number[],
): Uint8Array<ArrayBuffer> {
  const inputs = [{ name, datatype: "FP32", shape, data }];
  return new TextEncoder().encode(JSON.stringify({ inputs }));
}
