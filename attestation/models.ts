/**
 * ModelSet: every model that the enclave loaded before it made a key.
 *
 * ```cddl
 * ModelSet = { 1: "countersign/models/v1", 2: [* [id tstr, version tstr, digest bstr .size 32]] }
 * ```
 * Sorted by id, then version, bytewise; no pair twice.
 */
import { equalBytes } from "./bytes.ts";
import { type CborKey, type CborValue, encodeCbor, isArray } from "./cbor.ts";
import { AttestationError, type AttestationErrorCode } from "./errors.ts";
import { DIGEST_BYTES, parseFields, requireName, type Shape } from "./structure.ts";

const TAG = "countersign/models/v1";
/** PROTOCOL.md, "Limits". */
const MAX_MODELS = 1024;

const MODEL_SET: Shape = { code: "models/structure", name: "ModelSet", tag: TAG, required: [1, 2] };

/** One model: its id and version, and the digest of its manifest. */
export interface ModelRef {
  readonly id: string;
  readonly version: string;
  /** SHA-256 of the model's manifest, 32 bytes. */
  readonly digest: Uint8Array;
}

/** The bytes whose digest the binding names; sorts. @throws {@link AttestationError} `models/structure`. */
export function encodeModelSet(models: readonly ModelRef[]): Uint8Array {
  const bytes = encodeCbor(
    new Map<CborKey, CborValue>([
      [1, TAG],
      [2, models.toSorted(compareModels).map(modelValue)],
    ]),
  );
  parseModelSet(bytes);
  return bytes;
}

/** Reads a ModelSet. @throws {@link AttestationError} `models/structure`, `cbor/…`. */
export function parseModelSet(bytes: Uint8Array): readonly ModelRef[] {
  const fields = parseFields(bytes, MODEL_SET);
  const models: ModelRef[] = [];
  for (const item of fields.array(2, 0, MAX_MODELS)) {
    const model = parseModelRef(item, "models/structure");
    const previous = models.at(-1);
    if (previous !== undefined && compareModels(previous, model) >= 0) {
      throw fields.refusal("models are not sorted, or one is there twice");
    }
    models.push(model);
  }
  return models;
}

/** `[id, version, digest]`, as ModelSet and receipts write it. */
export function modelValue(model: ModelRef): CborValue {
  return [model.id, model.version, model.digest];
}

/** Reads `[id, version, digest]`. @throws {@link AttestationError} `code`. */
export function parseModelRef(value: CborValue, code: AttestationErrorCode): ModelRef {
  if (!isArray(value) || value.length !== 3) {
    throw new AttestationError(code, "model is not [id, version, digest]");
  }
  const [id = null, version = null, digest = null] = value;
  if (!(digest instanceof Uint8Array) || digest.length !== DIGEST_BYTES) {
    throw new AttestationError(code, `model digest is not ${DIGEST_BYTES} bytes`);
  }
  return {
    id: requireName(id, () => new AttestationError(code, "model id is no name")),
    version: requireName(version, () => new AttestationError(code, "model version is no name")),
    digest,
  };
}

/** Whether both name the same bytes under the same id and version. */
export function sameModel(a: ModelRef, b: ModelRef): boolean {
  return a.id === b.id && a.version === b.version && equalBytes(a.digest, b.digest);
}

/** Names are ASCII, so order by code unit is order by byte. */
function compareModels(a: ModelRef, b: ModelRef): number {
  if (a.id !== b.id) return a.id < b.id ? -1 : 1;
  if (a.version !== b.version) return a.version < b.version ? -1 : 1;
  return 0;
}
