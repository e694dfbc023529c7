/** A decoder-only model: its configuration, tokenizer and template joined to the engine. */
import { encodeUtf8, type ModelRef } from "@countersign/attestation/attester";
import { createChatTemplate, TEMPLATE_FILE } from "./chat-template.ts";
import { readDecoderSettings } from "./decoder-config.ts";
import { createDetokenizer } from "./detokenizer.ts";
import type { ExportFiles } from "./export-files.ts";
import type { TextModel } from "./model.ts";
import { wrong } from "./model-json.ts";
import type { TextEngine } from "./text-engine.ts";
import { readTokenTexts, type TokenTexts } from "./token-bytes.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";

/**
 * Loads a decoder-only model. What can be refused without the graph is refused first, so that nothing
 * is in the engine which is not served.
 *
 * @throws {@link EnclaveError} `model/config`, `model/tokenizer`, `model/template`, `model/cache`,
 * `model/memory`, `model/unsupported`, `model/load`, `model/external-data`.
 */
export async function loadTextModel(
  engine: TextEngine,
  files: ExportFiles,
  ref: ModelRef,
): Promise<TextModel> {
  // 1. The files that are words and numbers.
  const settings = readDecoderSettings(files.config, files.generation);
  const tokenizer = createTokenizer(files.tokenizer, files.tokenizerConfig, settings.contextLength);
  const { pieces } = tokenizer.file;
  if (pieces.length > settings.vocabularySize) {
    const found = `has the id ${pieces.length - 1}, config.json a vocabulary of ${settings.vocabularySize}`;
    throw wrong(tokenizer.file.section, "model", found);
  }
  const texts = readTokenTexts(tokenizer.file, tokenizer.special);
  const chat = createChatTemplate(files.file(TEMPLATE_FILE), files.tokenizerConfig, tokenizer);
  const endTokens = new Set(settings.endTokens);
  const named = tokenizer.named.get("eos_token");
  if (named !== undefined) endTokens.add(named.id);
  if (endTokens.size === 0) throw wrong(files.config, "eos_token_id", "is missing");
  // 2. The graph, whose buffers move to the engine.
  const session = await engine.loadText(files.session, {
    ...settings,
    endTokens: [...endTokens],
    tokens: texts.bytes,
    holes: pieces.flatMap((piece, id) => (piece === null ? [id] : [])),
  });
  if (session.vocabularySize < pieces.length) {
    const found = `has the id ${pieces.length - 1}, the graph ${session.vocabularySize} logits`;
    throw wrong(tokenizer.file.section, "model", found);
  }
  return {
    kind: "generation",
    ref,
    contextLength: session.contextLength,
    vocabularySize: session.vocabularySize,
    defaults: settings.defaults,
    chat,
    encode: (text, specials) => tokenizer.encode(text, specials),
    tokenText: (token) => tokenText(tokenizer, texts, token),
    detokenizer: (start = "beginning") => createDetokenizer(texts, start),
    mostTokens: (promptTokens, choices) => engine.mostTokens(session, promptTokens, choices),
    generate: (request, signal) => engine.generate(session, request, signal),
  };
}

const lossyUtf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** A special token shows as it is written; an id that no token has, as nothing. */
function tokenText(
  tokenizer: Tokenizer,
  texts: TokenTexts,
  token: number,
): { readonly text: string; readonly bytes: Uint8Array } {
  const bytes = texts.bytes[token] ?? encodeUtf8(tokenizer.file.pieces[token] ?? "");
  return { text: lossyUtf8.decode(bytes), bytes };
}
