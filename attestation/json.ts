/**
 * JSON (RFC 8259), strict: no key twice, objects as `Map`, and a pointer to every mistake.
 *
 * `JSON.parse` keeps the last of two equal keys without a word. In a policy that would let a reader
 * see one rule and the verifier follow another.
 */
import { AttestationError } from "./errors.ts";

export type JsonValue =
  null | boolean | number | string | readonly JsonValue[] | ReadonlyMap<string, JsonValue>;

/** PROTOCOL.md, "Limits". */
const MAX_TEXT = 1 << 20;
const MAX_DEPTH = 16;
const MAX_KEY = 256;

const SPACE = /[ \t\n\r]*/uy;
const STRING = /"(?:[ !#-[\]-\u{10ffff}]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/uy;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/uy;
/** What every number of a policy is. Any other way to write one could be rounded in reading it. */
const INTEGER = /^(?:0|-?[1-9]\d{0,14})$/u;
const WORD = /true|false|null/uy;

/** Reads one JSON text. @throws {@link AttestationError} `policy/syntax` with a JSON pointer. */
export function parseJson(text: string): JsonValue {
  if (text.length > MAX_TEXT) throw jsonError("", `${text.length} characters, want ≤ ${MAX_TEXT}`);
  const reader = new JsonReader(text);
  const value = reader.value("", 0);
  reader.end();
  return value;
}

/** A `policy/syntax` error at a JSON pointer (RFC 6901); the whole text is "/". */
export function jsonError(pointer: string, message: string): AttestationError {
  return new AttestationError("policy/syntax", `${pointer === "" ? "/" : pointer}: ${message}`);
}

/** The pointer to a member of what `pointer` points to (RFC 6901 §3). */
export function childPointer(pointer: string, key: string | number): string {
  return `${pointer}/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

class JsonReader {
  #offset = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  value(pointer: string, depth: number): JsonValue {
    if (depth > MAX_DEPTH) throw jsonError(pointer, `nested deeper than ${MAX_DEPTH}`);
    this.#match(SPACE);
    switch (this.#text[this.#offset]) {
      case "{":
        return this.#object(pointer, depth);
      case "[":
        return this.#array(pointer, depth);
      case '"':
        return this.#string(pointer);
      default:
        return this.#scalar(pointer);
    }
  }

  end(): void {
    this.#match(SPACE);
    if (this.#offset < this.#text.length) throw this.#unexpected("", "the end");
  }

  #object(pointer: string, depth: number): ReadonlyMap<string, JsonValue> {
    const members = new Map<string, JsonValue>();
    this.#offset++;
    if (this.#take("}")) return members;
    for (;;) {
      this.#match(SPACE);
      const key = this.#string(pointer);
      if (key.length > MAX_KEY) throw jsonError(pointer, `key of more than ${MAX_KEY} characters`);
      const child = childPointer(pointer, key);
      if (members.has(key)) throw jsonError(child, "key twice");
      if (!this.#take(":")) throw this.#unexpected(pointer, '":"');
      members.set(key, this.value(child, depth + 1));
      if (this.#take("}")) return members;
      if (!this.#take(",")) throw this.#unexpected(pointer, '"," or "}"');
    }
  }

  #array(pointer: string, depth: number): readonly JsonValue[] {
    const items: JsonValue[] = [];
    this.#offset++;
    if (this.#take("]")) return items;
    for (;;) {
      items.push(this.value(childPointer(pointer, items.length), depth + 1));
      if (this.#take("]")) return items;
      if (!this.#take(",")) throw this.#unexpected(pointer, '"," or "]"');
    }
  }

  #string(pointer: string): string {
    const token = this.#match(STRING);
    if (token === "") throw this.#unexpected(pointer, "a string");
    const value: unknown = JSON.parse(token);
    if (typeof value !== "string") throw new TypeError("a JSON string token is no string");
    return value;
  }

  #scalar(pointer: string): number | boolean | null {
    const number = this.#match(NUMBER);
    if (number !== "" && !INTEGER.test(number)) {
      throw jsonError(pointer, `${number.slice(0, 32)}, want an integer of at most 15 digits`);
    }
    if (number !== "") return Number(number);
    switch (this.#match(WORD)) {
      case "true":
        return true;
      case "false":
        return false;
      case "null":
        return null;
      default:
        throw this.#unexpected(pointer, "a value");
    }
  }

  #take(token: string): boolean {
    this.#match(SPACE);
    if (this.#text[this.#offset] !== token) return false;
    this.#offset++;
    return true;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#offset;
    const token = pattern.exec(this.#text)?.[0] ?? "";
    this.#offset += token.length;
    return token;
  }

  #unexpected(pointer: string, wanted: string): AttestationError {
    const before = this.#text.slice(0, this.#offset);
    const line = before.split("\n").length;
    const column = before.length - before.lastIndexOf("\n");
    const what = this.#offset < this.#text.length ? "something else" : "the end";
    return jsonError(pointer, `${what} where ${wanted} was wanted, line ${line}, column ${column}`);
  }
}
