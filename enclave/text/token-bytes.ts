/**
 * The bytes of every token, by the decoder that `tokenizer.json` names.
 *
 * They are what a streamed answer is made of, and what constrained decoding walks over.
 */
import { encodeUtf8 } from "@countersign/attestation/attester";
import { booleanAt, integerAt, type Section, sectionAt, textAt, wrong } from "./model-json.ts";
import { patternText, stepsOf, type TokenizerFile } from "./tokenizer-json.ts";

export interface TokenTexts {
  /** Null for special tokens and for ids without a token. */
  readonly bytes: readonly (Uint8Array | null)[];
  /** Whether a space that begins the text is the tokenizer's own and goes. */
  readonly dropsFirstSpace: boolean;
}

interface Decoding {
  piece(piece: string): Uint8Array;
  readonly dropsFirstSpace: boolean;
}

const BYTE_PIECE = /^<0x([0-9A-F]{2})>$/u;

/**
 * @param special - ids whose text is no part of an answer.
 * @throws {@link EnclaveError} `model/tokenizer` for a decoder that has no bytes for single tokens.
 */
export function readTokenTexts(file: TokenizerFile, special: ReadonlySet<number>): TokenTexts {
  const decoding = readDecoding(file.section);
  const added = new Set(file.added.map(({ id }) => id));
  const bytes = file.pieces.map((piece, id) => {
    if (piece === null || special.has(id)) return null;
    return added.has(id) ? encodeUtf8(piece) : decoding.piece(piece);
  });
  return { bytes, dropsFirstSpace: decoding.dropsFirstSpace };
}

function readDecoding(section: Section): Decoding {
  const steps = stepsOf(section, "decoder", "decoders");
  const types = steps.map((step) => textAt(step, "type"));
  if (types.length === 1 && types[0] === "ByteLevel") {
    return { piece: byteLevelBytes, dropsFirstSpace: false };
  }
  const [first] = steps;
  if (types.length === 1 && types[0] === "Metaspace" && first !== undefined) {
    return metaspace(first);
  }
  return sentencePiece(section, steps);
}

/** GPT-2's map from bytes to printable characters (`bytes_to_unicode` in its encoder.py), inverted. */
const BYTE_OF: ReadonlyMap<string, number> = (() => {
  const printable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  const map = new Map<string, number>();
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    map.set(String.fromCharCode(printable(byte) ? byte : next++), byte);
  }
  return map;
})();

/** A piece with a character outside the map stands for itself, as in Hugging Face's decoder. */
function byteLevelBytes(piece: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of piece) {
    const byte = BYTE_OF.get(character);
    if (byte === undefined) return encodeUtf8(piece);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

function metaspace(step: Section): Decoding {
  const replacement = textAt(step, "replacement") ?? "▁";
  const scheme = textAt(step, "prepend_scheme") ?? "always";
  const prefixed = booleanAt(step, "add_prefix_space") ?? scheme !== "never";
  return {
    piece: (piece) => encodeUtf8(piece.replaceAll(replacement, " ")),
    dropsFirstSpace: prefixed,
  };
}

/** SentencePiece's chain: literal replacements, `<0x0A>` as a byte, and one leading space dropped. */
function sentencePiece(section: Section, steps: readonly Section[]): Decoding {
  const replacements: (readonly [from: string, to: string])[] = [];
  let byteFallback = false;
  let fused = false;
  let dropsFirstSpace = false;
  for (const step of steps) {
    switch (textAt(step, "type")) {
      case "Replace": {
        const from = patternText(step);
        if (from === null || from === "") throw wrong(step, "pattern", "is no text");
        replacements.push([from, textAt(step, "content") ?? ""]);
        break;
      }
      case "ByteFallback":
        byteFallback = true;
        break;
      case "Fuse":
        fused = true;
        break;
      case "Strip":
        // Before the tokens are one text, it would strip each of them.
        if (!fused) throw wrong(step, "type", "comes before Fuse");
        dropsFirstSpace = requireSpaceStrip(step) || dropsFirstSpace;
        break;
      default:
        throw wrong(step, "type", "is no decoder of single tokens");
    }
  }
  if (replacements.length === 0) {
    throw wrong(sectionAt(section, "decoder") ?? section, null, "is no decoder that we know");
  }
  const piece = (text: string): Uint8Array => {
    const byte = byteFallback ? BYTE_PIECE.exec(text)?.[1] : undefined;
    if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
    return encodeUtf8(replacements.reduce((all, [from, to]) => all.replaceAll(from, to), text));
  };
  return { piece, dropsFirstSpace };
}

/** Whether the step drops one leading space of the whole text; any other stripping is refused. */
function requireSpaceStrip(step: Section): boolean {
  const start = integerAt(step, "start", 0, 1) ?? 0;
  integerAt(step, "stop", 0, 0);
  if (textAt(step, "content") !== " ") throw wrong(step, "content", "is no space");
  return start === 1;
}
