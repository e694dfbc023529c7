import { AttestationError, type AttestationErrorCode } from "@countersign/attestation";

/** The code with which `step` refuses, or null where it does not; other errors are thrown on. */
export async function refusalOf(step: () => unknown): Promise<AttestationErrorCode | null> {
  try {
    await step();
    return null;
  } catch (error) {
    if (error instanceof AttestationError) return error.code;
    throw error;
  }
}
