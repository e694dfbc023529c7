import { decodeUtf8 } from "@countersign/attestation/attester";
import { EnclaveError } from "../errors.ts";
import { visitJson } from "../json-strings.ts";
import { type Pooling, POOLINGS } from "../text/pooling.ts";

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/**
 * What a model's `metadata.json` says, checked against the model.
 *
 * The file is in the manifest, so the model digest covers it. Clients read it to turn images and
 * numbers into tensors, and tensors into words. The enclave passes it on and acts on one thing in it:
 * `"allowEmpty": true`, which lets an input's open dimensions be zero.
 */
export interface ModelMetadata {
  readonly description: string | null;
  readonly license: string | null;
  /** KServe `parameters` by input or output name. */
  readonly inputs: ReadonlyMap<string, JsonObject>;
  readonly outputs: ReadonlyMap<string, JsonObject>;
}

/** What the `metadata.json` of a Hugging Face export says. */
export interface TextMetadata {
  readonly description: string | null;
  readonly license: string | null;
  /** How an embedding model's vectors of tokens become one, where no file of its own says it. */
  readonly pooling: Pooling | null;
  readonly normalize: boolean | null;
}

/** Of an export without the file. */
export const NO_TEXT_METADATA: TextMetadata = {
  description: null,
  license: null,
  pooling: null,
  normalize: null,
};

/** Of a model without the file. */
export const NO_METADATA: ModelMetadata = {
  description: null,
  license: null,
  inputs: new Map(),
  outputs: new Map(),
};

const MODEL_KEYS = ["description", "license", "inputs", "outputs"];
const TEXT_KEYS = ["description", "license", "pooling", "normalize"];
const INPUT_KEYS = ["description", "image", "features", "allowEmpty"];
const OUTPUT_KEYS = ["description", "labels"];
const MAX_DEPTH = 8;

interface Names {
  readonly inputs: readonly { readonly name: string }[];
  readonly outputs: readonly { readonly name: string }[];
}

/**
 * Reads `metadata.json`: known keys only, and only names that the model has.
 *
 * @throws {@link EnclaveError} `model/metadata` with a JSON pointer in the message.
 */
export function parseMetadata(bytes: Uint8Array, model: Names): ModelMetadata {
  const root = objectAt(parseJson(bytes), "", MODEL_KEYS);
  return {
    description: textAt(root["description"], "/description"),
    license: textAt(root["license"], "/license"),
    inputs: tensorsAt(root["inputs"], "/inputs", model.inputs, INPUT_KEYS),
    outputs: tensorsAt(root["outputs"], "/outputs", model.outputs, OUTPUT_KEYS),
  };
}

/**
 * Reads an export's `metadata.json`: known keys only.
 *
 * @throws {@link EnclaveError} `model/metadata` with a JSON pointer in the message.
 */
export function parseTextMetadata(bytes: Uint8Array): TextMetadata {
  const root = objectAt(parseJson(bytes), "", TEXT_KEYS);
  const normalize = root["normalize"] ?? null;
  if (normalize !== null && typeof normalize !== "boolean")
    throw wrong("/normalize", "is no boolean");
  const name = textAt(root["pooling"], "/pooling");
  const pooling = POOLINGS.find((each) => each === name) ?? null;
  if (name !== null && pooling === null) {
    throw wrong("/pooling", `is none of ${POOLINGS.join(", ")}`);
  }
  return {
    description: textAt(root["description"], "/description"),
    license: textAt(root["license"], "/license"),
    pooling,
    normalize,
  };
}

function parseJson(bytes: Uint8Array): Json {
  let value: unknown;
  let text: string;
  try {
    text = decodeUtf8(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw new EnclaveError("model/metadata", "metadata.json is not JSON", { cause });
  }
  visitJson(text, {
    string(content, repeated) {
      if (repeated) throw wrong(`/${content.slice(0, 64)}`, "is there twice");
    },
  });
  return jsonAt(value, "", 0);
}

function tensorsAt(
  value: Json | undefined,
  at: string,
  tensors: readonly { readonly name: string }[],
  keys: readonly string[],
): ReadonlyMap<string, JsonObject> {
  if (value === undefined) return new Map();
  const names = tensors.map(({ name }) => name);
  const parameters = new Map<string, JsonObject>();
  for (const [name, each] of Object.entries(objectAt(value, at, names))) {
    const entry = objectAt(each, `${at}/${name}`, keys);
    textAt(entry["description"], `${at}/${name}/description`);
    listAt(entry["labels"], `${at}/${name}/labels`);
    listAt(entry["features"], `${at}/${name}/features`);
    const allowEmpty = entry["allowEmpty"] ?? false;
    if (typeof allowEmpty !== "boolean") throw wrong(`${at}/${name}/allowEmpty`, "is no boolean");
    if (entry["image"] !== undefined) objectAt(entry["image"], `${at}/${name}/image`, null);
    parameters.set(name, entry);
  }
  return parameters;
}

/** @param keys - the known ones, or null for any. */
function objectAt(value: Json | undefined, at: string, keys: readonly string[] | null): JsonObject {
  if (!isObject(value)) throw wrong(at, "is no object");
  for (const key of Object.keys(value)) {
    if (keys !== null && !keys.includes(key)) throw wrong(`${at}/${key}`, "is not known here");
  }
  return value;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textAt(value: Json | undefined, at: string): string | null {
  if (value === undefined) return null;
  if (typeof value !== "string") throw wrong(at, "is no text");
  return value;
}

function listAt(value: Json | undefined, at: string): void {
  if (value !== undefined && !Array.isArray(value)) throw wrong(at, "is no list");
}

/** `value` as JSON of bounded depth, without a prototype to fall back on. */
function jsonAt(value: unknown, at: string, depth: number): Json {
  if (depth > MAX_DEPTH) throw wrong(at, "is nested too deep");
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (Array.isArray(value)) {
    return value.map((item: unknown, i) => jsonAt(item, `${at}/${i}`, depth + 1));
  }
  if (typeof value !== "object") throw wrong(at, "is no JSON value");
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Object.create returns any
  const copy = Object.create(null) as Record<string, Json>;
  for (const [key, item] of Object.entries(value)) {
    copy[key] = jsonAt(item, `${at}/${key}`, depth + 1);
  }
  return copy;
}

function wrong(at: string, what: string): EnclaveError {
  return new EnclaveError("model/metadata", `metadata.json#${at} ${what}`);
}
