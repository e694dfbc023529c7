/**
 * Keeps an object from having a member twice: RFC 8259 §4 leaves open what that means, so two readers of
 * one answer could differ. An automaton cannot remember names; this walks beside it.
 *
 * Only names that a schema does not describe can come twice, and those have no escapes (json.ts): equal
 * names are equal bytes.
 */
import type { Constraint } from "../generation.ts";
import type { Vocabulary } from "../vocabulary.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** How many quotes a token has at least that ends a name, by the kind of string that it begins in. */
const QUOTES_TO_END_NAME = { name: 1, none: 2, value: 3 } as const;

/** An array or object that is open. */
interface Open {
  /** Null for an array. */
  readonly names: Set<string> | null;
  /** Names that a look ahead has met, beside those that are there. */
  readonly ahead: Ahead | null;
}

interface Ahead {
  readonly name: string;
  readonly before: Ahead | null;
}

export class MemberNames {
  readonly #vocabulary: Vocabulary;
  /** A mask of our own, made when it is first needed. */
  #mask: Uint32Array | null = null;
  /** Texts that JSON may stand behind, as far as what was written is a beginning of them. */
  #leads: readonly Uint8Array[];
  #at = 0;
  #phase: "lead" | "json" | "over" = "lead";
  #open: Open[] = [];
  #string: "none" | "name" | "value" = "none";
  #escaped = false;
  #nameNext = false;
  #name = "";
  #looksAhead = false;

  /** @param leads - see {@link leadsOf}. */
  constructor(leads: readonly Uint8Array[], vocabulary: Vocabulary) {
    this.#leads = leads;
    this.#vocabulary = vocabulary;
    this.#lead();
  }

  /**
   * What of `words` writes no name twice: the same words, or a mask that is valid until the next call.
   */
  withoutRepeats(words: Uint32Array): Uint32Array {
    if (this.#phase === "over") return words;
    const { tokens, quoted } = this.#vocabulary;
    const repeating = (quoted[QUOTES_TO_END_NAME[this.#string] - 1] ?? []).filter((token) => {
      if (((words[token >>> 5] ?? 0) & (1 << (token & 31))) === 0) return false;
      const bytes = tokens[token] ?? null;
      return bytes !== null && this.repeats(bytes);
    });
    if (repeating.length === 0) return words;
    this.#mask ??= new Uint32Array(words.length);
    this.#mask.set(words);
    for (const token of repeating) {
      this.#mask[token >>> 5] = (this.#mask[token >>> 5] ?? 0) & ~(1 << (token & 31));
    }
    return this.#mask;
  }

  /** Whether with these bytes an object would have a name twice. */
  repeats(bytes: Uint8Array): boolean {
    const ahead = new MemberNames([], this.#vocabulary);
    ahead.#leads = this.#leads;
    ahead.#at = this.#at;
    ahead.#phase = this.#phase;
    ahead.#open = this.#open.slice();
    ahead.#string = this.#string;
    ahead.#escaped = this.#escaped;
    ahead.#nameNext = this.#nameNext;
    ahead.#name = this.#name;
    ahead.#looksAhead = true;
    return bytes.some((byte) => ahead.#step(byte));
  }

  /** Takes what was written. */
  push(bytes: Uint8Array): void {
    for (const byte of bytes) this.#step(byte);
  }

  /** @returns whether a name ends here that was there before. */
  #step(byte: number): boolean {
    if (this.#phase === "over") return false;
    if (this.#phase === "lead") {
      this.#leads = this.#leads.filter((lead) => lead[this.#at] === byte);
      this.#at += 1;
      this.#lead();
      return false;
    }
    if (this.#string !== "none") return this.#inString(byte);
    switch (byte) {
      case QUOTE:
        this.#string = this.#nameNext ? "name" : "value";
        this.#name = "";
        break;
      case OPEN_OBJECT:
      case OPEN_ARRAY:
        this.#open.push({ names: byte === OPEN_OBJECT ? new Set() : null, ahead: null });
        this.#nameNext = byte === OPEN_OBJECT;
        break;
      case CLOSE_OBJECT:
      case CLOSE_ARRAY:
        this.#open.pop();
        this.#nameNext = false;
        break;
      case COMMA:
        this.#nameNext = (this.#open.at(-1)?.names ?? null) !== null;
        break;
      default:
    }
    // A value that is no array or object has no names, and its end need not be found.
    if (this.#open.length === 0) this.#phase = "over";
    return false;
  }

  /** Begins with JSON where all that stands before it was written. */
  #lead(): void {
    if (this.#leads.some((lead) => lead.length === this.#at)) this.#phase = "json";
    else if (this.#leads.length === 0) this.#phase = "over";
  }

  #inString(byte: number): boolean {
    if (!this.#escaped && byte === QUOTE) {
      const ended = this.#string;
      this.#string = "none";
      this.#nameNext = false;
      return ended === "name" && !this.#note(this.#name);
    }
    this.#escaped = !this.#escaped && byte === BACKSLASH;
    if (this.#string === "name") this.#name += String.fromCharCode(byte);
    return false;
  }

  /** @returns whether the name is new in its object. */
  #note(name: string): boolean {
    const open = this.#open.at(-1);
    if (open === undefined || open.names === null) throw new TypeError("a name without an object");
    if (open.names.has(name)) return false;
    for (let met = open.ahead; met !== null; met = met.before) if (met.name === name) return false;
    if (this.#looksAhead) {
      this.#open.splice(-1, 1, { names: open.names, ahead: { name, before: open.ahead } });
    } else {
      open.names.add(name);
    }
    return true;
  }
}

/** What stands before the first JSON, in each way to read the constraint. */
export function leadsOf(constraint: Constraint): readonly Uint8Array[] {
  return leadTexts(constraint).map((text) => new TextEncoder().encode(text));
}

function leadTexts([first, ...rest]: Constraint): readonly string[] {
  if (first === undefined) return [];
  switch (first.kind) {
    case "literal":
      return leadTexts(rest).map((text) => first.text + text);
    case "choice":
      return first.options.flatMap((option) => leadTexts([...option, ...rest]));
    case "json-object":
    case "json-schema":
      return [""];
    default:
      return first satisfies never;
  }
}
