/** The decoders that expected.json is about. */

import type { Architecture, DecoderSpec } from "./spec.ts";

/** Short enough that the prompt reaches beyond it. */
const WINDOW = 5;
const ARCHITECTURES = [
  "llama",
  "mistral",
  "qwen2",
  "qwen3",
  "gemma",
  "gemma2",
  "gemma3_text",
  "phi",
  "phi3",
] as const satisfies readonly Architecture[];
/** Those that slide, if their config says so. */
const SLIDING = ["mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3"] as const;

/** By name of the expectation: each architecture, and once more with a window where it can slide. */
export const ORACLE_SPECS: Readonly<Record<string, Partial<DecoderSpec>>> = Object.fromEntries([
  ...ARCHITECTURES.map((architecture) => [architecture, { architecture }] as const),
  ...SLIDING.map(
    (architecture) => [`${architecture}-sliding`, { architecture, window: WINDOW }] as const,
  ),
]);
