/**
 * JSON as we let it be written (RFC 8259), with bounds where the grammar has none:
 *
 *  - white space only where models put it: behind `{`, `[` and `,`, before `}` and `]`: nothing, one
 *    space, or a line feed and at most 32 spaces and tabs; behind `:` nothing or one space;
 *  - numbers of at most 15 digits before and behind the point, and an exponent of two: what a double
 *    can tell apart, and never infinite; integers without point and exponent;
 *  - strings of well-formed UTF-8, with escapes; an escaped surrogate only as half of a pair;
 *  - names of members as a schema has them, in its order; other names without escapes.
 *
 * Strings, arrays and members have no bound but a schema's, nesting that of the frames.
 */
import { type NetworkBuilder, type Piece } from "./network.ts";
import { type CodePoints, readCodePoints, without } from "./utf8.ts";

const MAX_INDENT = 32;

/** What a string holds without escape: RFC 8259 §7, unescaped. */
const UNESCAPED: readonly CodePoints[] = [
  [0x20, 0x21],
  [0x23, 0x5b],
  [0x5d, 0x10ffff],
];

export function space(builder: NetworkBuilder, from: number): number {
  const to = builder.state();
  builder.join(from, to);
  builder.byte(from, 0x20, 0x20, to);
  const indent = builder.partStart("indent", (start) =>
    builder.either(start, [
      (at) => builder.range(at, 0x20, 0x20),
      (at) => builder.range(at, 0x09, 0x09),
    ]),
  );
  builder.join(builder.loop(builder.range(from, 0x0a, 0x0a), indent, 0, MAX_INDENT), to);
  return to;
}

/** `:` and what may stand behind it. */
function colon(builder: NetworkBuilder, from: number): number {
  const to = builder.range(from, 0x3a, 0x3a);
  const spaced = builder.range(to, 0x20, 0x20);
  builder.join(to, spaced);
  return spaced;
}

function comma(builder: NetworkBuilder, from: number): number {
  return space(builder, builder.range(from, 0x2c, 0x2c));
}

/** A string of so many characters, each a code point, as JSON Schema counts them. */
export function string(builder: NetworkBuilder, from: number, min: number, max: number): number {
  const character = builder.partStart("character", (start) => {
    const to = builder.state();
    readCodePoints(builder, start, UNESCAPED, to);
    builder.markCharacter(start);
    builder.join(escape(builder, builder.range(start, 0x5c, 0x5c)), to);
    return to;
  });
  return builder.literal(builder.loop(builder.literal(from, '"'), character, min, max), '"');
}

/** What follows a backslash. */
function escape(builder: NetworkBuilder, from: number): number {
  const to = builder.state();
  for (const letter of '"\\/bfnrt') {
    const code = letter.charCodeAt(0);
    builder.byte(from, code, code, to);
  }
  const unicode = builder.literal(from, "u");
  // D8 to DB begin a pair, DC to DF end one, and everything else stands alone.
  const alone = builder.state();
  hex(builder, unicode, "0123456789ABCEFabcef", alone);
  const plain = builder.state();
  hex(builder, alone, "0123456789ABCDEFabcdef", plain);
  const surrogate = builder.state();
  hex(builder, unicode, "Dd", surrogate);
  hex(builder, surrogate, "01234567", plain);
  const high = builder.state();
  hex(builder, surrogate, "89ABab", high);
  const low = builder.state();
  hex(builder, builder.literal(twoHex(builder, high), "\\u"), "Dd", low);
  const lowSecond = builder.state();
  hex(builder, low, "CDEFcdef", lowSecond);
  builder.join(twoHex(builder, plain), to);
  builder.join(twoHex(builder, lowSecond), to);
  return to;
}

function hex(builder: NetworkBuilder, from: number, digits: string, to: number): void {
  for (const digit of digits) builder.byte(from, digit.charCodeAt(0), digit.charCodeAt(0), to);
}

function twoHex(builder: NetworkBuilder, from: number): number {
  const first = builder.state();
  const second = builder.state();
  hex(builder, from, "0123456789ABCDEFabcdef", first);
  hex(builder, first, "0123456789ABCDEFabcdef", second);
  return second;
}

export interface Member {
  readonly name: string;
  readonly required: boolean;
  readonly value: Piece;
}

/**
 * An object of these members in this order, optional ones left out at will, and then any number of
 * others whose names are none of theirs, unless `other` is null.
 */
export function object(
  builder: NetworkBuilder,
  from: number,
  members: readonly Member[],
  other: Piece | null,
): number {
  // Two states run along the members: nothing written yet, and something written.
  let nothing: number | null = space(builder, builder.literal(from, "{"));
  let something: number | null = null;
  for (const { name, required, value } of members) {
    const start = builder.state();
    if (nothing !== null) builder.join(nothing, start);
    if (something !== null) builder.join(comma(builder, something), start);
    const named = colon(builder, builder.literal(start, JSON.stringify(name)));
    const written = value(named);
    if (required) nothing = null;
    else if (something !== null) builder.join(something, written);
    something = written;
  }
  if (other !== null) {
    something = others(builder, { nothing, something }, members, other);
  }
  const to = builder.state();
  if (nothing !== null) builder.byte(nothing, 0x7d, 0x7d, to);
  if (something !== null) builder.byte(space(builder, something), 0x7d, 0x7d, to);
  return to;
}

function others(
  builder: NetworkBuilder,
  { nothing, something }: { readonly nothing: number | null; readonly something: number | null },
  members: readonly Member[],
  value: Piece,
): number {
  const names = members.map(({ name }) => name);
  const member: Piece = (from) => value(colon(builder, otherName(builder, from, names)));
  const start = builder.partStart(member, member);
  const more = builder.partStart({}, (from) => builder.call(comma(builder, from), start));
  const written = builder.state();
  if (nothing !== null) builder.join(builder.call(nothing, start), written);
  if (something !== null) builder.join(something, written);
  return builder.loop(written, more, 0, Infinity);
}

/** Where the letters read so far are the beginning of a name that is taken. */
interface NameNode {
  readonly children: Map<number, NameNode>;
  taken: boolean;
}

/** A string without escapes that is none of `taken`. Names that need escapes cannot come anyway. */
function otherName(builder: NetworkBuilder, from: number, taken: readonly string[]): number {
  const root: NameNode = { children: new Map(), taken: false };
  for (const name of taken) {
    let node = root;
    for (const letter of name) {
      const point = letter.codePointAt(0) ?? 0;
      const next = node.children.get(point) ?? { children: new Map(), taken: false };
      node.children.set(point, next);
      node = next;
    }
    node.taken = true;
  }
  const different = builder.state();
  const to = builder.state();
  const letter = builder.partStart("letter", (start) => {
    const end = builder.state();
    readCodePoints(builder, start, UNESCAPED, end);
    builder.markCharacter(start);
    return end;
  });
  builder.byte(builder.loop(different, letter, 0, Infinity), 0x22, 0x22, to);
  const quoted = builder.literal(from, '"');
  if (taken.length === 0) builder.join(quoted, different);
  const open = taken.length === 0 ? [] : [{ node: root, at: quoted }];
  for (let item = open.pop(); item !== undefined; item = open.pop()) {
    const { node, at } = item;
    readCodePoints(builder, at, without(UNESCAPED, [...node.children.keys()]), different);
    if (!node.taken) builder.byte(at, 0x22, 0x22, to);
    for (const [point, child] of node.children) {
      if (without(UNESCAPED, [point]).length === UNESCAPED.length) continue;
      const next = builder.state();
      readCodePoints(builder, at, [[point, point]], next);
      open.push({ node: child, at: next });
    }
  }
  return to;
}

export interface Items {
  /** The first items, each with its own. */
  readonly first: readonly Piece[];
  /** Those after them; null where there are none. */
  readonly rest: Piece | null;
  readonly min: number;
  readonly max: number;
}

export function array(builder: NetworkBuilder, from: number, items: Items): number {
  const { first, rest, min, max } = items;
  let at = space(builder, builder.literal(from, "["));
  const close = builder.state();
  if (min === 0) builder.join(at, close);
  let written = 0;
  const limit = rest === null ? Math.min(max, first.length) : max;
  for (const item of first.slice(0, max)) {
    at = item(written === 0 ? at : comma(builder, at));
    written += 1;
    if (written >= min) builder.join(space(builder, at), close);
  }
  if (rest !== null && written < limit) {
    const item = builder.partStart(rest, rest);
    const more = builder.partStart({}, (start) => builder.call(comma(builder, start), item));
    if (written === 0) {
      at = builder.call(at, item);
      written = 1;
    }
    at = builder.loop(at, more, Math.max(min - written, 0), max - written);
    builder.join(space(builder, at), close);
  }
  return builder.literal(close, "]");
}
