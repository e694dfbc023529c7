/** The checks of a verdict, in their order, and the classes of their failures. */

/** Checks of evidence, in order. */
export const EVIDENCE_CHECKS = [
  "policy",
  "bundle",
  "platform",
  "signature",
  "chain",
  "debug",
  "measurement",
  "binding",
  "lifetime",
  "keyset",
  "modelset",
  "config",
  "register",
  "models",
  "suite",
  "freshness",
] as const;

/** Checks of one exchange, in order, after those of the evidence. */
export const EXCHANGE_CHECKS = [
  "receipt",
  "epoch",
  "index",
  "model",
  "request",
  "response",
  "complete",
] as const;

/** The name of a check: part of the JSON that the command line prints, and stable. */
export type CheckId = (typeof EVIDENCE_CHECKS)[number] | (typeof EXCHANGE_CHECKS)[number];

/** What a person can act on. `rotated` and `unreachable` are said by whoever owns the transport. */
export type FailureClass =
  | "tampered"
  | "untrusted"
  | "stale"
  | "rotated"
  | "expired"
  | "truncated"
  | "unreachable"
  | "malformed";
