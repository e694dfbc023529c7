/** JSON that says one thing only: no unknown key, no key twice, no value of another type. */
import { ImageError } from "./errors.ts";

/** Nested JSON recurses in the parser; a release file is three deep. */
const MAX_DEPTH = 16;
/** RFC 8259 §2. */
const SPACE = " \t\r\n";

/**
 * The value of `text`, which is written as JSON.stringify writes it but for the space between tokens.
 *
 * So no key can be there twice, where readers differ in which they take; nor a number in two ways.
 *
 * @throws ImageError `image/input`
 */
export function plainJson(text: string): unknown {
  const bare = withoutSpace(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ImageError("image/input", "/: not JSON", { cause: error });
  }
  if (JSON.stringify(value) === bare) return value;
  throw new ImageError("image/input", "/: a key stands twice, or a value in an unusual form");
}

/**
 * `text` without the space between its tokens. Character by character, since text that is not JSON
 * comes here, too: a regular expression looks for the end of a string from each of its quotes.
 */
function withoutSpace(text: string): string {
  const parts: string[] = [];
  let start = 0;
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const character = text.charAt(i);
    if (inString) {
      if (character === "\\") i++;
      else if (character === '"') inString = false;
    } else if (SPACE.includes(character)) {
      parts.push(text.slice(start, i));
      start = i + 1;
    } else if (character === '"') {
      inString = true;
    } else {
      depth += Number("[{".includes(character)) - Number("]}".includes(character));
      if (depth > MAX_DEPTH) throw new ImageError("image/input", "/: nested too deep");
    }
  }
  parts.push(text.slice(start));
  return parts.join("");
}

/** The members of an object, each asked for by its type; {@link Reader.end} refuses those left over. */
export class Reader {
  readonly #members: ReadonlyMap<string, unknown>;
  readonly #pointer: string;
  readonly #asked = new Set<string>();

  constructor(members: ReadonlyMap<string, unknown>, pointer: string) {
    this.#members = members;
    this.#pointer = pointer;
  }

  has(key: string): boolean {
    return this.#members.has(key);
  }

  isNull(key: string): boolean {
    return this.#value(key) === null;
  }

  null(key: string): null {
    if (this.#value(key) !== null) throw this.refusal(key, "want null");
    return null;
  }

  text(key: string, minimum: number, maximum: number): string {
    const value = this.#value(key);
    if (typeof value !== "string" || value.length < minimum || value.length > maximum) {
      throw this.refusal(key, `want a text of ${minimum} to ${maximum} characters`);
    }
    return value;
  }

  pattern(key: string, pattern: RegExp): string {
    const value = this.#value(key);
    if (typeof value === "string" && pattern.test(value)) return value;
    throw this.refusal(key, `want ${pattern.source}`);
  }

  /** Lower-case hex of one of the numbers of bytes. */
  hex(key: string, ...bytes: readonly number[]): string {
    const value = this.#value(key);
    const fits = typeof value === "string" && bytes.some((count) => value.length === 2 * count);
    if (fits && /^[0-9a-f]+$/u.test(value)) return value;
    throw this.refusal(key, `want ${bytes.map((count) => 2 * count).join(" or ")} digits, 0 to f`);
  }

  integer(key: string, minimum: number, maximum: number): number {
    const value = this.#value(key);
    if (typeof value === "number" && Number.isInteger(value)) {
      if (value >= minimum && value <= maximum) return value;
    }
    throw this.refusal(key, `want a whole number from ${minimum} to ${maximum}`);
  }

  boolean(key: string): boolean {
    const value = this.#value(key);
    if (typeof value === "boolean") return value;
    throw this.refusal(key, "want true or false");
  }

  oneOf<T extends string>(key: string, choices: readonly T[]): T {
    const value = this.#value(key);
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw this.refusal(key, `want ${choices.join(" or ")}`);
    return found;
  }

  texts(key: string, most: number, characters: number): readonly string[] {
    const value = this.#value(key);
    if (Array.isArray(value) && value.length <= most) {
      const texts = value.filter((item: unknown): item is string => typeof item === "string");
      const fit = texts.every(({ length }) => length <= characters);
      if (texts.length === value.length && fit) return texts;
    }
    throw this.refusal(key, `want at most ${most} texts of ${characters} characters at most`);
  }

  object(key: string): Reader {
    return readObject(this.#value(key), `${this.#pointer}/${key}`);
  }

  objects(key: string, minimum: number, maximum: number): readonly Reader[] {
    const value = this.#value(key);
    if (!Array.isArray(value) || value.length < minimum || value.length > maximum) {
      throw this.refusal(key, `want ${minimum} to ${maximum} items`);
    }
    return value.map((item: unknown, i) => readObject(item, `${this.#pointer}/${key}/${i}`));
  }

  /** @throws ImageError `image/input` where a member is left that nobody asked for. */
  end(): void {
    for (const key of this.#members.keys()) {
      if (!this.#asked.has(key)) throw this.refusal(key, "there is no such key");
    }
  }

  refusal(key: string, wanted: string): ImageError {
    return new ImageError("image/input", `${this.#pointer}/${key.slice(0, 64)}: ${wanted}`);
  }

  #value(key: string): unknown {
    this.#asked.add(key);
    if (!this.#members.has(key)) throw this.refusal(key, "is missing");
    return this.#members.get(key);
  }
}

/** @throws ImageError `image/input` unless `value` is an object. */
export function readObject(value: unknown, pointer: string): Reader {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ImageError("image/input", `${pointer === "" ? "/" : pointer}: want an object`);
  }
  return new Reader(new Map<string, unknown>(Object.entries(value)), pointer);
}
