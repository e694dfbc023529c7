import { parseArgs, type ParseArgsConfig } from "node:util";

import { UsageError } from "./exit.ts";
import { nearest } from "./suggestion.ts";

/** One option of a command, as the parser and the help text need it. */
export interface OptionSpec {
  readonly name: string;
  /** What the value is, upper case, as the help shows it; null for a switch. */
  readonly value: string | null;
  readonly description: string;
  /** It may be given more than once. */
  readonly repeatable?: true;
}

/** Options and operands of one command line, already known to be ones the command has. */
export interface Arguments {
  readonly operands: readonly string[];
  flag(name: string): boolean;
  text(name: string): string | null;
  /** Every value of a repeatable option, in the order given. */
  texts(name: string): readonly string[];
  /** @throws UsageError unless a whole number from `minimum` up. */
  number(name: string, minimum: number): number | null;
  /** @throws UsageError unless a decimal number from `minimum` to `maximum`. */
  decimal(name: string, minimum: number, maximum: number): number | null;
}

/** Options that every command has. */
export const SHARED_OPTIONS: readonly OptionSpec[] = [
  { name: "json", value: null, description: "one JSON object a line, for programs" },
  { name: "quiet", value: null, description: "the result only" },
  { name: "no-color", value: null, description: "no colours (NO_COLOR does the same)" },
  { name: "help", value: null, description: "this text" },
];

/** The option that names the policy, for the commands that judge. */
export const POLICY_OPTION: OptionSpec = {
  name: "policy",
  value: "FILE",
  description: "whom you trust (default .countersign/policy.json)",
};

/**
 * Reads `words` by `options`.
 *
 * @throws UsageError on an unknown option, a missing or surplus value, an option repeated that is not
 * repeatable, or a number of operands outside `operands`.
 */
export function parseArguments(
  words: readonly string[],
  options: readonly OptionSpec[],
  operands: readonly [minimum: number, maximum: number, name: string],
): Arguments {
  const { tokens } = parseArgs({
    args: [...words],
    options: parserOptions(options),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values = new Map<string, readonly (string | null)[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const spec = requireOption(token.name, token.rawName, options);
    const before = values.get(spec.name) ?? [];
    if (before.length > 0 && spec.repeatable !== true) {
      throw new UsageError(`--${spec.name} is given twice`);
    }
    values.set(spec.name, [...before, optionValue(spec, token.value)]);
  }
  requireOperands(positionals, operands);
  return createArguments(positionals, values);
}

function parserOptions(options: readonly OptionSpec[]): NonNullable<ParseArgsConfig["options"]> {
  const entries = options.map(
    ({ name, value }) => [name, { type: value === null ? "boolean" : "string" }] as const,
  );
  return { ...Object.fromEntries(entries), help: { type: "boolean", short: "h" } };
}

function requireOption(name: string, rawName: string, options: readonly OptionSpec[]): OptionSpec {
  const found = options.find((option) => option.name === name);
  if (found !== undefined) return found;
  const near = nearest(
    name,
    options.map((option) => option.name),
  );
  const hint = near === null ? null : `did you mean --${near}?`;
  throw new UsageError(`there is no option ${rawName}`, hint);
}

function optionValue(spec: OptionSpec, value: string | undefined): string | null {
  if (spec.value === null) {
    if (value !== undefined) throw new UsageError(`--${spec.name} takes no value`);
    return null;
  }
  if (value === undefined || value === "") {
    throw new UsageError(`--${spec.name} needs a value`, `--${spec.name} ${spec.value}`);
  }
  return value;
}

function requireOperands(
  found: readonly string[],
  [minimum, maximum, name]: readonly [number, number, string],
): void {
  if (found.length < minimum) throw new UsageError(`${name} is missing`);
  const surplus = found[maximum];
  if (surplus !== undefined) throw new UsageError(`"${surplus}" is one operand too many`);
}

function createArguments(
  operands: readonly string[],
  values: ReadonlyMap<string, readonly (string | null)[]>,
): Arguments {
  const textOf = (name: string): string | null => values.get(name)?.[0] ?? null;
  return {
    operands,
    flag: (name) => values.has(name),
    text: textOf,
    texts: (name) => (values.get(name) ?? []).filter((value) => value !== null),
    number(name, minimum) {
      const text = textOf(name);
      if (text === null) return null;
      const value = Number(text);
      if (!/^\d+$/u.test(text) || !Number.isSafeInteger(value) || value < minimum) {
        throw new UsageError(`--${name} is "${text}", want a whole number from ${minimum} up`);
      }
      return value;
    },
    decimal(name, minimum, maximum) {
      const text = textOf(name);
      if (text === null) return null;
      const value = Number(text);
      if (!/^-?\d+(?:\.\d+)?$/u.test(text) || value < minimum || value > maximum) {
        throw new UsageError(`--${name} is "${text}", want ${minimum} to ${maximum}`);
      }
      return value;
    },
  };
}
