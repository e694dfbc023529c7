import { parseArgs } from "node:util";
import { TARGETS, type TargetName } from "./targets.ts";

export interface Settings {
  readonly targets: readonly TargetName[];
  /** CPU time of all workers together. */
  readonly minutes: number;
  readonly seed: number;
  /** Workers at the same time. */
  readonly workers: number;
  /** Folder for findings. */
  readonly out: string;
  /** A finding to run again, in place of a campaign. */
  readonly replay: string | null;
}

/** The same inputs in every run that does not say otherwise. */
const SEED = 1;

export const USAGE = `usage: npm run fuzz -- [options]

  --minutes N     CPU time of all workers together           (default 10)
  --seed N        where the choices begin                    (default ${SEED})
  --workers N     workers at the same time                   (default 1)
  --target NAME   ${Object.keys(TARGETS).join(", ")}; may be given more than once
  --out DIR       where findings are written                 (default .build/fuzz)
  --replay FILE   runs the input of one finding again
  --help          this text

Exit codes: 0 nothing was found, 1 something was, 2 the arguments are none.
`;

/** Null: the caller wants to read {@link USAGE}. @throws TypeError for arguments that are none. */
export function parseSettings(argv: readonly string[]): Settings | null {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      minutes: { type: "string", default: "10" },
      seed: { type: "string", default: String(SEED) },
      workers: { type: "string", default: "1" },
      target: { type: "string", multiple: true },
      out: { type: "string", default: ".build/fuzz" },
      replay: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) return null;
  const minutes = Number(values.minutes);
  if (!Number.isFinite(minutes) || minutes <= 0)
    throw new TypeError(`--minutes ${values.minutes}: want a positive number`);
  return {
    targets: values.target?.map(targetNamed) ?? names(),
    minutes,
    seed: whole("seed", values.seed, 0),
    workers: whole("workers", values.workers, 1),
    out: values.out,
    replay: values.replay ?? null,
  };
}

function whole(option: string, text: string, least: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value >= 2 ** 32) {
    throw new TypeError(`--${option} ${text}: want a whole number from ${least}`);
  }
  return value;
}

function names(): readonly TargetName[] {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of a literal
  return Object.keys(TARGETS) as TargetName[];
}

export function targetNamed(text: string): TargetName {
  const name = names().find((known) => known === text);
  if (name === undefined) {
    throw new TypeError(`--target ${text}: want one of ${names().join(", ")}`);
  }
  return name;
}
