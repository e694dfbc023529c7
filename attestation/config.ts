/**
 * RuntimeConfig: everything the host chose for the enclave, so that a client can read it.
 *
 * ```cddl
 * RuntimeConfig = { 1: "countersign/config/v1", 2: engine tstr, 3: engine version tstr,
 *                   4: { * tstr => uint }, 5: { * tstr => tstr / uint / bool } }
 * ```
 */
import { type CborKey, type CborMap, type CborValue, encodeCbor } from "./cbor.ts";
import { type Fields, parseFields, requireName, requirePhrase, type Shape } from "./structure.ts";

const TAG = "countersign/config/v1";
/** PROTOCOL.md, "Limits". */
const MAX_ENTRIES = 256;

const CONFIG: Shape = {
  code: "config/structure",
  name: "RuntimeConfig",
  tag: TAG,
  required: [1, 2, 3, 4, 5],
};

/** What the enclave ran with, everything the host chose included. */
export interface RuntimeConfig {
  readonly engine: string;
  readonly engineVersion: string;
  /** Sizes, counts and times, by name. */
  readonly limits: ReadonlyMap<string, number>;
  /** What is switched on, and how, by name. */
  readonly features: ReadonlyMap<string, string | number | boolean>;
}

/** The bytes whose digest the binding names. @throws {@link AttestationError} `config/structure`. */
export function encodeRuntimeConfig(config: RuntimeConfig): Uint8Array {
  const bytes = encodeCbor(
    new Map<CborKey, CborValue>([
      [1, TAG],
      [2, config.engine],
      [3, config.engineVersion],
      [4, new Map<CborKey, CborValue>(config.limits)],
      [5, new Map<CborKey, CborValue>(config.features)],
    ]),
  );
  parseRuntimeConfig(bytes);
  return bytes;
}

/** Reads a RuntimeConfig. @throws {@link AttestationError} `config/structure`, `cbor/…`. */
export function parseRuntimeConfig(bytes: Uint8Array): RuntimeConfig {
  const fields = parseFields(bytes, CONFIG);
  return {
    engine: fields.nameText(2),
    engineVersion: fields.nameText(3),
    limits: named(fields, fields.map(4, MAX_ENTRIES), limit),
    features: named(fields, fields.map(5, MAX_ENTRIES), feature),
  };
}

function named<T>(
  fields: Fields,
  map: CborMap,
  read: (fields: Fields, value: CborValue) => T,
): ReadonlyMap<string, T> {
  const entries = new Map<string, T>();
  for (const [key, value] of map) {
    const name = requireName(key, () => fields.refusal("an entry's key is no name"));
    entries.set(name, read(fields, value));
  }
  return entries;
}

function limit(fields: Fields, value: CborValue): number {
  if (typeof value !== "number" || value < 0) throw fields.refusal("a limit is no uint");
  return value;
}

function feature(fields: Fields, value: CborValue): string | number | boolean {
  if (typeof value === "boolean") return value;
  if (typeof value === "number" && value >= 0) return value;
  return requirePhrase(value, () => fields.refusal("a feature is no phrase, uint or bool"));
}
