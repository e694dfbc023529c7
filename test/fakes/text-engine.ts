/** Made-up decoders in the real engine, and what they generate. */
import "../../enclave/engine/environment.ts";
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { Engine, EngineOptions, TextSession } from "../../enclave/engine/engine.ts";
import type { DecoderConfig } from "../../enclave/engine/generation/decoder-config.ts";
import type { SessionFiles } from "../../enclave/engine/messages.ts";
import type {
  GeneratedToken,
  Generation,
  GenerationRequest,
  SamplingParameters,
} from "../../enclave/text/generation.ts";
import { decoderExport, type DecoderSpec, DEFAULT_SPEC, graphPath } from "./decoder/index.ts";

export const ENGINE_OPTIONS: EngineOptions = {
  intraOpThreads: 1,
  queueLength: 64,
  inferenceTimeoutMs: 30_000,
  cacheBytes: 1 << 26,
  maxSequences: 8,
};

export const GREEDY: SamplingParameters = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  frequencyPenalty: 0,
  presencePenalty: 0,
  repetitionPenalty: 1,
  logitBias: [],
  topLogprobs: null,
};
export const LIVELY: SamplingParameters = { ...GREEDY, temperature: 1, topP: 0.95 };

/** The graph of a made-up export, as the engine takes it. */
export function decoderFiles(spec: Partial<DecoderSpec>): SessionFiles {
  const whole = { ...DEFAULT_SPEC, ...spec };
  const files = decoderExport(whole);
  const path = graphPath(whole);
  const graph = files.get(path);
  if (graph === undefined) throw new TypeError(`no ${path}`);
  const data = files.get(`${path}_data`);
  const location = `${path.slice("onnx/".length)}_data`;
  const external = data === undefined ? [] : [{ path: location, bytes: new Uint8Array(data) }];
  return { graph: new Uint8Array(graph), external };
}

/** What its config.json and tokenizer would say: each token is one byte, or two. */
export function decoderConfig(
  spec: Partial<DecoderSpec>,
  changes: Partial<DecoderConfig> = {},
): DecoderConfig {
  const { context, layers, kvHeads, headDim, vocabulary, window } = { ...DEFAULT_SPEC, ...spec };
  return {
    contextLength: context,
    layers,
    kvHeads,
    headDim,
    slidingWindow: window !== null,
    endTokens: [],
    tokens: Array.from({ length: vocabulary }, (_, id) =>
      id < 256 ? Uint8Array.of(id) : Uint8Array.of(0x20, id - 256),
    ),
    holes: [],
    ...changes,
  };
}

/** Tokens that look like nothing in particular. */
export function promptOf(length: number, seed = 1): Int32Array<ArrayBuffer> {
  return Int32Array.from({ length }, (_, i) => ((i + seed) * 7919 + seed * 104_729) % 300);
}

export function requestOf(changes: Partial<GenerationRequest>): GenerationRequest {
  return {
    prompt: promptOf(8),
    choices: [{ seed: 1 }],
    maxTokens: 8,
    sampling: GREEDY,
    constraint: null,
    ...changes,
  };
}

export function neverAborted(): AbortSignal {
  return new AbortController().signal;
}

/** Every event of each choice, in order. */
export async function eventsOf(generation: Generation): Promise<GeneratedToken[][]> {
  const events: GeneratedToken[][] = [];
  for await (const batch of generation.tokens) {
    for (const event of batch) (events[event.choice] ??= []).push(event);
  }
  return events;
}

/** The tokens of each choice. */
export async function tokensOf(generation: Generation): Promise<number[][]> {
  const events = await eventsOf(generation);
  return events.map((choice) => choice.flatMap(({ token }) => (token === null ? [] : [token])));
}

/** The tokens of a request with one choice. */
export async function generated(
  engine: Engine,
  session: TextSession,
  changes: Partial<GenerationRequest>,
): Promise<number[]> {
  const generation = await engine.generate(session, requestOf(changes), neverAborted());
  return (await tokensOf(generation))[0] ?? [];
}

/**
 * The same by a loop as anyone would write it, over ONNX Runtime alone: one run for the prompt, one for
 * each token, past and new fed back as they come. Float32 only.
 */
export async function naiveTokens(
  files: SessionFiles,
  prompt: Int32Array,
  count: number,
): Promise<number[]> {
  const externalData = files.external.map(({ path, bytes }) => ({ path, data: bytes }));
  const session = await InferenceSession.create(files.graph, {
    intraOpNumThreads: 1,
    externalData,
  });
  const presents = session.outputNames.filter((name) => name.startsWith("present"));
  const shape = session.inputMetadata.find(({ name }) => name.startsWith("past"));
  const [, heads, , dim] = shape?.isTensor === true ? shape.shape : [];
  const empty = (): Tensor =>
    new Tensor("float32", new Float32Array(0), [1, Number(heads), 0, Number(dim)]);
  let past = presents.map(empty);
  let ids = [...prompt];
  let length = 0;
  const tokens: number[] = [];
  while (tokens.length < count) {
    const row = [1, ids.length];
    const feeds: Record<string, Tensor> = {
      input_ids: new Tensor("int64", ids.map(BigInt), row),
      attention_mask: int64(length + ids.length, () => 1, [1, length + ids.length]),
      position_ids: int64(ids.length, (i) => length + i, row),
      num_logits_to_keep: int64(1, () => 1, []),
    };
    presents.forEach((name, i) => {
      const value = past[i];
      if (value !== undefined) feeds[name.replace("present", "past_key_values")] = value;
    });
    const wanted = session.inputNames.map((name) => [name, feeds[name]] as const);
    const given = Object.fromEntries(wanted.filter(([, value]) => value !== undefined));
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- filtered above
    const results = await session.run(given as Record<string, Tensor>);
    length += ids.length;
    const next = argmax(results["logits"]);
    past = presents.map((name) => results[name] ?? empty());
    tokens.push(next);
    ids = [next];
  }
  await session.release();
  return tokens;
}

function int64(count: number, value: (i: number) => number, dims: readonly number[]): Tensor {
  return new Tensor(
    "int64",
    BigInt64Array.from({ length: count }, (_, i) => BigInt(value(i))),
    dims,
  );
}

/** Of the last position. */
function argmax(logits: Tensor | undefined): number {
  if (!(logits?.data instanceof Float32Array)) throw new TypeError("no logits");
  const last = logits.data.subarray(-(logits.dims.at(-1) ?? 0));
  return last.reduce((best, value, i) => (value > (last[best] ?? 0) ? i : best), 0);
}
