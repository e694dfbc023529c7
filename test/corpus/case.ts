/** One vector before it has its number: what every file in cases/ makes, and generate.ts collects. */
import type { Expected } from "./vector.ts";

export interface Case {
  /** `<stage>/<what-in-kebab-case>`, without a number. */
  readonly name: string;
  readonly expected: Expected;
  /** As {@link Vector.files}: the policy under the name that `expected.policy` gives it. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}
