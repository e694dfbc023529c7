import { createInterface } from "node:readline";

/** What a person at a terminal does next. */
export type Input =
  | { readonly kind: "line"; readonly text: string }
  /** Ctrl-C at the prompt. */
  | { readonly kind: "interrupt" }
  /** Ctrl-D. */
  | { readonly kind: "end" };

/** A line editor over a terminal. */
export interface Prompt {
  /** The next line, or what came in its place. */
  next(): Promise<Input>;
  /** Where Ctrl-C goes while an answer comes; null: to {@link next}. */
  onInterrupt(handler: (() => void) | null): void;
  close(): void;
}

const PROMPT = "› ";

/** The prompt over two streams of a terminal. Lines typed ahead wait for their turn. */
export function createPrompt(input: NodeJS.ReadableStream, output: NodeJS.WritableStream): Prompt {
  const editor = createInterface({ input, output, prompt: PROMPT, terminal: true });
  const waiting: Input[] = [];
  let wanted: ((input: Input) => void) | null = null;
  let interrupted: (() => void) | null = null;
  const give = (event: Input): void => {
    const take = wanted;
    wanted = null;
    if (take === null) waiting.push(event);
    else take(event);
  };
  editor.on("line", (text) => {
    give({ kind: "line", text });
  });
  editor.on("SIGINT", () => {
    if (interrupted === null) give({ kind: "interrupt" });
    else interrupted();
  });
  editor.on("close", () => {
    interrupted?.();
    give({ kind: "end" });
  });
  return {
    async next() {
      const first = waiting.shift();
      if (first !== undefined) return first;
      const { promise, resolve } = Promise.withResolvers<Input>();
      wanted = resolve;
      editor.prompt();
      return await promise;
    },
    onInterrupt(handler) {
      interrupted = handler;
    },
    close() {
      editor.close();
    },
  };
}
