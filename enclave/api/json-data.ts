import {
  type Elements,
  type NumericDatatype,
  numericView,
  type Tensor,
  type TensorInfo,
} from "../engine/datatypes.ts";
import { name } from "../engine/feeds.ts";
import { EnclaveError } from "../errors.ts";

/** Digits and sign of the longest 64-bit integer: what is longer is out of every range. */
const MAX_INTEGER_CHARACTERS = 20;
/** Numbers of one output as JSON: written out, they keep everyone else waiting. */
const MAX_JSON_NUMBERS = 4_194_304;

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * Parses JSON; where `wide`, integers beyond 2^53 come as exact bigints.
 *
 * @throws SyntaxError as JSON.parse does.
 */
export function parseJson(text: string, wide: boolean): unknown {
  // A reviver costs ten times the parsing, so it runs only where a number could need it.
  if (!wide || !/[0-9]{16}/u.test(text)) return JSON.parse(text);
  return JSON.parse(
    text,
    (_key, value: unknown, context?: { readonly source?: string }): unknown => {
      if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
      const source = context?.source ?? "";
      if (source.length > MAX_INTEGER_CHARACTERS || !/^-?[0-9]+$/u.test(source)) return value;
      return BigInt(source);
    },
  );
}

/**
 * The elements of a JSON `data` array, flat or nested as `shape` is.
 *
 * @param count - the product of `shape`.
 * @throws {@link EnclaveError} `input/length`, `input/value`, `input/binary-only`.
 */
export function decodeJsonData(
  info: TensorInfo,
  shape: readonly number[],
  count: number,
  data: readonly unknown[],
): Elements {
  const flat = Array.isArray(data[0]) ? flatten(info, shape, data) : data;
  if (flat.length !== count) {
    throw new EnclaveError(
      "input/length",
      `input ${name(info)} has ${flat.length} elements, its shape ${count}`,
    );
  }
  if (info.datatype === "BYTES") return decodeStrings(info, flat);
  if (info.datatype === "FP16") {
    // The protocol has no JSON form for it (KServe binary data extension, overview).
    throw new EnclaveError(
      "input/binary-only",
      `input ${name(info)} is FP16: send it as binary data`,
    );
  }
  return decodeNumbers(info, info.datatype, flat);
}

function flatten(info: TensorInfo, shape: readonly number[], data: readonly unknown[]): unknown[] {
  const flat: unknown[] = [];
  const visit = (items: readonly unknown[], axis: number): void => {
    if (items.length !== shape[axis]) {
      throw new EnclaveError("input/length", `input ${name(info)} is not nested as its shape is`);
    }
    for (const item of items) {
      if (axis === shape.length - 1) flat.push(item);
      else if (Array.isArray(item)) visit(item, axis + 1);
      else throw new EnclaveError("input/length", `input ${name(info)} is not nested evenly`);
    }
  };
  visit(data, 0);
  return flat;
}

function decodeNumbers(
  info: TensorInfo,
  datatype: Exclude<NumericDatatype, "FP16">,
  data: readonly unknown[],
): Bytes {
  const count = data.length;
  switch (datatype) {
    case "BOOL":
      return booleans(info, new Uint8Array(count), data);
    case "UINT8":
      return integers(info, new Uint8Array(count), data, 0, 2 ** 8 - 1);
    case "UINT16":
      return integers(info, new Uint16Array(count), data, 0, 2 ** 16 - 1);
    case "UINT32":
      return integers(info, new Uint32Array(count), data, 0, 2 ** 32 - 1);
    case "UINT64":
      return wideIntegers(info, new BigUint64Array(count), data, 0n, 2n ** 64n - 1n);
    case "INT8":
      return integers(info, new Int8Array(count), data, -(2 ** 7), 2 ** 7 - 1);
    case "INT16":
      return integers(info, new Int16Array(count), data, -(2 ** 15), 2 ** 15 - 1);
    case "INT32":
      return integers(info, new Int32Array(count), data, -(2 ** 31), 2 ** 31 - 1);
    case "INT64":
      return wideIntegers(info, new BigInt64Array(count), data, -(2n ** 63n), 2n ** 63n - 1n);
    case "FP32":
      return floats(info, new Float32Array(count), data);
    case "FP64":
      return floats(info, new Float64Array(count), data);
    default:
      return datatype satisfies never;
  }
}

/** A typed array that is written to element by element. */
interface Target<T> {
  [index: number]: T;
  readonly buffer: ArrayBuffer;
}

function floats(info: TensorInfo, target: Target<number>, data: readonly unknown[]): Bytes {
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (typeof value !== "number" && typeof value !== "bigint") throw wrongValue(info, i);
    target[i] = Number(value);
    // As stored: JSON has no infinity, but 1e999, and 1e39 for a single, become one.
    if (!Number.isFinite(target[i])) throw wrongValue(info, i);
  }
  return new Uint8Array(target.buffer);
}

function integers(
  info: TensorInfo,
  target: Target<number>,
  data: readonly unknown[],
  least: number,
  most: number,
): Bytes {
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
      throw wrongValue(info, i);
    }
    target[i] = value;
  }
  return new Uint8Array(target.buffer);
}

function wideIntegers(
  info: TensorInfo,
  target: Target<bigint>,
  data: readonly unknown[],
  least: bigint,
  most: bigint,
): Bytes {
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    const exact = typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : value;
    if (typeof exact !== "bigint" || exact < least || exact > most) throw wrongValue(info, i);
    target[i] = exact;
  }
  return new Uint8Array(target.buffer);
}

function booleans(info: TensorInfo, target: Target<number>, data: readonly unknown[]): Bytes {
  for (let i = 0; i < data.length; i++) {
    if (typeof data[i] !== "boolean") throw wrongValue(info, i);
    target[i] = data[i] === true ? 1 : 0;
  }
  return new Uint8Array(target.buffer);
}

function decodeStrings(info: TensorInfo, data: readonly unknown[]): string[] {
  return data.map((value, i) => {
    if (typeof value === "string") return value;
    throw wrongValue(info, i);
  });
}

function wrongValue(info: TensorInfo, index: number): EnclaveError {
  const { datatype } = info;
  return new EnclaveError("input/value", `input ${name(info)}: element ${index} is no ${datatype}`);
}

/**
 * The JSON array of a tensor's elements.
 *
 * @throws {@link EnclaveError} `output/binary-only` where JSON cannot say them: FP16, NaN, infinity,
 * too many.
 */
export function encodeJsonData(info: TensorInfo, tensor: Tensor): string {
  const { datatype, elements } = tensor;
  if (!(elements instanceof Uint8Array)) return JSON.stringify(elements);
  if (datatype === "BYTES") throw new TypeError("BYTES are strings");
  if (elements.length > MAX_JSON_NUMBERS && datatype === "BOOL") {
    throw binaryOnly(info, `has ${elements.length} elements`);
  }
  if (datatype === "BOOL") return `[${Array.from(elements, (byte) => byte !== 0).join(",")}]`;
  if (datatype === "FP16") throw binaryOnly(info, "is FP16");
  const view = numericView(datatype, elements);
  if (view.length > MAX_JSON_NUMBERS) throw binaryOnly(info, `has ${view.length} elements`);
  if (view instanceof Float32Array || view instanceof Float64Array) {
    for (let i = 0; i < view.length; i++) {
      if (!Number.isFinite(view[i])) throw binaryOnly(info, "has values that are not finite");
    }
  }
  // Each element's decimal form is JSON as it is, 64-bit integers in full.
  return `[${view.join(",")}]`;
}

/** @throws {@link EnclaveError} `output/binary-only` where no JSON could hold the output. */
export function requireJsonOutput(info: TensorInfo): void {
  if (info.datatype === "FP16") throw binaryOnly(info, "is FP16");
}

function binaryOnly(info: TensorInfo, why: string): EnclaveError {
  return new EnclaveError("output/binary-only", `output ${name(info)} ${why}: ask for binary data`);
}
