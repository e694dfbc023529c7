/** Readers of single values, from which the tables of members are made. */
import { malformed, outOfRange, type Reader, unsupported } from "./members.ts";

/** A number of a range, both ends included. */
export function numberIn(least: number, most: number): Reader<number> {
  return (value, param) => {
    const number = requireNumber(value, param);
    if (number >= least && number <= most) return number;
    throw outOfRange(param, `is ${number}, want ${least} to ${most}`);
  };
}

/** A number of a range, its lower end excluded. */
export function numberAbove(bound: number, most: number): Reader<number> {
  return (value, param) => {
    const number = requireNumber(value, param);
    if (number > bound && number <= most) return number;
    throw outOfRange(param, `is ${number}, want more than ${bound} and at most ${most}`);
  };
}

/** An integer of a range, both ends included. */
export function integerIn(least: number, most: number): Reader<number> {
  return (value, param) => {
    const number = requireNumber(value, param);
    if (Number.isSafeInteger(number) && number >= least && number <= most) {
      // JSON has a negative zero, which is no other number here.
      return number === 0 ? 0 : number;
    }
    throw outOfRange(param, `is ${number}, want an integer, ${least} to ${most}`);
  };
}

export const flag: Reader<boolean> = (value, param) => {
  if (typeof value === "boolean") return value;
  throw malformed(param, "is neither true nor false");
};

/** Text of a number of UTF-16 code units. */
export function textOf(least: number, most: number): Reader<string> {
  return (value, param) => {
    if (typeof value !== "string") throw malformed(param, "is no string");
    if (value.length >= least && value.length <= most) return value;
    throw outOfRange(param, `has ${value.length} characters, want ${least} to ${most}`);
  };
}

/** One of a few words; `others` are words of the API that mean something else than we do. */
export function wordOf<T extends string>(
  words: readonly T[],
  others: readonly string[] = [],
): Reader<T> {
  return (value, param) => {
    const word = words.find((each) => each === value);
    if (word !== undefined) return word;
    const wanted = words.map((each) => JSON.stringify(each)).join(" or ");
    if (others.some((each) => each === value)) {
      throw unsupported(param, `is ${JSON.stringify(value)}, and only ${wanted} is done here`);
    }
    throw malformed(param, `is not ${wanted}`);
  };
}

/** Exactly one value of true and false. */
export function only(wanted: boolean): Reader<boolean> {
  return (value, param) => {
    if (flag(value, param) === wanted) return wanted;
    throw unsupported(param, `is ${!wanted}, and only ${wanted} is done here`);
  };
}

/** An array whose items are all of one kind. */
export function listOf<T>(item: Reader<T>, least: number, most: number): Reader<readonly T[]> {
  return (value, param) => {
    if (!Array.isArray(value)) throw malformed(param, "is no JSON array");
    if (value.length < least || value.length > most) {
      throw outOfRange(param, `has ${value.length} items, want ${least} to ${most}`);
    }
    return value.map((each: unknown, index) => item(each, `${param}[${index}]`));
  };
}

function requireNumber(value: unknown, param: string): number {
  if (typeof value !== "number") throw malformed(param, "is no number");
  // JSON has no infinity, but 1e999 is read as one.
  if (!Number.isFinite(value)) throw outOfRange(param, "is beyond every number");
  return value;
}
