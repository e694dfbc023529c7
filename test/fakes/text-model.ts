/**
 * Models of text without an engine: tokens are bytes, special tokens and some words; what is
 * generated is what a script says. For tests of what the API makes of tokens.
 */
import { EnclaveError } from "../../enclave/errors.ts";
import type { ServedModels } from "../../enclave/models/served.ts";
import type {
  EngineFinish,
  GeneratedToken,
  Generation,
  GenerationRequest,
} from "../../enclave/text/generation.ts";
import type { EmbeddingModel, JsonValue, TextModel, ToolSyntax } from "../../enclave/text/model.ts";
import { sha256 } from "./served.ts";

const utf8 = new TextEncoder();
const BYTES = 256;
export const START = "<|im_start|>";
export const END = "<|im_end|>";
const SPECIALS = [START, END];

/** One choice of a generation: its pieces of text, one token each, or bytes; and how it ends. */
export interface Line {
  readonly pieces: readonly (string | Uint8Array)[];
  readonly finish?: EngineFinish;
  /** Of each token: its own, and as many alternatives as were asked for. */
  readonly logprob?: number;
}

export interface FakeOptions {
  readonly id?: string;
  readonly version?: string;
  readonly words?: readonly string[];
  readonly contextLength?: number;
  /** Tokens of prompt and answer that there is memory for, in all choices together. */
  readonly memoryTokens?: number;
  readonly tools?: ToolSyntax | null;
  readonly chat?: boolean;
  readonly script: (request: GenerationRequest, prompt: string) => readonly Line[];
  /** Refuses every generation. */
  readonly refusal?: EnclaveError;
  /** Fails after so many steps. */
  readonly failAfter?: number;
}

/** What happened to a fake, for a test to look at. */
export interface FakeText {
  readonly model: TextModel;
  readonly requests: GenerationRequest[];
  readonly prompts: string[];
  /** Steps of all generations together. */
  steps: number;
  /** Choices that the API stopped. */
  readonly stopped: number[];
  /** Generations that ended because nobody wanted them. */
  aborted: number;
}

export function createFakeText(options: FakeOptions): FakeText {
  const { words = [], contextLength = 512 } = options;
  const pieces = [...SPECIALS, ...words];
  const bytesOf = (token: number): Uint8Array => {
    if (token < BYTES) return Uint8Array.of(token);
    return utf8.encode(pieces[token - BYTES] ?? "");
  };
  const encode = (text: string): Int32Array<ArrayBuffer> => encodeWith(pieces, text);
  const fake: FakeText = {
    requests: [],
    prompts: [],
    steps: 0,
    stopped: [],
    aborted: 0,
    model: {
      kind: "generation",
      ref: {
        id: options.id ?? "fake",
        version: options.version ?? "1",
        digest: sha256(utf8.encode(`${options.id ?? "fake"}/${options.version ?? "1"}`)),
      },
      contextLength,
      vocabularySize: BYTES + pieces.length,
      defaults: { temperature: 0.7, topP: 0.9, topK: 40, minP: 0, repetitionPenalty: 1 },
      chat:
        options.chat === false ? null : { tools: options.tools ?? null, render: renderFakeChat },
      encode,
      tokenText: (token) => {
        const bytes = bytesOf(token);
        return { text: new TextDecoder().decode(bytes), bytes };
      },
      detokenizer() {
        const decoder = new TextDecoder();
        return {
          push: (token) =>
            token >= BYTES && token < BYTES + SPECIALS.length
              ? ""
              : decoder.decode(bytesOf(token), { stream: true }),
          end: () => decoder.decode(),
        };
      },
      mostTokens: (promptTokens, choices) =>
        Math.max(
          0,
          Math.min(
            contextLength - promptTokens,
            Math.floor((options.memoryTokens ?? Infinity) / choices) - promptTokens,
          ),
        ),
      async generate(request, signal) {
        await Promise.resolve();
        if (options.refusal !== undefined) throw options.refusal;
        fake.requests.push(request);
        const prompt = new TextDecoder().decode(
          Buffer.concat([...request.prompt].map((token) => bytesOf(token))),
        );
        fake.prompts.push(prompt);
        const lines = options.script(request, prompt).map((line) => tokensOf(line, encode));
        return generationOf(fake, request, lines, signal, options.failAfter ?? Infinity);
      },
    },
  };
  return fake;
}

interface Tokens {
  readonly tokens: readonly number[];
  readonly finish: EngineFinish;
  readonly logprob: number;
}

function tokensOf(line: Line, encode: (text: string) => Int32Array): Tokens {
  const tokens = line.pieces.flatMap((piece) =>
    typeof piece === "string" ? [...encode(piece)] : [...piece],
  );
  return { tokens, finish: line.finish ?? "end", logprob: line.logprob ?? -0.5 };
}

/** One token of every choice a step, one turn of the event loop each. */
function generationOf(
  fake: FakeText,
  { maxTokens, sampling }: GenerationRequest,
  lines: readonly Tokens[],
  signal: AbortSignal,
  failAfter: number,
): Generation {
  const stopped = new Set<number>();
  const eventsAt = (step: number): GeneratedToken[] =>
    lines.flatMap((line, choice): GeneratedToken[] => {
      if (stopped.has(choice) || step > line.tokens.length) return [];
      const token = line.tokens[step] ?? null;
      if (token === null) return [{ choice, token, logprob: null, top: [], finish: line.finish }];
      const { topLogprobs } = sampling;
      const finish = step + 1 === maxTokens ? "length" : null;
      const top = Array.from({ length: topLogprobs ?? 0 }, (_, i) => ({
        token: (token + i) % BYTES,
        logprob: line.logprob - i,
      }));
      const logprob = topLogprobs === null ? null : line.logprob;
      return [{ choice, token, logprob, top, finish }];
    });
  async function* tokens(): AsyncGenerator<readonly GeneratedToken[], void, void> {
    const ended = new Set<number>();
    let complete = false;
    try {
      for (let step = 0; ; step++) {
        await new Promise((resolve) => setImmediate(resolve));
        if (signal.aborted) throw new EnclaveError("inference/aborted", "nobody waits for it");
        if (step >= failAfter) throw new EnclaveError("inference/failed", "as the script says");
        fake.steps++;
        const events = eventsAt(step).filter(({ choice }) => !ended.has(choice));
        for (const { choice, finish } of events) if (finish !== null) ended.add(choice);
        if (events.length > 0) yield events;
        if (lines.every((_, choice) => ended.has(choice) || stopped.has(choice))) break;
      }
      complete = true;
    } finally {
      if (!complete) fake.aborted++;
    }
  }
  return {
    tokens: tokens(),
    stop(choice) {
      stopped.add(choice);
      fake.stopped.push(choice);
    },
  };
}

function encodeWith(pieces: readonly string[], text: string): Int32Array<ArrayBuffer> {
  const tokens: number[] = [];
  let rest = text;
  while (rest !== "") {
    const index = pieces.findIndex((piece) => rest.startsWith(piece));
    const piece = pieces[index];
    if (piece === undefined) {
      const character = String.fromCodePoint(rest.codePointAt(0) ?? 0);
      tokens.push(...utf8.encode(character));
      rest = rest.slice(character.length);
    } else {
      tokens.push(BYTES + index);
      rest = rest.slice(piece.length);
    }
  }
  return new Int32Array(tokens);
}

/** A template that uses a user's name and `enable_thinking`, and nothing else of that kind. */
const renderFakeChat: NonNullable<TextModel["chat"]>["render"] = (messages, tools, variables) => {
  const told = messages.map((message) => {
    const { role, content, name, tool_calls: calls, tool_call_id: answered } = message;
    if (content === "raise") throw new EnclaveError("prompt/template", "the template refuses");
    const who = role === "user" && typeof name === "string" ? ` ${name}` : "";
    const made = calls === undefined ? "" : JSON.stringify(calls);
    const to = typeof answered === "string" ? `(${answered})` : "";
    return `${START}${textOf(role)}${who}${to}\n${textOf(content)}${made}${END}\n`;
  });
  const shown = tools === null ? "" : `${START}tools\n${JSON.stringify(tools)}${END}\n`;
  const thinking = variables["enable_thinking"] === false ? "<think></think>" : "";
  return `${shown}${told.join("")}${START}assistant\n${thinking}`;
};

function textOf(value: JsonValue | undefined): string {
  if (typeof value === "string") return value;
  throw new TypeError("a message is not what templates read");
}

/** A vector that tells which text it is of, and that texts came in their order. */
export function createFakeEmbedding(id: string): EmbeddingModel {
  return {
    kind: "embedding",
    ref: { id, version: "1", digest: sha256(utf8.encode(id)) },
    dimensions: 3,
    contextLength: 16,
    encode: (text) => new Int32Array(utf8.encode(text)),
    embed: async (texts, signal) => {
      await Promise.resolve();
      signal.throwIfAborted();
      return texts.map((tokens) => Float32Array.of(tokens.length, tokens[0] ?? 0, 0.1));
    },
  };
}

/** These models as an enclave serves them, beside one of tensors whose id is `tensors`. */
export function serveFakes(models: readonly (TextModel | EmbeddingModel)[]): ServedModels {
  const never = new Promise<EnclaveError>(() => undefined);
  const ref = { id: "tensors", version: "1", digest: new Uint8Array(32) };
  const of = (id: string): readonly (TextModel | EmbeddingModel)[] =>
    models.filter((model) => model.ref.id === id);
  return {
    refs: [...models.map((model) => model.ref), ref],
    engine: { name: "onnxruntime-node", version: "0.0.0" },
    maxRequestBytes: 65_536,
    lookup: (id) =>
      id === ref.id
        ? {
            ref,
            session: { index: 0, inputs: [], outputs: [] },
            inputs: [],
            outputs: [],
            metadata: { description: null, license: null, inputs: new Map(), outputs: new Map() },
          }
        : null,
    versions: (id) => of(id).map((model) => model.ref.version),
    text: (id, version) =>
      version === null
        ? (of(id).at(-1) ?? null)
        : (of(id).find((model) => model.ref.version === version) ?? null),
    texts: () => models,
    infer: () => Promise.reject(new TypeError("a fake runs nothing")),
    queue: () => ({ depth: 0, limit: 1 }),
    ready: () => true,
    failure: never,
    close: () => Promise.resolve(),
  };
}
