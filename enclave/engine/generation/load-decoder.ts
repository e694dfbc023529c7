import { InferenceSession } from "onnxruntime-node";
import { EnclaveError } from "../../errors.ts";
import { createVocabulary, type Vocabulary } from "../../text/vocabulary.ts";
import { type DecoderGraph, readDecoderGraph } from "../graph/decoder.ts";
import type { SessionFiles } from "../messages.ts";
import { sessionOptions } from "../session-options.ts";
import { type CacheShape, elementBytes, rowElements } from "./arrays.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import { DecoderSession } from "./decoder-session.ts";
import { capacityFor, type DecoderPlan, promisableBytes, requestBytes } from "./plan.ts";
import type { CachePool } from "./pool.ts";
import { PROBE_TOKENS, probeDecoder } from "./probe.ts";

/** A decoder that was opened and probed. */
export interface LoadedDecoder {
  readonly session: DecoderSession;
  readonly plan: DecoderPlan;
  readonly vocabulary: Vocabulary;
  readonly endTokens: readonly number[];
  /** Ids that no token has. */
  readonly never: readonly number[];
}

/**
 * Opens a decoder and finds out how to run it. Where it fails, nothing of it stays.
 *
 * @throws EnclaveError `model/cache`, `model/memory`, `model/unsupported`; what ONNX Runtime throws.
 */
export async function loadDecoder(
  files: SessionFiles,
  config: DecoderConfig,
  pool: CachePool,
  limits: { readonly intraOpThreads: number; readonly maxSequences: number },
): Promise<LoadedDecoder> {
  const graph = readDecoderGraph(files.graph);
  requireCache(graph, config);
  const contextLength = Math.min(config.contextLength, graph.tablePositions ?? Infinity);
  if (contextLength <= PROBE_TOKENS) {
    throw new EnclaveError("model/unsupported", `a context of ${contextLength} tokens`);
  }
  const options = sessionOptions(files.external, limits.intraOpThreads);
  const session = new DecoderSession(await InferenceSession.create(graph.bytes, options), graph);
  try {
    const vocabularySize = await session.measure();
    requireVocabulary(vocabularySize, config);
    const most = roomFor(session.shape, contextLength, pool, limits.maxSequences);
    const { slidingWindow } = config;
    const { mode, rows } = await probeDecoder(
      session,
      pool,
      { slidingWindow, contextLength },
      most,
    );
    const plan = {
      contextLength,
      vocabularySize,
      bytesPerToken: bytesPerToken(session.shape),
      arrays: session.shape.arrays,
      mode,
      twofold: mode === "exact" && graph.form !== "append",
      rows,
    };
    requireRoom(plan, pool);
    const vocabulary = createVocabulary(config.tokens);
    const never = neverSampled(config, vocabularySize);
    return { session, plan, vocabulary, endTokens: config.endTokens, never };
  } catch (error) {
    await session.release();
    throw error;
  }
}

/** The cache in the graph is the one that config.json describes. */
function requireCache(graph: DecoderGraph, config: DecoderConfig): void {
  const found = { layers: graph.layers.length, kvHeads: graph.kvHeads, headDim: graph.headDim };
  for (const name of ["layers", "kvHeads", "headDim"] as const) {
    if (found[name] === config[name]) continue;
    throw new EnclaveError(
      "model/cache",
      `the graph's cache has ${name} ${found[name]}, config.json says ${config[name]}`,
      { param: name },
    );
  }
}

function requireVocabulary(vocabularySize: number, config: DecoderConfig): void {
  const known = config.tokens.some((bytes, id) => bytes !== null && id < vocabularySize);
  if (!known) {
    throw new EnclaveError(
      "model/unsupported",
      `logits of ${vocabularySize} tokens, of which the tokenizer has none`,
    );
  }
}

function bytesPerToken(shape: CacheShape): number {
  return shape.arrays * rowElements(shape, 1) * elementBytes(shape.type);
}

/**
 * How many sequences the probe can put into one run: each has a row and its prompt, and one more row is
 * for a past that is held twice. With less memory than that for all, fewer share their runs.
 */
function roomFor(
  shape: CacheShape,
  contextLength: number,
  pool: CachePool,
  maxSequences: number,
): number {
  const slots = capacityFor(PROBE_TOKENS, contextLength) + PROBE_TOKENS;
  const room = promisableBytes(pool.limitBytes, shape.arrays);
  const rows = Math.floor(room / (slots * bytesPerToken(shape))) - 1;
  if (rows >= 1) return Math.min(rows, maxSequences);
  throw new EnclaveError(
    "model/memory",
    `${pool.limitBytes} bytes for all caches, the smallest has ${slots * bytesPerToken(shape)}`,
    { param: "cacheBytes" },
  );
}

/** The smallest request can be served. */
function requireRoom(plan: DecoderPlan, pool: CachePool): void {
  const bytes = requestBytes(plan, 1, 1, 1);
  if (bytes <= promisableBytes(pool.limitBytes, plan.arrays)) return;
  throw new EnclaveError(
    "model/memory",
    `${pool.limitBytes} bytes for all texts, the smallest takes ${bytes} and one array more`,
    { param: "cacheBytes" },
  );
}

function neverSampled(config: DecoderConfig, vocabularySize: number): readonly number[] {
  const never = config.holes.filter((id) => id < vocabularySize);
  for (let id = config.tokens.length; id < vocabularySize; id++) never.push(id);
  return never;
}
