/**
 * Hugging Face exports of decoders, made here: random weights, true architectures.
 *
 * That they are truly Llama, Qwen, Gemma and so on, expected.json shows: logits of the same weights
 * in transformers, written by oracle.py.
 */
import { configOf, configText, generationConfigOf } from "./configs.ts";
import { decoderGraph } from "./decoder-graph.ts";
import { DEFAULT_SPEC } from "./spec.ts";
import type { DecoderSpec } from "./spec.ts";
import { tokenizerFiles } from "./tokenizer.ts";

export { DEFAULT_SPEC } from "./spec.ts";
export type { Architecture, DecoderSpec } from "./spec.ts";
export { HOLES, SPECIAL_TOKENS, specialIds } from "./tokenizer.ts";

/** The endings that onnx-community gives to the variants. */
const SUFFIXES = {
  fp32: "",
  fp16: "_fp16",
  q8: "_quantized",
  q4: "_q4",
  q4f16: "_q4f16",
  int8: "_int8",
} as const satisfies Record<DecoderSpec["weights"], string>;

/** Every file of an export, by its path. What `spec` leaves out is {@link DEFAULT_SPEC}'s. */
export function decoderExport(spec: Partial<DecoderSpec> = {}): Map<string, Uint8Array> {
  const full = fullSpec(spec);
  const path = graphPath(full);
  const name = path.slice("onnx/".length);
  const { model, external } = decoderGraph(full, full.external ? `${name}_data` : null);
  const tokenizer = tokenizerFiles(full.vocabulary, full.context);
  const files = new Map([
    ["config.json", encoded(configOf(full))],
    ["generation_config.json", encoded(generationConfigOf(full))],
    ["tokenizer.json", encoded(tokenizer.tokenizer)],
    ["tokenizer_config.json", encoded(tokenizer.config)],
    [path, model],
  ]);
  if (external !== null) files.set(`${path}_data`, external);
  return files;
}

/** Where the graph of these weights stands in an export. */
export function graphPath({ weights }: Pick<DecoderSpec, "weights">): string {
  return `onnx/model${SUFFIXES[weights]}.onnx`;
}

function fullSpec(spec: Partial<DecoderSpec>): DecoderSpec {
  const full = { ...DEFAULT_SPEC, ...spec };
  // Phi has as many heads for keys as for queries.
  const kvHeads = full.architecture === "phi" ? full.heads : full.kvHeads;
  if (full.heads % kvHeads !== 0) throw new RangeError("heads are no multiple of kvHeads");
  return { ...full, kvHeads };
}

function encoded(value: object): Uint8Array {
  return new TextEncoder().encode(configText(value));
}
