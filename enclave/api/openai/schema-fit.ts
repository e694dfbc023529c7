/** Whether JSON that a model wrote freely fits a schema: what a constraint would have let it write. */
import { encodeUtf8 } from "@countersign/attestation/attester";
import { compileConstraint, startConstraint } from "../../text/constraint.ts";
import type { JsonSchema } from "../../text/generation.ts";
import type { JsonValue } from "../../text/model.ts";
import { createVocabulary, type Vocabulary } from "../../text/vocabulary.ts";

const BYTE_VALUES = 256;
/** Every byte is a token. Made when it is first needed. */
let bytes: Vocabulary | null = null;

/**
 * Members are put into the schema's order first, which is the only one that a constraint knows; in
 * JSON it means nothing.
 *
 * @param schema - that compiles.
 */
export function fitsSchema(value: JsonValue, schema: JsonSchema): boolean {
  bytes ??= createVocabulary(Array.from({ length: BYTE_VALUES }, (_, byte) => Uint8Array.of(byte)));
  const state = startConstraint(compileConstraint([{ kind: "json-schema", schema }]), bytes);
  for (const byte of encodeUtf8(JSON.stringify(ordered(value, schema)))) {
    const word = state.allowed()[byte >> 5] ?? 0;
    if ((word & (1 << (byte & 31))) === 0) return false;
    state.accept(byte);
  }
  return state.canEnd;
}

/** The value with its members in the order of `properties`, as deep as the schema says it itself. */
function ordered(value: JsonValue, schema: unknown): JsonValue {
  if (typeof value !== "object" || value === null) return value;
  if (isList(value)) return value.map((item) => ordered(item, memberOf(schema, "items")));
  const properties = memberOf(schema, "properties");
  const names = new Set([...namesOf(properties), ...Object.keys(value)]);
  const entries = [...names]
    .filter((name) => Object.hasOwn(value, name))
    .map((name): [string, JsonValue] => [
      name,
      ordered(value[name] ?? null, memberOf(properties, name)),
    ]);
  return Object.fromEntries(entries);
}

function isList(value: object): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function memberOf(object: unknown, name: string): unknown {
  if (typeof object !== "object" || object === null || !Object.hasOwn(object, name)) return null;
  return Reflect.get(object, name);
}

function namesOf(object: unknown): readonly string[] {
  return typeof object === "object" && object !== null ? Object.keys(object) : [];
}
