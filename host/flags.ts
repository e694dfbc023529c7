/** Values of command-line flags that are of one kind. */
import { HostError } from "./errors.ts";

/** @throws {@link HostError} `arguments/usage` unless it could be a path. */
export function requireText(flag: string, value: string): string {
  if (value !== "" && !value.includes("\0")) return value;
  throw new HostError("arguments/usage", `${flag} is empty: want a path`);
}

/** @throws {@link HostError} `arguments/usage` unless it is a whole number from `least` to `most`. */
export function parseCount(
  flag: string,
  text: string | undefined,
  fallback: number,
  least: number,
  most: number,
): number {
  if (text === undefined) return fallback;
  const value = /^[1-9]\d{0,15}$/u.test(text) ? Number(text) : 0;
  if (value >= least && value <= most) return value;
  throw new HostError(
    "arguments/usage",
    `${flag} ${JSON.stringify(text)}: want a whole number from ${least} to ${most}`,
  );
}
