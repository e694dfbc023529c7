/** The enclave's life, as a table. PROTOCOL.md lists the same rows in the same order. */

/** Where the enclave stands. `closed` has no exit. */
export type Phase =
  | "boot"
  | "configured"
  | "models-verified"
  | "models-measured"
  | "epoch-open"
  | "serving"
  | "closed";

/** What may happen to it. */
export type PhaseEvent =
  /** The host's provisioning was read and parsed. */
  | "provisioned"
  /** Every model's bytes equal its manifest, and are loaded. */
  | "models-loaded"
  /** PCR16 is extended with the models digest, and locked. */
  | "models-locked"
  /** The first epoch's keys exist and its document is signed. */
  | "epoch-opened"
  /** The server accepts connections. */
  | "listening"
  /** Anything went wrong, or the host asked us to stop. */
  | "failed";

export const PHASES: readonly Phase[] = [
  "boot",
  "configured",
  "models-verified",
  "models-measured",
  "epoch-open",
  "serving",
  "closed",
];

export const PHASE_EVENTS: readonly PhaseEvent[] = [
  "provisioned",
  "models-loaded",
  "models-locked",
  "epoch-opened",
  "listening",
  "failed",
];

/** The phase after `event`. An event that `phase` does not list leads to `closed`. */
export function nextPhase(phase: Phase, event: PhaseEvent): Phase {
  switch (phase) {
    case "boot":
      return event === "provisioned" ? "configured" : "closed";
    case "configured":
      return event === "models-loaded" ? "models-verified" : "closed";
    case "models-verified":
      return event === "models-locked" ? "models-measured" : "closed";
    case "models-measured":
      return event === "epoch-opened" ? "epoch-open" : "closed";
    case "epoch-open":
      return event === "listening" ? "serving" : "closed";
    case "serving":
      return "closed";
    case "closed":
      return "closed";
    default:
      return phase satisfies never;
  }
}
