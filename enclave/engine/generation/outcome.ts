import type { GeneratedToken } from "../../text/generation.ts";

/** How a generation that was under way can fail. */
export type GenerationErrorCode = "inference/failed" | "memory/full" | "constraint/schema";

/** What one run did for one generation, or its end. */
export interface Outcome {
  readonly id: number;
  /** May be empty: a part of the prompt was read. */
  readonly tokens: readonly GeneratedToken[];
  /** Its last outcome: all that it held is free again. */
  readonly ended: boolean;
  /** Why it ended before its time; with `ended` only. */
  readonly failure: GenerationErrorCode | null;
}
