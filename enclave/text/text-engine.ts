import type { Engine } from "../engine/engine.ts";

/** What a model of text asks of the inference engine. */
export type TextEngine = Pick<Engine, "generate" | "load" | "loadText" | "mostTokens" | "run">;
