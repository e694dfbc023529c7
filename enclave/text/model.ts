/** A model of text as the API sees it: loaded, verified, and ready to be asked. */
import type { ModelRef } from "@countersign/attestation/attester";
import type { Generation, GenerationRequest, SamplingParameters } from "./generation.ts";

/** A JSON value: what a template is rendered with. */
export type JsonValue =
  string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** How a model's template has tools called in its answer, found when the model is loaded. */
export interface ToolSyntax {
  /** Before each call's JSON, for example `<tool_call>\n`; may be empty. */
  readonly open: string;
  /** After it; may be empty, and then the answer is one call and nothing else. */
  readonly close: string;
  /** The member that holds the arguments: `arguments` or `parameters`. */
  readonly argumentsKey: "arguments" | "parameters";
}

/** What generation_config.json says where a request says nothing. */
export type SamplingDefaults = Pick<
  SamplingParameters,
  "temperature" | "topP" | "topK" | "minP" | "repetitionPenalty"
>;

/** Turns tokens into text as they come. One for each choice. */
export interface Detokenizer {
  /** The text that `token` completes: whole characters only, so it may be empty. Special tokens: "". */
  push(token: number): string;
  /** What is left at the end, with U+FFFD for a character that was never completed. */
  end(): string;
}

/** One message, tool call or tool of a chat, in OpenAI's form, as templates read it. */
export type TemplateMessage = { readonly [key: string]: JsonValue };

/** A decoder-only model that continues text. */
export interface TextModel {
  readonly kind: "generation";
  readonly ref: ModelRef;
  /** Tokens of prompt and answer together. */
  readonly contextLength: number;
  readonly vocabularySize: number;
  readonly defaults: SamplingDefaults;
  /** Null where the model has no chat template; then chat is refused. */
  readonly chat: ChatTemplate | null;
  /**
   * Token ids of a text.
   * @param specials - whether tokens like `<s>` are added and recognised in the text (a rendered chat
   * brings its own, so it is encoded with "recognise"; a completion's prompt with "add").
   */
  encode(text: string, specials: "add" | "recognise"): Int32Array<ArrayBuffer>;
  /** The text of a single token, as logprobs show it, and its bytes. */
  tokenText(token: number): { readonly text: string; readonly bytes: Uint8Array };
  /**
   * @param start - "beginning", where nothing is said: the answer is a text of its own, so a space that
   * SentencePiece puts before every text is dropped. "continuation": it goes on with the prompt's text,
   * as a completion does, and keeps that space.
   */
  detokenizer(start?: "beginning" | "continuation"): Detokenizer;
  /**
   * Tokens that each of so many choices may have at most after such a prompt, by the context and by the
   * memory for texts; 0 for none.
   */
  mostTokens(promptTokens: number, choices: number): number;
  /**
   * Starts a generation. Refuses before anything runs: EnclaveError `prompt/too-long` (400),
   * `memory/full` (429), `queue/full` (429), `constraint/schema` (400).
   */
  generate(request: GenerationRequest, signal: AbortSignal): Promise<Generation>;
}

/** A model's chat template. */
export interface ChatTemplate {
  /** Null where the template does not know tools. */
  readonly tools: ToolSyntax | null;
  /**
   * The prompt of a conversation, with the words that begin the assistant's turn.
   * @throws EnclaveError `prompt/template` with what the template said.
   */
  render(
    messages: readonly TemplateMessage[],
    tools: readonly JsonValue[] | null,
    variables: { readonly [name: string]: JsonValue },
  ): string;
}

/** A model that turns texts into vectors. */
export interface EmbeddingModel {
  readonly kind: "embedding";
  readonly ref: ModelRef;
  readonly dimensions: number;
  /** Tokens of one text at most; a longer one is refused with `prompt/too-long`, never cut. */
  readonly contextLength: number;
  encode(text: string): Int32Array<ArrayBuffer>;
  /** One vector for each text. @throws EnclaveError as {@link TextModel.generate}. */
  embed(
    texts: readonly Int32Array<ArrayBuffer>[],
    signal: AbortSignal,
  ): Promise<readonly Float32Array<ArrayBuffer>[]>;
}
