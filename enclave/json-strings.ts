/**
 * What JSON.parse passes over in silence: a name that an object has twice, of which it drops one, and how
 * deep a text goes. Two readers of one such text may see two things in it.
 */
const BACKSLASH = 0x5c;

/** Told of text that is JSON, from its beginning to its end. */
export interface JsonVisitor {
  /** @param repeated - it is a member's name, and its object has had it before. */
  readonly string: (content: string, repeated: boolean) => void;
  /** An object or array begins. @param depth - with it: the outermost has 1. */
  readonly open?: (depth: number) => void;
}

/** @param text - that is JSON: nothing else of its grammar is looked at again. */
export function visitJson(text: string, visitor: JsonVisitor): void {
  // The names of each object that is open; null for an array.
  const open: (Set<string> | null)[] = [];
  let nameNext = false;
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case "{":
      case "[":
        nameNext = text[at] === "{";
        open.push(nameNext ? new Set() : null);
        visitor.open?.(open.length);
        break;
      case "}":
      case "]":
        open.pop();
        nameNext = false;
        break;
      case ",":
        nameNext = (open.at(-1) ?? null) !== null;
        break;
      case '"': {
        const end = endOfString(text, at);
        const content = contentOf(text.slice(at, end + 1));
        const names = nameNext ? (open.at(-1) ?? null) : null;
        visitor.string(content, names?.has(content) ?? false);
        names?.add(content);
        nameNext = false;
        at = end;
        break;
      }
      default:
    }
  }
}

/** Where the string that begins at `at` ends: at its closing quote. The text is JSON. */
export function endOfString(text: string, at: number): number {
  for (let end = at + 1; ; end++) {
    end = text.indexOf('"', end);
    let escapes = 0;
    while (text.charCodeAt(end - 1 - escapes) === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return end;
  }
}

function contentOf(quoted: string): string {
  const content: unknown = quoted.includes("\\") ? JSON.parse(quoted) : quoted.slice(1, -1);
  if (typeof content !== "string") throw new TypeError("not a string of JSON");
  return content;
}
