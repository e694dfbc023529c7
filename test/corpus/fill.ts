/** Structures of an exact size, for both sides of a limit. */
import {
  encodeModelSet,
  encodeRuntimeConfig,
  type ModelRef,
  type RuntimeConfig,
} from "@countersign/attestation";

/** PROTOCOL 13. */
const MAX_MODELS = 1024;
const MAX_ENTRIES = 256;
const MAX_NAME = 128;
/** From this length to 255 characters a text has a head of two bytes, so that sizes grow evenly. */
const SHORTEST = 24;
/** The least integer that takes a byte more than 0. */
const WIDER = 24;

/** As many models as may be, whose ModelSet has exactly `bytes`; the first is `first`. */
export function modelsOfSize(bytes: number, first: ModelRef): readonly ModelRef[] {
  const others = MAX_MODELS - 1;
  const models = (length: number, longer: number): readonly ModelRef[] => [
    first,
    ...Array.from({ length: others }, (_, i) => ({
      ...first,
      id: `model-${i}-`.padEnd(i < longer ? length + 1 : length, "x"),
    })),
  ];
  const missing = bytes - encodeModelSet(models(SHORTEST, 0)).length;
  const filled = models(SHORTEST + Math.floor(missing / others), missing % others);
  return requireSize(filled, encodeModelSet(filled), bytes);
}

/** A configuration of as many entries as may be, whose RuntimeConfig has exactly `bytes`. */
export function configOfSize(bytes: number): RuntimeConfig {
  const indexes = Array.from({ length: MAX_ENTRIES }, (_, i) => i);
  const config = (phrase: number, wider: number): RuntimeConfig => ({
    engine: "onnxruntime",
    engineVersion: "1.30.0",
    limits: new Map(indexes.map((i) => [name(i), i < wider ? WIDER : 0])),
    features: new Map(indexes.map((i) => [name(i), "x".repeat(phrase)])),
  });
  const missing = bytes - encodeRuntimeConfig(config(SHORTEST, 0)).length;
  const filled = config(SHORTEST + Math.floor(missing / MAX_ENTRIES), missing % MAX_ENTRIES);
  return requireSize(filled, encodeRuntimeConfig(filled), bytes);
}

function requireSize<T>(value: T, encoded: Uint8Array, bytes: number): T {
  if (encoded.length !== bytes) throw new TypeError(`${encoded.length} bytes, want ${bytes}`);
  return value;
}

function name(index: number): string {
  return `entry-${index}-`.padEnd(MAX_NAME, "x");
}
