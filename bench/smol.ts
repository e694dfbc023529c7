/** A model of SmolLM2-135M's shape, with random weights: as slow as the real one, and made here. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import {
  decoderExport,
  type DecoderSpec,
  graphPath,
  specialIds,
} from "../test/fakes/decoder/index.ts";

/** huggingface.co/HuggingFaceTB/SmolLM2-135M, config.json. */
const SHAPE = {
  architecture: "llama",
  layers: 30,
  hidden: 576,
  heads: 9,
  kvHeads: 3,
  headDim: 64,
  intermediate: 1536,
  vocabulary: 49_152,
  context: 2048,
} as const satisfies Partial<DecoderSpec>;

export const SMOL_ID = "smol";
const { endOfText, turnEnd } = specialIds(SHAPE.vocabulary);
export const SMOL_END_TOKENS: readonly number[] = [endOfText, turnEnd];

/** A prompt of so many ordinary tokens; another one for each `seed`. */
export function prompt(length: number, seed: number): number[] {
  return Array.from({ length }, (_, i) => 256 + ((i * 7919 + seed * 104_729) % 40_000));
}

export interface SmolModel {
  readonly weights: "fp32" | "q8";
  /** The model repository. */
  readonly models: string;
  /** The export within it. */
  readonly export: string;
  /** The graph and its weights within the export. */
  readonly graph: string;
  readonly external: string;
  remove(): Promise<void>;
}

/** Writes it as onnx-community does: GroupQueryAttention, weights beside the graph. */
export async function writeSmol(weights: SmolModel["weights"]): Promise<SmolModel> {
  const models = await mkdtemp(join(tmpdir(), "cs-bench-models-"));
  const folder = join(models, SMOL_ID, "1");
  const spec: Partial<DecoderSpec> = { ...SHAPE, weights, form: "gqa", external: true };
  for (const [path, bytes] of decoderExport(spec)) {
    const target = join(folder, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, bytes);
  }
  const graph = graphPath({ weights });
  return {
    weights,
    models,
    export: folder,
    graph: join(folder, graph),
    external: join(folder, `${graph}_data`),
    remove: () => rm(models, { recursive: true, force: true }),
  };
}
