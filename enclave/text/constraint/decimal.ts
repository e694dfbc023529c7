/**
 * JSON numbers, and those between two bounds.
 *
 * Numbers with a bound have no exponent and at most 15 significant digits. So many survive the way into
 * a double and back (IEEE 754 binary64), which makes comparing digits as good as comparing values: no
 * number that is below a bound by its digits is rounded up to it.
 */
import type { NetworkBuilder } from "./network.ts";

const MAX_DIGITS = 15;

export interface Bound {
  readonly value: number;
  /** Whether the value itself is out. */
  readonly exclusive: boolean;
}

export interface NumberRange {
  readonly integer: boolean;
  readonly min: Bound | null;
  readonly max: Bound | null;
}

export function number(builder: NetworkBuilder, from: number, range: NumberRange): number {
  const { integer, min, max } = range;
  const identity = `number ${integer} ${describe(min)} ${describe(max)}`;
  const start = builder.partStart(identity, (at) =>
    min === null && max === null ? unbounded(builder, at, integer) : bounded(builder, at, range),
  );
  return builder.call(from, start);
}

const describe = (bound: Bound | null): string =>
  bound === null ? "" : `${bound.value}${bound.exclusive ? "!" : ""}`;

/** RFC 8259 §6, with the bounds of json.ts. */
function unbounded(builder: NetworkBuilder, from: number, integer: boolean): number {
  const sign = builder.literal(from, "-");
  builder.join(from, sign);
  const whole = builder.literal(sign, "0");
  builder.join(digits(builder, builder.range(sign, ONE, NINE), 0, MAX_DIGITS - 1), whole);
  if (integer) return whole;
  const fraction = digits(builder, builder.literal(whole, "."), 1, MAX_DIGITS);
  builder.join(whole, fraction);
  const power = builder.state();
  builder.byte(fraction, 0x45, 0x45, power);
  builder.byte(fraction, 0x65, 0x65, power);
  const signed = builder.state();
  builder.join(power, signed);
  builder.byte(power, 0x2b, 0x2b, signed);
  builder.byte(power, 0x2d, 0x2d, signed);
  const end = digits(builder, signed, 1, 2);
  builder.join(fraction, end);
  return end;
}

const ZERO = 0x30;
const ONE = 0x31;
const NINE = 0x39;

function digits(builder: NetworkBuilder, from: number, min: number, max: number): number {
  const to = builder.state();
  let at = from;
  for (let count = 0; count <= max; count += 1) {
    if (count >= min) builder.join(at, to);
    if (count < max) at = builder.range(at, ZERO, NINE);
  }
  return to;
}

/** Splits at zero: numbers with a sign, and numbers without. */
function bounded(
  builder: NetworkBuilder,
  from: number,
  { integer, min, max }: NumberRange,
): number {
  const to = builder.state();
  const zero = { value: 0, exclusive: false };
  if (max === null || max.value >= 0) {
    const low = min === null || min.value < 0 ? zero : min;
    magnitudes(builder, from, { integer, min: low, max }, to);
  }
  if (min === null || min.value < 0) {
    // Not −0, which is above every negative bound and below none that is positive.
    const low = max === null || max.value >= 0 ? { value: 0, exclusive: true } : negate(max);
    const high = min === null ? null : negate(min);
    magnitudes(builder, builder.literal(from, "-"), { integer, min: low, max: high }, to);
  }
  return to;
}

const negate = ({ value, exclusive }: Bound): Bound => ({ value: -value, exclusive });

/** The digits of a bound, as far as they go. */
interface Digits {
  readonly whole: readonly number[];
  readonly fraction: readonly number[];
  readonly exclusive: boolean;
}

/** Numbers of `length` digits before the point, in the making. */
interface Walk {
  readonly builder: NetworkBuilder;
  readonly integer: boolean;
  readonly length: number;
  readonly low: Digits;
  /** Null where there is none. */
  readonly high: Digits | null;
  readonly to: number;
  /** States by position and by whether the digits so far are those of a bound. */
  readonly states: Map<string, number>;
}

function magnitudes(
  builder: NetworkBuilder,
  from: number,
  { integer, min, max }: { integer: boolean; min: Bound; max: Bound | null },
  to: number,
): void {
  const low = digitsOf(min);
  const high = max === null ? null : digitsOf(max);
  const longest = Math.min(high?.whole.length ?? MAX_DIGITS, MAX_DIGITS);
  for (let length = low.whole.length; length <= longest; length += 1) {
    const walk = { builder, integer, length, low, high, to, states: new Map<string, number>() };
    const onLow = length === low.whole.length;
    const onHigh = high !== null && length === high.whole.length;
    readDigits(walk, from, { position: 0, onLow, onHigh });
  }
}

interface Progress {
  readonly position: number;
  /** Whether the digits so far are the lower bound's, and the upper bound's. */
  readonly onLow: boolean;
  readonly onHigh: boolean;
}

/** Adds the digits that may follow, each to where it leads, and the end where the number may end. */
function readDigits(walk: Walk, from: number, progress: Progress): void {
  const { builder, length, low, high } = walk;
  const { position, onLow, onHigh } = progress;
  let at = from;
  if (position === length) {
    if (mayEnd(walk, progress)) builder.join(at, walk.to);
    if (walk.integer || position === MAX_DIGITS) return;
    at = builder.literal(at, ".");
  } else if (position > length && mayEnd(walk, progress)) {
    builder.join(at, walk.to);
  }
  if (position === MAX_DIGITS) return;
  const leading = position === 0 && length > 1 ? 1 : 0;
  const first = onLow ? digitAt(low, position) : leading;
  const last = onHigh && high !== null ? digitAt(high, position) : 9;
  for (let digit = first; digit <= last;) {
    const next = {
      position: position + 1,
      onLow: onLow && digit === first,
      onHigh: onHigh && digit === last,
    };
    // The digits between the bounds' own all lead to the same state.
    const end = next.onLow || next.onHigh ? digit : onHigh ? last - 1 : last;
    const target = stateOf(walk, next);
    builder.byte(at, ZERO + digit, ZERO + end, target);
    digit = end + 1;
  }
}

function stateOf(walk: Walk, progress: Progress): number {
  const key = `${progress.position} ${progress.onLow} ${progress.onHigh}`;
  const known = walk.states.get(key);
  if (known !== undefined) return known;
  const state = walk.builder.state();
  walk.states.set(key, state);
  readDigits(walk, state, progress);
  return state;
}

/** Whether what has been read, as if zeros followed, is within the bounds. */
function mayEnd({ low, high, length }: Walk, { position, onLow, onHigh }: Progress): boolean {
  const rest = position - length;
  const lowRest = low.fraction.slice(rest).some((digit) => digit !== 0);
  if (onLow && (lowRest || low.exclusive)) return false;
  if (onHigh && high !== null) {
    const highRest = high.fraction.slice(rest).some((digit) => digit !== 0);
    if (!highRest && high.exclusive) return false;
  }
  return true;
}

function digitAt({ whole, fraction }: Digits, position: number): number {
  return whole[position] ?? fraction[position - whole.length] ?? 0;
}

/** The shortest decimal that is this double; ECMA-262 Number::toString has the same digits. */
function digitsOf({ value, exclusive }: Bound): Digits {
  const [mantissa = "0", power = "0"] = value.toExponential().split("e");
  const all = Array.from(mantissa.replace(".", ""), Number);
  // The point stands behind this many digits; zeros fill up on either side.
  const point = Number(power) + 1;
  const padded = [...Array.from({ length: Math.max(0, 1 - point) }, () => 0), ...all];
  const at = Math.max(point, 1);
  const whole = Array.from({ length: at }, (_, place) => padded[place] ?? 0);
  return { whole, fraction: padded.slice(at), exclusive };
}
