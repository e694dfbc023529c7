import {
  type AttestationErrorCode,
  type Check,
  EXCHANGE_CHECKS,
  type FailureClass,
  type Verdict,
  type VerifiedEpoch,
} from "@countersign/attestation";

/**
 * The verdict on a response that does not decrypt or does not parse.
 *
 * The evidence stands, but there is nothing to hold a receipt against: of the exchange only the
 * response was reached.
 */
export function damagedResponse(
  epoch: VerifiedEpoch,
  failure: Extract<FailureClass, "tampered" | "malformed">,
  found: string,
  nowMs: number,
): Verdict {
  const code: AttestationErrorCode = "transcript/response";
  const checks = EXCHANGE_CHECKS.map((id): Check => {
    if (id !== "response") {
      return {
        id,
        status: "skip",
        found: "not reached",
        wanted: "",
        why: "The response could not be read.",
        fix: "See the check of the response.",
        code: null,
      };
    }
    return {
      id,
      status: "fail",
      found,
      wanted: "a response that opens with the keys of this request",
      why: "Somebody between you and the enclave changed the response, swapped it, or cut it inside its last part.",
      fix: "Do not use the answer. Ask again; if it happens again, use another path to the node or another node.",
      code,
    };
  });
  return {
    ...epoch.verdict,
    result: "rejected",
    failure,
    checks: [...epoch.verdict.checks, ...checks],
    judgedAtMs: nowMs,
  };
}
