import { malformed, outOfRange, required } from "./members.ts";
import { integerIn, textOf } from "./readers.ts";

/** A prompt or an input as it was given: as text, or as the tokens that a client made of it. */
export type GivenText =
  | { readonly kind: "text"; readonly text: string; readonly param: string }
  | { readonly kind: "tokens"; readonly tokens: Int32Array<ArrayBuffer>; readonly param: string };

const MAX_TOKEN = 2 ** 31 - 1;
/** Bounded by the body. */
const MAX_CHARACTERS = 2 ** 29;

const readText = textOf(1, MAX_CHARACTERS);
const readToken = integerIn(0, MAX_TOKEN);

/**
 * Reads a text, an array of texts, an array of tokens, or an array of such arrays.
 *
 * @param most - texts at most.
 * @throws {@link EnclaveError} `request/structure`, `request/parameter`.
 */
export function readTexts(value: unknown, param: string, most: number): readonly GivenText[] {
  const given = required(value, param);
  if (typeof given === "string") return [textFrom(given, param)];
  if (!Array.isArray(given)) throw malformed(param, "is neither text nor an array");
  if (given.length === 0) throw outOfRange(param, "is empty");
  if (typeof given[0] === "number") return [tokensFrom(given, param)];
  if (given.length > most) {
    throw outOfRange(param, `has ${given.length} texts, want at most ${most}`);
  }
  return given.map((each: unknown, index) => {
    const own = `${param}[${index}]`;
    return Array.isArray(each) ? tokensFrom(each, own) : textFrom(each, own);
  });
}

function textFrom(value: unknown, param: string): GivenText {
  return { kind: "text", text: readText(value, param), param };
}

function tokensFrom(values: readonly unknown[], param: string): GivenText {
  if (values.length === 0) throw outOfRange(param, "is empty");
  const tokens = new Int32Array(values.length);
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    // A name is made only for a refusal: there may be millions of tokens.
    const fits = typeof value === "number" && value >= 0 && value <= MAX_TOKEN;
    tokens[index] =
      fits && Number.isInteger(value) ? value : readToken(value, `${param}[${index}]`);
  }
  return { kind: "tokens", tokens, param };
}
