import { CommandError } from "./exit.ts";

/** A tensor in the JSON of the Open Inference Protocol v2. */
export interface Tensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: readonly TensorValue[];
}

/** One element: numbers, BOOL, or BYTES as text. */
export type TensorValue = number | boolean | string;

/** An array nested to a regular depth, flattened. */
export interface NestedValues {
  readonly shape: readonly number[];
  readonly data: readonly TensorValue[];
}

/** Shape and elements of a nested array. @throws CommandError where its rows differ in length. */
export function flattenNested(value: unknown, name: string): NestedValues {
  const shape: number[] = [];
  for (let level = value; Array.isArray(level); level = level[0] as unknown) {
    shape.push(level.length);
  }
  const data: TensorValue[] = [];
  collect(value, shape, 0, name, data);
  return { shape, data };
}

/**
 * The tensor for a model's input of `wanted` dimensions (-1 is any), from nested values.
 *
 * Values with one dimension less get a batch of one in front.
 *
 * @throws CommandError where the dimensions cannot be those.
 */
export function tensorOf(
  input: { readonly name: string; readonly datatype: string; readonly shape: readonly number[] },
  values: NestedValues,
): Tensor {
  const { name, datatype, shape: wanted } = input;
  const first = wanted[0];
  const lacksBatch = values.shape.length === wanted.length - 1 && (first === -1 || first === 1);
  const shape = lacksBatch ? [1, ...values.shape] : [...values.shape];
  const fits =
    shape.length === wanted.length &&
    wanted.every((dimension, i) => dimension === -1 || dimension === shape[i]);
  if (!fits) {
    throw new CommandError(
      `the input "${name}" has shape ${showShape(values.shape)}, the model wants ${showShape(wanted)}`,
      "nest the arrays as the model's shape says; a single example may leave out the batch",
    );
  }
  return { name, datatype, shape, data: values.data };
}

/** A shape as people write it: `1 × 28 × 28`, with `n` for any. */
export function showShape(shape: readonly number[]): string {
  if (shape.length === 0) return "of a single value";
  return shape.map((dimension) => (dimension < 0 ? "n" : String(dimension))).join(" × ");
}

function collect(
  value: unknown,
  shape: readonly number[],
  depth: number,
  name: string,
  into: TensorValue[],
): void {
  const expected = shape[depth];
  if (expected === undefined) {
    into.push(requireElement(value, name));
    return;
  }
  if (!Array.isArray(value) || value.length !== expected) {
    const found = Array.isArray(value) ? `${value.length} values` : `a single ${typeof value}`;
    throw new CommandError(`the input "${name}" is ragged: ${found} beside rows of ${expected}`);
  }
  for (const item of value as readonly unknown[]) collect(item, shape, depth + 1, name, into);
}

function requireElement(value: unknown, name: string): TensorValue {
  if (typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value !== "number") {
    throw new CommandError(`the input "${name}" holds ${JSON.stringify(value)}, want a number`);
  }
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new CommandError(
      `the input "${name}" holds ${value}, which JSON cannot carry exactly here`,
      "send it as a whole inference request: that is passed on byte for byte",
    );
  }
  return value;
}
