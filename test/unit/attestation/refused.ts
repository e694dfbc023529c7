import { AttestationError, type AttestationErrorCode } from "@countersign/attestation";

/** The code with which `run` refuses, or null where it accepts. Any other error is rethrown. */
export function codeOf(run: () => unknown): AttestationErrorCode | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof AttestationError) return error.code;
    throw error;
  }
}

/** {@link codeOf} of a promise. */
export async function codeOfAsync(
  run: () => Promise<unknown>,
): Promise<AttestationErrorCode | null> {
  try {
    await run();
    return null;
  } catch (error) {
    if (error instanceof AttestationError) return error.code;
    throw error;
  }
}
