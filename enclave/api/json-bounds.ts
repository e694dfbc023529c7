import { EnclaveError } from "../errors.ts";

/** Of arrays and objects in each other: a request, its inputs, one of them, and a tensor's axes. */
const MAX_DEPTH = 32;
/** Arrays and objects. Nested data has one for each of its innermost rows. */
const MAX_CONTAINERS = 1_048_576;
/** Members of all objects together: a request has a handful for each of its inputs. */
const MAX_MEMBERS = 65_536;
/** Commas, and so all values, where 64-bit integers make parsing slow, json-data.ts. */
const MAX_WIDE_VALUES = 1_048_576;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const ARRAY = 0x5b;
const ARRAY_END = 0x5d;
const OBJECT = 0x7b;
const OBJECT_END = 0x7d;

/**
 * Reads over JSON before a parser does: text of a few megabytes that is all brackets or all names
 * takes the parser many seconds and some gigabytes, in which nobody else is answered.
 *
 * It tells nothing of whether the text is JSON.
 *
 * @param wide - whether 64-bit integers are to be read from it.
 * @throws {@link EnclaveError} `request/structure`.
 */
export function requireBoundedJson(json: Uint8Array, wide: boolean): void {
  let depth = 0;
  let containers = 0;
  let members = 0;
  let values = 0;
  for (let at = 0; at < json.length; at++) {
    switch (json[at]) {
      case QUOTE:
        at = endOfString(json, at);
        break;
      case ARRAY:
      case OBJECT:
        depth++;
        containers++;
        if (depth > MAX_DEPTH) throw beyond(`${MAX_DEPTH} arrays and objects in each other`);
        if (containers > MAX_CONTAINERS) throw beyond(`${MAX_CONTAINERS} arrays and objects`);
        break;
      case ARRAY_END:
      case OBJECT_END:
        depth--;
        break;
      case COLON:
        members++;
        if (members > MAX_MEMBERS) throw beyond(`${MAX_MEMBERS} members`);
        break;
      case COMMA:
        values++;
        if (wide && values > MAX_WIDE_VALUES) {
          throw beyond(`${MAX_WIDE_VALUES} values: send them as binary data`);
        }
        break;
      default:
    }
  }
}

/** Where the string that begins at `at` ends: its closing quote, or the end of the text. */
function endOfString(json: Uint8Array, at: number): number {
  for (let end = at + 1; end < json.length; end++) {
    if (json[end] === QUOTE) return end;
    if (json[end] === BACKSLASH) end++;
  }
  return json.length;
}

function beyond(what: string): EnclaveError {
  return new EnclaveError("request/structure", `more than ${what}`);
}
