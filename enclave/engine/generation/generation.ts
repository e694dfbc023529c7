import { compileConstraint } from "../../text/constraint.ts";
import type { GeneratedToken, GenerationRequest } from "../../text/generation.ts";
import { EnclaveError } from "../../errors.ts";
import { Choice } from "./choice.ts";
import type { LoadedDecoder } from "./load-decoder.ts";
import type { GenerationErrorCode } from "./outcome.ts";
import type { Prefill } from "./prefill.ts";

/** One request in the worker, from its admission until nothing of it is left. */
export class Generation {
  readonly id: number;
  readonly decoder: LoadedDecoder;
  readonly request: GenerationRequest;
  readonly choices: readonly Choice[];
  /** Reads the prompt; null once it is read, and what it held is with the choices. */
  prefill: Prefill | null = null;
  /** Choices that still have a place in a cache. */
  placed = 0;
  failure: GenerationErrorCode | null = null;
  /** What happened since the last message. */
  tokens: GeneratedToken[] = [];

  /** @throws EnclaveError `constraint/schema`. */
  constructor(id: number, decoder: LoadedDecoder, request: GenerationRequest) {
    this.id = id;
    this.decoder = decoder;
    this.request = request;
    const { constraint } = request;
    const compiled = constraint === null ? null : compileConstraint(constraint);
    this.choices = request.choices.map(({ seed }, i) => new Choice(this, i, seed, compiled));
  }

  /** Whether no choice wants another token. */
  get over(): boolean {
    return this.choices.every(({ over }) => over);
  }

  /** Whether it holds nothing any more. */
  get empty(): boolean {
    return this.over && this.prefill === null && this.placed === 0;
  }

  /** Lets a choice go on. A failure of one is a failure of all. */
  take(choice: Choice, logits: Float32Array): void {
    if (choice.over) return;
    try {
      this.tokens.push(choice.take(logits));
    } catch (error) {
      this.fail(error);
    }
  }

  /** Nothing more comes of it; the reason stays in the worker but for its code. */
  fail(error: unknown): void {
    const code = error instanceof EnclaveError ? error.code : null;
    this.failure ??=
      code === "memory/full" || code === "constraint/schema" ? code : "inference/failed";
    for (const choice of this.choices) choice.stop();
  }
}
