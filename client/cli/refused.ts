import type { Verdict } from "@countersign/attestation";
import type { VerifiedResponse } from "@countersign/client";

import { CommandError } from "./exit.ts";
import { printable } from "./terminal.ts";

const MAX_REFUSAL_CHARACTERS = 500;

/** A refusal by the enclave itself. It is verified like an answer, but it is none. */
export class RefusedError extends CommandError {
  readonly verdict: Verdict;
  readonly exchange: string;
  /** The enclave's stable word for it; null where it gives none. */
  readonly code: string | null;

  constructor(
    message: string,
    fix: string,
    of: {
      readonly verdict: Verdict;
      readonly exchange: string;
      readonly code: string | null;
    },
  ) {
    super(message, fix);
    this.verdict = of.verdict;
    this.exchange = of.exchange;
    this.code = of.code;
  }
}

/** The JSON of a verified response. @throws RefusedError where the enclave refused `what`. */
export async function requireAnswer(response: VerifiedResponse, what: string): Promise<unknown> {
  if (!response.ok) throw await refusedError(response, what);
  try {
    const value: unknown = JSON.parse(await response.text());
    return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new CommandError(`the enclave's answer to ${what} is not JSON`);
  }
}

/** The refusal that a response of status 400 and more is. */
export async function refusedError(
  response: VerifiedResponse,
  what: string,
): Promise<RefusedError> {
  const { said, code } = refusalOf(await response.text());
  const message =
    `the enclave refused ${what} (${response.status}): ${said}. ` +
    "The refusal is verified: it is the enclave's own";
  const fix = FIXES.get(code ?? "") ?? FIX;
  return new RefusedError(message, fix, {
    verdict: await response.verdict(),
    exchange: response.exchange,
    code,
  });
}

const FIX = "change the request by what it says; the model's metadata says what it takes";
/** What to do about refusals that people meet. */
const FIXES: ReadonlyMap<string, string> = new Map([
  [
    "prompt/too-long",
    "say less, or ask for a shorter answer (--max-tokens): both share the model's context. In a chat, " +
      "/reset begins anew",
  ],
  ["queue/full", "the node is busy: wait a moment and try again"],
  ["memory/full", "the node is busy: wait a moment and try again"],
  ["model/unknown", "GET /v1/models, or the node's operator, says which models there are"],
]);

/**
 * Open Inference Protocol v2: `{"error": "…"}`, with our code behind it. OpenAI:
 * `{"error": {"message": "…", "code": "…"}}`.
 */
function refusalOf(text: string): { readonly said: string; readonly code: string | null } {
  const short = (words: string): string => printable(words).slice(0, MAX_REFUSAL_CHARACTERS);
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && "error" in value) {
      const { error } = value;
      if (typeof error === "object" && error !== null && "message" in error) {
        const code = "code" in error && typeof error.code === "string" ? error.code : null;
        return { said: short(String(error.message)), code };
      }
      return { said: short(String(error)), code: null };
    }
  } catch {
    // Not JSON: shown as it is.
  }
  return { said: short(text), code: null };
}
