import { expect, it } from "vitest";
import {
  nextPhase,
  type Phase,
  PHASE_EVENTS,
  type PhaseEvent,
  PHASES,
} from "../../../enclave/phase.ts";

/** PROTOCOL.md's table, written a second time. */
const STEPS: ReadonlyMap<string, Phase> = new Map([
  ["boot provisioned", "configured"],
  ["configured models-loaded", "models-verified"],
  ["models-verified models-locked", "models-measured"],
  ["models-measured epoch-opened", "epoch-open"],
  ["epoch-open listening", "serving"],
]);

const PAIRS = PHASES.flatMap((phase): [Phase, PhaseEvent][] =>
  PHASE_EVENTS.map((event) => [phase, event]),
);

it.each(PAIRS)("%s, %s", (phase, event) => {
  expect(nextPhase(phase, event)).toBe(STEPS.get(`${phase} ${event}`) ?? "closed");
});

it("reaches serving one way only, and leaves closed none", () => {
  const path = PHASE_EVENTS.slice(0, 5).reduce(nextPhase, "boot" as Phase);
  expect(path).toBe("serving");
  for (const event of PHASE_EVENTS) expect(nextPhase("closed", event)).toBe("closed");
});
