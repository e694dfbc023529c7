/** Reads and writes text under a constraint, token by token, as an engine would. */
import {
  type ConstraintState,
  compileConstraint,
  startConstraint,
} from "../../enclave/text/constraint.ts";
import { EnclaveError } from "../../enclave/errors.ts";
import type { Constraint, JsonSchema } from "../../enclave/text/generation.ts";
import {
  type TokenBytes,
  type Vocabulary,
  createVocabulary,
} from "../../enclave/text/vocabulary.ts";

export const everyByte: TokenBytes = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
export const byteVocabulary: Vocabulary = createVocabulary(everyByte);

export const schemaConstraint = (schema: JsonSchema): Constraint => [
  { kind: "json-schema", schema },
];

/** A vocabulary of every byte, and of `pieces` behind them. */
export function vocabularyWith(pieces: readonly (string | Uint8Array | null)[]): Vocabulary {
  const more = pieces.map((piece) =>
    typeof piece === "string" ? new TextEncoder().encode(piece) : piece,
  );
  return createVocabulary([...everyByte, ...more]);
}

/** Ids whose bit is set. */
export function idsOf(mask: Uint32Array): number[] {
  return [...mask].flatMap((word, index) =>
    Array.from({ length: 32 }, (_, bit) => bit)
      .filter((bit) => (word & (1 << bit)) !== 0)
      .map((bit) => index * 32 + bit),
  );
}

/**
 * Whether `text` can be written byte by byte: `whole`, `part` where only its beginning can be (so more
 * would have to follow), or the number of bytes after which it cannot go on.
 */
export function readText(
  constraint: Constraint,
  text: string | Uint8Array,
): "whole" | "part" | number {
  const state = startConstraint(compileConstraint(constraint), byteVocabulary);
  for (const [place, byte] of Buffer.from(text).entries()) {
    if (!idsOf(state.allowed()).includes(byte)) return place;
    state.accept(byte);
  }
  return state.canEnd ? "whole" : "part";
}

/** The place that `step` refuses with `constraint/schema`, or "#"; null where it does not refuse. */
export function constraintRefusal(step: () => void): string | null {
  try {
    step();
    return null;
  } catch (error) {
    if (error instanceof EnclaveError && error.code === "constraint/schema") {
      return error.param ?? "#";
    }
    throw error;
  }
}

/** Bytes that end something, in the order in which a walk that is long enough prefers them. */
const CLOSING = [...Buffer.from('"}]0ntf:,')];

/**
 * Walks to the end of a constraint by tokens that `pick` takes among the allowed ones, and by closing
 * ones after `steps`; null where it would not end.
 */
export function writeText(
  state: ConstraintState,
  { tokens }: Vocabulary,
  pick: (count: number) => number,
  steps: number,
): string | null {
  const bytes: number[] = [];
  for (let step = 0; step < steps * 20; step += 1) {
    if (state.mustEnd || (state.canEnd && (step >= steps || pick(4) === 0))) {
      return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes));
    }
    const allowed = idsOf(state.allowed());
    if (allowed.length === 0) throw new Error("no token is allowed, and it may not end");
    const closing = CLOSING.find((byte) => allowed.includes(byte));
    const picked = allowed[pick(allowed.length)] ?? 0;
    const token = step >= steps ? (closing ?? picked) : picked;
    bytes.push(...(tokens[token] ?? []));
    state.accept(token);
  }
  return null;
}
