import { EnclaveError } from "../errors.ts";
import {
  DATATYPES,
  type Elements,
  type InputInfo,
  type Tensor,
  type TensorInfo,
} from "./datatypes.ts";

declare const brand: unique symbol;

/**
 * One tensor for each of a model's inputs, in its order, each fit for it: what may reach ONNX Runtime.
 *
 * Whoever hands feeds to the engine gives their buffers away: they move to the worker.
 */
export type Feeds = readonly Tensor[] & { readonly [brand]: "Feeds" };

/** ONNX Runtime's Node binding takes dimensions up to 2^32 − 1; products beyond 2^53 are never near. */
const MAX_DIMENSION = 2 ** 31 - 1;

/**
 * How many elements a tensor of `shape` has, where the input allows that shape.
 *
 * A dimension of zero passes only where the model declares it as zero, or its metadata.json allows
 * empty inputs: else it is an empty batch, and kernels do divide by it.
 *
 * @throws {@link EnclaveError} `input/shape`, `input/empty`.
 */
export function requireShape(info: InputInfo, shape: readonly number[]): number {
  if (shape.length !== info.shape.length) throw wrongShape(info, shape);
  let count = 1;
  for (let axis = 0; axis < shape.length; axis++) {
    const declared = info.shape[axis] ?? 0;
    const dimension = shape[axis] ?? -1;
    if (!Number.isInteger(dimension) || dimension < 0 || dimension > MAX_DIMENSION) {
      throw wrongShape(info, shape);
    }
    if (dimension === 0 && declared === -1 && !info.allowEmpty) {
      throw new EnclaveError("input/empty", `input ${name(info)} has no elements on axis ${axis}`);
    }
    if (declared !== -1 && declared !== dimension) throw wrongShape(info, shape);
    count *= dimension;
  }
  if (!Number.isSafeInteger(count)) throw wrongShape(info, shape);
  return count;
}

/**
 * The feeds of one run: every input exactly once, of its own type, rank, dimensions and length.
 *
 * @param tensors - by input name. @param maxBytes - of all elements together.
 * @throws {@link EnclaveError} `input/unknown`, `input/missing`, `input/datatype`, `input/shape`,
 * `input/empty`, `input/length`, `input/value`, `request/too-large`.
 */
export function requireFeeds(
  inputs: readonly InputInfo[],
  tensors: ReadonlyMap<string, Tensor>,
  maxBytes: number,
): Feeds {
  const feeds: Tensor[] = [];
  let bytes = 0;
  for (const info of inputs) {
    const tensor = tensors.get(info.name);
    if (tensor === undefined) {
      throw new EnclaveError("input/missing", `input ${name(info)} is missing`);
    }
    requireDatatype(info, tensor.datatype);
    requireElements(info, requireShape(info, tensor.shape), tensor.elements);
    bytes += elementBytes(tensor.elements);
    if (bytes > maxBytes) {
      throw new EnclaveError("request/too-large", `inputs of more than ${maxBytes} bytes`);
    }
    feeds.push(tensor);
  }
  if (tensors.size !== inputs.length) {
    throw new EnclaveError("input/unknown", `${tensors.size} inputs, want ${inputs.length}`);
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- this is the maker of Feeds
  return feeds as readonly Tensor[] as Feeds;
}

/** @throws {@link EnclaveError} `input/datatype` unless the input is declared as `datatype`. */
export function requireDatatype(info: TensorInfo, datatype: string): void {
  if (datatype !== info.datatype) {
    throw new EnclaveError("input/datatype", `input ${name(info)} is ${info.datatype}`);
  }
}

/** A tensor's name for an error text: bounded, and quoted as JSON. */
export function name(info: { readonly name: string }): string {
  return JSON.stringify(info.name.slice(0, 64));
}

function requireElements(info: TensorInfo, count: number, elements: Elements): void {
  const size = DATATYPES[info.datatype].bytes;
  if ((info.datatype === "BYTES") === elements instanceof Uint8Array) {
    throw new TypeError(`elements of ${info.name} do not go with ${info.datatype}`);
  }
  const length = elements instanceof Uint8Array ? elements.length / size : elements.length;
  if (length !== count) {
    throw new EnclaveError(
      "input/length",
      `input ${name(info)} has ${length} elements, its shape ${count}`,
    );
  }
  if (elements instanceof Uint8Array) {
    // A C++ bool that is neither 0 nor 1 is undefined behaviour in every kernel that reads it.
    if (info.datatype === "BOOL" && elements.some((byte) => byte > 1)) throw wrongValue(info);
    return;
  }
  for (const text of elements) {
    // The binding passes strings on as C strings: one would end at its first NUL, unnoticed.
    if (!text.isWellFormed() || text.includes("\0")) throw wrongValue(info);
  }
}

function elementBytes(elements: Elements): number {
  if (elements instanceof Uint8Array) return elements.length;
  // A string costs its UTF-8, at most three bytes a code unit, and its handle.
  return elements.reduce((sum, text) => sum + 3 * text.length + 4, 0);
}

function wrongValue(info: TensorInfo): EnclaveError {
  return new EnclaveError(
    "input/value",
    `input ${name(info)} holds a value that is no ${info.datatype}`,
  );
}

function wrongShape(info: TensorInfo, shape: readonly number[]): EnclaveError {
  const found = shape.slice(0, 16).join(", ");
  return new EnclaveError(
    "input/shape",
    `input ${name(info)} has shape [${found}], want [${info.shape.join(", ")}]`,
  );
}
