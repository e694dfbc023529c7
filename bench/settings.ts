import { parseArgs } from "node:util";

export const SECTIONS = [
  "speed",
  "evidence",
  "receipt",
  "memory",
  "bundle",
  "text",
  "sealed",
] as const;
export type Section = (typeof SECTIONS)[number];

const MAX_SOAK_MINUTES = 24 * 60;

/** How long to measure. */
export interface Settings {
  readonly sections: readonly Section[];
  /** Windows of each kind, in turn with the other kind's. */
  readonly rounds: number;
  readonly windowMs: number;
  readonly warmUpMs: number;
  /** In-process comparisons: calls in one round. */
  readonly calls: number;
  /** Requests over which memory must not grow, and how many come before. */
  readonly requests: number;
  readonly warmUpRequests: number;
  /** Text: rounds of private and bare in turn, and the tokens of each answer. */
  readonly textRounds: number;
  readonly textTokens: number;
  /** Text: minutes of full batches, at whose end memory is looked at; 0 for none. */
  readonly soakMinutes: number;
}

export const USAGE = `usage: npm run bench -- [options]

  --only NAME       ${SECTIONS.join(", ")}; may be given more than once
  --requests N      requests over which memory is watched   (default 20000; the bound is for 100000)
  --soak MINUTES    text: full batches for so long, to see what grows   (the bound is for 10)
  --quick           short windows: a look, not a measurement
  --help            this text
`;

/** Null: the caller wants to read {@link USAGE}. @throws TypeError for arguments that are none. */
export function parseSettings(argv: readonly string[]): Settings | null {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      only: { type: "string", multiple: true },
      requests: { type: "string" },
      soak: { type: "string" },
      quick: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) return null;
  const only = values.only?.map(section) ?? SECTIONS;
  const quick = values.quick === true;
  const requests = Number(values.requests ?? (quick ? 2_000 : 20_000));
  if (!Number.isInteger(requests) || requests < 1) {
    throw new TypeError(`--requests ${values.requests ?? ""}: want a positive number`);
  }
  const soakMinutes = Number(values.soak ?? 0);
  if (!(soakMinutes >= 0 && soakMinutes <= MAX_SOAK_MINUTES)) {
    throw new TypeError(`--soak ${values.soak ?? ""}: want minutes, ${MAX_SOAK_MINUTES} at most`);
  }
  const sections = SECTIONS.filter((name) => only.includes(name));
  return quick
    ? {
        sections,
        rounds: 3,
        windowMs: 500,
        warmUpMs: 1000,
        calls: 20,
        requests,
        warmUpRequests: 2_000,
        textRounds: 2,
        textTokens: 24,
        soakMinutes,
      }
    : {
        sections,
        rounds: 15,
        windowMs: 1000,
        warmUpMs: 4000,
        calls: 100,
        requests,
        warmUpRequests: 20_000,
        textRounds: 5,
        textTokens: 64,
        soakMinutes,
      };
}

function section(name: string): Section {
  const found = SECTIONS.find((known) => known === name);
  if (found === undefined) throw new TypeError(`--only ${name}: want ${SECTIONS.join(", ")}`);
  return found;
}
