/** What the targets that yield no verdict share: running a parser twice, and its oracle. */
import { AttestationError } from "@countersign/attestation";
import { ACCEPTED, Breach, requireHeld, type Run } from "../target.ts";

/**
 * Runs `parse` twice: the same outcome both times, and one that `oracle` agrees to.
 *
 * Whatever `parse` throws that is no refusal is thrown on: a crash.
 */
export async function runTwice<T>(
  parse: () => T | Promise<T>,
  oracle: (value: T) => void,
): Promise<Run> {
  const first = await outcomeOf(parse);
  const second = await outcomeOf(parse);
  const outcome = first.refusal?.code ?? ACCEPTED;
  try {
    const [a, b] = [told(first), told(second)];
    requireHeld(a === b, `two outcomes of one input:\n${a}\n${b}`);
    if ("value" in first) oracle(first.value);
  } catch (error) {
    if (!(error instanceof Breach)) throw error;
    return { outcome, breach: error.message };
  }
  return { outcome, breach: null };
}

type Outcome<T> =
  { readonly value: T; readonly refusal: null } | { readonly refusal: AttestationError };

async function outcomeOf<T>(parse: () => T | Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await parse(), refusal: null };
  } catch (error) {
    if (!(error instanceof AttestationError)) throw error;
    return { refusal: error };
  }
}

function told(outcome: Outcome<unknown>): string {
  return outcome.refusal === null ? JSON.stringify(outcome.value, plain) : outcome.refusal.message;
}

/** JSON knows neither maps nor wide integers. */
function plain(_key: string, value: unknown): unknown {
  if (value instanceof Map) return [...value];
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  return typeof value === "bigint" ? `${value}n` : value;
}
