/** The end of a program whose output may outlive it. */
import type { ChildProcess } from "node:child_process";
import { OUTPUT_DRAIN_MS } from "./limits.ts";

/**
 * Calls `ended` once the program has ended and its output was read. A child of its own may hold the output
 * open for longer: after a while the end counts without it.
 */
export function whenEnded(
  child: ChildProcess,
  ended: (code: number | null, signal: string | null) => void,
): void {
  child.once("exit", (code, signal) => {
    const done = (): void => {
      clearTimeout(timer);
      child.off("close", done);
      ended(code, signal);
    };
    const timer = setTimeout(done, OUTPUT_DRAIN_MS);
    child.once("close", done);
  });
}
