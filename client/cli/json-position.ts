/**
 * Where in a JSON text a pointer points to (RFC 6901), so that a mistake can be shown with its line.
 *
 * The text may be damaged behind the place that is looked for: no more of it is read than needed.
 */

/** A place in a text as editors count: lines and columns from 1, columns in UTF-16 code units. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

const SPACE = /[ \t\n\r]*/uy;
const STRING = /"(?:[^"\\]|\\.)*"/uy;
const SCALAR = /[^\s,:[\]{}"]+/uy;

/** The position of an offset in `text`. */
export function positionAt(text: string, offset: number): Position {
  const before = text.slice(0, offset);
  return { line: before.split("\n").length, column: before.length - before.lastIndexOf("\n") };
}

/**
 * The offset of what `pointer` points to: of a member its key, of an item its value.
 *
 * Of a key that stands twice it is the second, which is the one too many. Null where the text has
 * nothing there.
 */
export function locatePointer(text: string, pointer: string): number | null {
  const tokens = pointer
    .split("/")
    .slice(1)
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
  const scanner = new Scanner(text);
  let found = { at: scanner.skipSpace(0), value: scanner.skipSpace(0) };
  for (const [depth, token] of tokens.entries()) {
    const isLast = depth === tokens.length - 1;
    const step = scanner.child(found.value, token, isLast);
    if (step === null) return null;
    found = step;
  }
  return found.at;
}

interface Place {
  /** Where the member or item begins. */
  readonly at: number;
  /** Where its value begins. */
  readonly value: number;
}

class Scanner {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  skipSpace(offset: number): number {
    return this.#match(SPACE, offset) ?? offset;
  }

  /** The child `token` of the value at `offset`; with `last`, the second of two members. */
  child(offset: number, token: string, last: boolean): Place | null {
    switch (this.#text[offset]) {
      case "{":
        return this.#member(offset, token, last);
      case "[":
        return this.#item(offset, token);
      default:
        return null;
    }
  }

  #member(offset: number, token: string, last: boolean): Place | null {
    let first: Place | null = null;
    let at = this.skipSpace(offset + 1);
    for (;;) {
      const end = this.#match(STRING, at);
      if (end === null) return first;
      const colon = this.skipSpace(end);
      const value = this.skipSpace(colon + 1);
      if (decodeString(this.#text.slice(at, end)) === token) {
        if (first !== null || !last) return { at, value };
        first = { at, value };
      }
      const next = this.#text[colon] === ":" ? this.#nextSibling(value) : null;
      if (next === null) return first;
      at = next;
    }
  }

  #item(offset: number, token: string): Place | null {
    let at: number | null = this.skipSpace(offset + 1);
    for (let index = 0; at !== null; index++) {
      if (String(index) === token) return this.#text[at] === "]" ? null : { at, value: at };
      at = this.#nextSibling(at);
    }
    return null;
  }

  /** Where the sibling behind the value at `offset` begins; null behind the last. */
  #nextSibling(offset: number): number | null {
    const end = this.#skipValue(offset);
    if (end === null) return null;
    const comma = this.skipSpace(end);
    return this.#text[comma] === "," ? this.skipSpace(comma + 1) : null;
  }

  /** The end of the value at `offset`. It counts brackets: a text may be nested without bound. */
  #skipValue(offset: number): number | null {
    let depth = 0;
    let at = offset;
    for (;;) {
      at = this.skipSpace(at);
      const character = this.#text[at] ?? "";
      if (character === "") return null;
      if ("{[".includes(character)) depth++;
      if ("}]".includes(character)) depth--;
      const end = "{}[],:".includes(character)
        ? at + 1
        : (this.#match(STRING, at) ?? this.#match(SCALAR, at));
      if (end === null || depth < 0) return null;
      if (depth === 0) return end;
      at = end;
    }
  }

  /** The end of `pattern` at `offset`, or null where it does not match. */
  #match(pattern: RegExp, offset: number): number | null {
    pattern.lastIndex = offset;
    const token = pattern.exec(this.#text)?.[0];
    return token === undefined ? null : offset + token.length;
  }
}

/** What a JSON string says, or null where it is none. */
function decodeString(token: string): string | null {
  try {
    const value: unknown = JSON.parse(token);
    return typeof value === "string" ? value : null;
  } catch {
    return null;
  }
}
