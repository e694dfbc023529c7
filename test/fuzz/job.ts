/** What a supervisor tells its worker, and what it hears back. */
import type { Input } from "./target.ts";

/**
 * Of V8's heap, all generations, by V8's own word: the verifier, what it judges, and the fuzzer. Of
 * that, 12 to 15 MiB of live objects are the worker's own before its first input (Node 24.21). The
 * same again for what lies outside of that heap: array buffers, imported keys.
 */
export const MAX_HEAP_MIB = 64;

/** A promise that was not kept. */
export type FindingKind =
  /** Something other than a refusal or a verdict was thrown. */
  | "crash"
  /** One execution took longer than it may. */
  | "hang"
  /** The worker needed more memory than it may. */
  | "heap"
  /** The worker died of something else. */
  | "death"
  /** An oracle disagrees: something was accepted, or judged twice with two outcomes. */
  | "breach"
  /** A genuine input was refused: the campaign would prove nothing. */
  | "refused";

export interface Finding {
  readonly target: string;
  readonly kind: FindingKind;
  readonly reason: string;
  readonly seed: number;
  readonly input: Input;
}

/** One worker's task. It is done when the first of the limits is reached. */
export interface Job {
  /** URL of a module of {@link TargetModule}'s shape. */
  readonly module: string;
  readonly seed: number;
  /** Coverage counts in modules whose URL begins so. */
  readonly covered: string;
  /** User and system time of the whole worker, its start included. */
  readonly cpuMs: number;
  readonly executions: number;
  /** Distinct ones. */
  readonly findings: number;
  readonly journal: string;
  /** The one input to run, in place of a campaign. */
  readonly replay: Input | null;
}

/** Figures of one worker so far. */
export interface Figures {
  readonly executions: number;
  readonly accepted: number;
  /** Distinct outcomes. */
  readonly outcomes: number;
  /** Inputs kept because they reached something new, seeds included. */
  readonly kept: number;
  readonly cpuMs: number;
  /** Of V8's heap: live objects and garbage that was not collected yet. */
  readonly peakHeapBytes: number;
  /** Live objects alone, before the first input: what is the worker's own. */
  readonly baselineHeapBytes: number;
  /** Outside of V8's heap: array buffers, imported keys. */
  readonly peakExternalBytes: number;
  readonly slowestMs: number;
  readonly coveredBlocks: number;
  readonly knownBlocks: number;
}

/** Stretches of one function between two of its block boundaries, and whether each was executed. */
export interface FunctionBlocks {
  readonly url: string;
  readonly start: number;
  readonly end: number;
  /** Ascending, from `start` to `end`. */
  readonly edges: readonly number[];
  /** One a stretch. */
  readonly covered: readonly boolean[];
}

export type Message =
  | { readonly kind: "progress"; readonly figures: Figures }
  | { readonly kind: "finding"; readonly finding: Finding }
  | {
      readonly kind: "done";
      readonly figures: Figures;
      readonly blocks: readonly FunctionBlocks[];
      /** What became of the input of a replay. */
      readonly outcome: string | null;
    };

/** For JSON: the bytes in base64. */
export function encodeInput({ bytes, stance, signed }: Input): object {
  return { bytes: Buffer.from(bytes).toString("base64"), stance, signed };
}

/** The inverse of {@link encodeInput}; takes only what that wrote. */
export function decodeInput(json: unknown): Input {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by encodeInput, read by no one else
  const written = json as Omit<Input, "bytes"> & { readonly bytes: string };
  return { ...written, bytes: new Uint8Array(Buffer.from(written.bytes, "base64")) };
}
