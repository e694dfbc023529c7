/**
 * KServe's datatypes and ONNX Runtime's: one row for each element type that its Node binding takes
 * (js/node/src/tensor_helper.cc, DATA_TYPE_NAME_TO_ID_MAP). BF16 and the four-bit types are not there,
 * so a model with one as an input or output is refused when it is loaded.
 */
export const DATATYPES = {
  BOOL: { onnx: "bool", bytes: 1 },
  UINT8: { onnx: "uint8", bytes: 1 },
  UINT16: { onnx: "uint16", bytes: 2 },
  UINT32: { onnx: "uint32", bytes: 4 },
  UINT64: { onnx: "uint64", bytes: 8 },
  INT8: { onnx: "int8", bytes: 1 },
  INT16: { onnx: "int16", bytes: 2 },
  INT32: { onnx: "int32", bytes: 4 },
  INT64: { onnx: "int64", bytes: 8 },
  FP16: { onnx: "float16", bytes: 2 },
  FP32: { onnx: "float32", bytes: 4 },
  FP64: { onnx: "float64", bytes: 8 },
  /** Elements of any length: strings, which ONNX means as UTF-8. */
  BYTES: { onnx: "string", bytes: 0 },
} as const;

export type Datatype = keyof typeof DATATYPES;
export type NumericDatatype = Exclude<Datatype, "BYTES">;

/** An input or output as the model declares it; −1 is a dimension that each request may choose. */
export interface TensorInfo {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
}

/** An input, with what the model's own metadata.json lets a request do. */
export interface InputInfo extends TensorInfo {
  /** Whether a dimension that is left open may be zero. */
  readonly allowEmpty: boolean;
}

/** Raw little-endian elements in row-major order, or the strings of a BYTES tensor. */
export type Elements = Uint8Array<ArrayBuffer> | readonly string[];

export interface Tensor {
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly elements: Elements;
}

export type NumericArray =
  | Uint8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>;

/** The KServe name of an ONNX Runtime element type, or null where it has none. */
export function datatypeOf(onnx: string): Datatype | null {
  return DATATYPE_NAMES.find((datatype) => DATATYPES[datatype].onnx === onnx) ?? null;
}

/** `name` as a datatype, or null where it is none. */
export function parseDatatype(name: string): Datatype | null {
  return DATATYPE_NAMES.find((datatype) => datatype === name) ?? null;
}

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Object.keys widens to string
const DATATYPE_NAMES = Object.keys(DATATYPES) as readonly Datatype[];

/** The elements as numbers: a view where `bytes` is aligned, else a copy. FP16 is its 16 raw bits. */
export function numericView(
  datatype: NumericDatatype,
  bytes: Uint8Array<ArrayBuffer>,
): NumericArray {
  const size = DATATYPES[datatype].bytes;
  const { buffer, byteOffset } = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const count = bytes.length / size;
  switch (datatype) {
    case "BOOL":
    case "UINT8":
      return new Uint8Array(buffer, byteOffset, count);
    case "UINT16":
    case "FP16":
      return new Uint16Array(buffer, byteOffset, count);
    case "UINT32":
      return new Uint32Array(buffer, byteOffset, count);
    case "UINT64":
      return new BigUint64Array(buffer, byteOffset, count);
    case "INT8":
      return new Int8Array(buffer, byteOffset, count);
    case "INT16":
      return new Int16Array(buffer, byteOffset, count);
    case "INT32":
      return new Int32Array(buffer, byteOffset, count);
    case "INT64":
      return new BigInt64Array(buffer, byteOffset, count);
    case "FP32":
      return new Float32Array(buffer, byteOffset, count);
    case "FP64":
      return new Float64Array(buffer, byteOffset, count);
    default:
      return datatype satisfies never;
  }
}
