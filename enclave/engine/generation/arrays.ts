import { Tensor } from "onnxruntime-node";
import type { CachePool } from "./pool.ts";

/**
 * Keys and values as arrays: for each layer its keys, then its values, each of shape
 * [rows, kvHeads, slots, headDim]. A strip is one head's keys or values of one row.
 */

export type ElementType = "float32" | "float16";

/** 16-bit floats are their raw bits: the worker has no Float16Array. */
export type CacheArray = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;

/** What the arrays of one decoder look like. */
export interface CacheShape {
  readonly type: ElementType;
  /** Two for each layer. */
  readonly arrays: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Where one row begins in an array, and how many slots lie between two of its heads. */
export interface RowPlace {
  readonly array: CacheArray;
  readonly offset: number;
  readonly slots: number;
}

export function elementBytes(type: ElementType): number {
  return type === "float32" ? 4 : 2;
}

/** Elements of one row of `slots` in one array. */
export function rowElements(shape: CacheShape, slots: number): number {
  return shape.kvHeads * slots * shape.headDim;
}

export function acquireArray(pool: CachePool, shape: CacheShape, elements: number): CacheArray {
  const buffer = pool.acquire(elements * elementBytes(shape.type));
  return shape.type === "float32" ? new Float32Array(buffer) : new Uint16Array(buffer);
}

/** A tensor that is a view of the first elements of `array`. */
export function cacheTensor(
  shape: CacheShape,
  array: CacheArray,
  rows: number,
  slots: number,
): Tensor {
  const dims = [rows, shape.kvHeads, slots, shape.headDim];
  const elements = rows * rowElements(shape, slots);
  return array instanceof Float32Array
    ? new Tensor("float32", array.subarray(0, elements), dims)
    : new Tensor("float16", array.subarray(0, elements), dims);
}

/** Copies the first `length` slots of a row, head by head. The two may have other strides. */
export function copyRow(shape: CacheShape, from: RowPlace, to: RowPlace, length: number): void {
  const { kvHeads, headDim } = shape;
  const elements = length * headDim;
  for (let head = 0; head < kvHeads; head++) {
    const source = from.offset + head * from.slots * headDim;
    const strip = from.array.subarray(source, source + elements);
    to.array.set(strip, to.offset + head * to.slots * headDim);
  }
}

/** Makes zeros of the first `length` slots of a row. */
export function clearRow(shape: CacheShape, place: RowPlace, length: number): void {
  const { kvHeads, headDim } = shape;
  for (let head = 0; head < kvHeads; head++) {
    const start = place.offset + head * place.slots * headDim;
    place.array.fill(0, start, start + length * headDim);
  }
}
