import type { EnclaveError } from "../errors.ts";
import type { GeneratedToken } from "../text/generation.ts";

/**
 * What came of a generation and was not read yet.
 *
 * It needs no limit of its own: a choice has at most as many tokens as its request reserved.
 */
export class TokenStream {
  readonly #leave: () => void;
  #tokens: GeneratedToken[] = [];
  #end: EnclaveError | "done" | null = null;
  #wake: (() => void) | null = null;

  /** @param leave - the reader left before the end. */
  constructor(leave: () => void) {
    this.#leave = leave;
  }

  push(tokens: readonly GeneratedToken[]): void {
    if (this.#end !== null || tokens.length === 0) return;
    this.#tokens.push(...tokens);
    this.#wake?.();
  }

  /** Nothing more of this choice is read, not even what came already. */
  drop(choice: number): void {
    this.#tokens = this.#tokens.filter((token) => token.choice !== choice);
  }

  /** What came before is still read; an error comes at once, and what was not read is lost. */
  end(reason: EnclaveError | "done"): void {
    if (this.#end !== null) return;
    this.#end = reason;
    if (reason !== "done") this.#tokens = [];
    this.#wake?.();
  }

  async *read(): AsyncGenerator<readonly GeneratedToken[], void, undefined> {
    try {
      for (;;) {
        if (this.#tokens.length > 0) {
          const tokens = this.#tokens;
          this.#tokens = [];
          yield tokens;
        } else if (this.#end === "done") return;
        else if (this.#end !== null) throw this.#end;
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          this.#wake = null;
        }
      }
    } finally {
      if (this.#end === null) this.#leave();
    }
  }
}
