/** Files of exports for tests: JSON as sections, tokenizers, and an engine that only takes notes. */
import type { DecoderConfig } from "../../enclave/engine/generation/decoder-config.ts";
import type { SessionFiles } from "../../enclave/engine/messages.ts";
import { type ModelJsonCode, parseSection, type Section } from "../../enclave/text/model-json.ts";
import type { TextEngine } from "../../enclave/text/text-engine.ts";
import { createTokenizer, type Tokenizer } from "../../enclave/text/tokenizer.ts";
import type { Json } from "./tokenizers.ts";

export function jsonBytes(value: Json): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value));
}

export function sectionOf(
  value: Json,
  file = "tokenizer.json",
  code: ModelJsonCode = "model/tokenizer",
): Section {
  return parseSection(jsonBytes(value), file, code, 2 ** 26);
}

export function tokenizerOf(
  json: Json,
  config: Json | null = null,
  contextLength = 4096,
): Tokenizer {
  const section =
    config === null ? null : sectionOf(config, "tokenizer_config.json", "model/config");
  return createTokenizer(sectionOf(json), section, contextLength);
}

/** What a test's engine was given. */
export interface EngineNotes {
  readonly loaded: { readonly files: SessionFiles; readonly decoder: DecoderConfig }[];
  readonly engine: TextEngine;
}

/** An engine that loads anything and runs nothing. */
export function noteTakingEngine(vocabularySize: number): EngineNotes {
  const loaded: EngineNotes["loaded"] = [];
  const refuse = (): Promise<never> => Promise.reject(new TypeError("this engine runs nothing"));
  return {
    loaded,
    engine: {
      loadText(files, decoder) {
        loaded.push({ files, decoder });
        const index = loaded.length - 1;
        const { contextLength } = decoder;
        return Promise.resolve({
          index,
          vocabularySize,
          contextLength,
          bytesPerToken: 1024,
          maxSequences: 8,
        });
      },
      mostTokens: () => 0,
      generate: refuse,
      load: refuse,
      run: refuse,
    },
  };
}

/** The code, param and message with which `act` is refused. */
export function refusalOf(act: () => unknown): {
  readonly code: unknown;
  readonly param: unknown;
  readonly message: string;
} {
  try {
    act();
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error)) throw error;
    const param = "param" in error ? error.param : null;
    return { code: error.code, param, message: error.message };
  }
  throw new Error("nothing was refused");
}
