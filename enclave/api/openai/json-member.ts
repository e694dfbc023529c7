import { endOfString } from "../../json-strings.ts";

/**
 * The text of a member's value as it was written: a parser would round the numbers in it.
 *
 * @param json - an object that is JSON, without a member twice.
 * @returns null where the object has no such member.
 */
export function memberText(json: string, name: string): string | null {
  let depth = 0;
  let named = false;
  /** Where the value begins; −1 before it does. */
  let start = -1;
  for (let at = 0; at < json.length; at++) {
    switch (json[at]) {
      case '"': {
        const end = endOfString(json, at);
        // A value may be taken for a name here: no colon follows, and the next name settles it.
        if (depth === 1) named = JSON.parse(json.slice(at, end + 1)) === name;
        at = end;
        break;
      }
      case ":":
        if (depth === 1 && named) start = at + 1;
        break;
      case "{":
      case "[":
        depth++;
        break;
      case "}":
      case "]":
        depth--;
        if (start >= 0 && depth === 0) return json.slice(start, at).trim();
        break;
      case ",":
        if (start >= 0 && depth === 1) return json.slice(start, at).trim();
        break;
      default:
    }
  }
  return null;
}
