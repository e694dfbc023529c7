/** What is fuzzed: the contract between a target and everything that drives one. */
import type { Mode } from "@countersign/attestation";
import type { Random } from "./random.ts";

/** How an input is judged: what a Relying Party would have in its hands beside it. */
export interface Stance {
  /** The policy file's text; of a receipt, the point that should have signed it, hexadecimal. */
  readonly policy: string;
  readonly mode: Mode;
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** The challenge that was sent, hexadecimal; null where none was. */
  readonly nonce: string | null;
}

export interface Input {
  readonly bytes: Uint8Array;
  /** Null where the target judges form alone. */
  readonly stance: Stance | null;
  /** Marks of what the lab signed when it, or what it comes from, was made (`markOf`). */
  readonly signed: readonly string[];
}

export interface Seed extends Input {
  /** Whether the verifier must accept it as it is; a campaign over refusals alone finds nothing. */
  readonly genuine: boolean;
}

/** What came of one input. */
export interface Run {
  /** "accepted", or the code of the refusal. */
  readonly outcome: string;
  /** The promise that the verifier broke, in words; null where it kept them all. */
  readonly breach: string | null;
}

export interface Target {
  readonly name: string;
  /** Inputs between two looks at the coverage; a look costs about a millisecond. */
  readonly batch: number;
  readonly seeds: readonly Seed[];
  /** A new input made from `parent`; `other` is there to take parts from. */
  mutate(random: Random, parent: Input, other: Input): Input | Promise<Input>;
  /** Judges an input. What it throws is a crash of the verifier. */
  run(input: Input): Promise<Run>;
}

/** The module of a target, which a worker loads once coverage is counted. */
export interface TargetModule {
  readonly makeTarget: (seed: number) => Promise<Target>;
}

export const ACCEPTED = "accepted";

/** A broken promise, thrown by an oracle. */
export class Breach extends Error {
  override readonly name = "Breach";
}

/** @throws {@link Breach} unless `holds`. */
export function requireHeld(holds: boolean, otherwise: string): void {
  if (!holds) throw new Breach(otherwise);
}
