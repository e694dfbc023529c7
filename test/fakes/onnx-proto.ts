/**
 * Just enough of ONNX's protobuf (onnx/onnx.proto3) to read the conformance cases' tensors and to write
 * small models for tests. Not a general protobuf library.
 */

/** TensorProto.DataType. */
export const ONNX_TYPES = {
  FP32: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  BYTES: 8,
  BOOL: 9,
  FP16: 10,
  FP64: 11,
  UINT32: 12,
  UINT64: 13,
} as const;

export type OnnxDatatype = keyof typeof ONNX_TYPES;

/** A tensor as KServe names it: raw little-endian bytes, or strings. */
export interface OnnxTensor {
  readonly name: string;
  readonly datatype: OnnxDatatype;
  readonly shape: readonly number[];
  readonly data: Uint8Array | readonly string[];
}

const utf8 = new TextDecoder("utf-8", { fatal: true });
const toUtf8 = new TextEncoder();

// Reading ------------------------------------------------------------------------------------------

interface Field {
  readonly number: number;
  readonly value: bigint | Uint8Array;
}

/** Every field of one message, in order. Groups do not occur in ONNX. */
export function readMessage(bytes: Uint8Array): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined || shift > 63n) throw new TypeError("protobuf: bad varint");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
  };
  const take = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw new TypeError("protobuf: truncated");
    at += length;
    return bytes.slice(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const number = tag >>> 3;
    switch (tag & 7) {
      case 0:
        fields.push({ number, value: varint() });
        break;
      case 1:
        fields.push({ number, value: take(8) });
        break;
      case 2:
        fields.push({ number, value: take(Number(varint())) });
        break;
      case 5:
        fields.push({ number, value: take(4) });
        break;
      default:
        throw new TypeError(`protobuf: wire type ${tag & 7}`);
    }
  }
  return fields;
}

function messages(fields: readonly Field[], number: number): Uint8Array[] {
  return fields.flatMap((field) =>
    field.number === number && field.value instanceof Uint8Array ? [field.value] : [],
  );
}

/** A repeated varint field, packed or not. */
function integers(fields: readonly Field[], number: number): bigint[] {
  return fields.flatMap((field) => {
    if (field.number !== number) return [];
    if (typeof field.value === "bigint") return [field.value];
    // A packed list is a run of varints: read it as one by giving each a tag of its own.
    const values: bigint[] = [];
    let value = 0n;
    let shift = 0n;
    for (const byte of field.value) {
      value |= BigInt(byte & 0x7f) << shift;
      shift += 7n;
      if (byte < 0x80) {
        values.push(BigInt.asUintN(64, value));
        value = 0n;
        shift = 0n;
      }
    }
    return values;
  });
}

/** The parts in one array. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

const DATATYPES = new Map<number, OnnxDatatype>(
  Object.entries(ONNX_TYPES).map(([name, id]): [number, OnnxDatatype] => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Object.entries widens the key
    return [id, name as OnnxDatatype];
  }),
);

const INTEGER_BYTES = {
  UINT8: 1,
  INT8: 1,
  BOOL: 1,
  UINT16: 2,
  INT16: 2,
  FP16: 2,
  INT32: 4,
} as const;

function integerBytes(datatype: OnnxDatatype, fields: readonly Field[]): Uint8Array {
  switch (datatype) {
    case "INT64":
      return new Uint8Array(
        BigInt64Array.from(integers(fields, 7), (v) => BigInt.asIntN(64, v)).buffer,
      );
    case "UINT32":
      return new Uint8Array(Uint32Array.from(integers(fields, 11), Number).buffer);
    case "UINT64":
      return new Uint8Array(BigUint64Array.from(integers(fields, 11)).buffer);
    case "FP32":
      return joined(messages(fields, 4));
    case "FP64":
      return joined(messages(fields, 10));
    case "BYTES":
      throw new TypeError("strings are read apart");
    default: {
      const size = INTEGER_BYTES[datatype];
      const values = integers(fields, 5);
      const bytes = Buffer.alloc(values.length * size);
      values.forEach((value, i) => {
        bytes.writeUIntLE(Number(BigInt.asUintN(8 * size, value)), i * size, size);
      });
      return new Uint8Array(bytes);
    }
  }
}

/** Reads a serialized `onnx.TensorProto`. @throws TypeError on a type that KServe has no name for. */
export function readTensor(bytes: Uint8Array): OnnxTensor {
  const fields = readMessage(bytes);
  const type = Number(integers(fields, 2)[0] ?? 0n);
  const datatype = DATATYPES.get(type);
  if (datatype === undefined) throw new TypeError(`TensorProto of type ${type}`);
  const name = utf8.decode(messages(fields, 8)[0] ?? new Uint8Array(0));
  const shape = integers(fields, 1).map(Number);
  if (datatype === "BYTES") {
    return { name, datatype, shape, data: messages(fields, 6).map((text) => utf8.decode(text)) };
  }
  const raw = messages(fields, 9)[0];
  return { name, datatype, shape, data: raw ?? integerBytes(datatype, fields) };
}

/** Whether each graph input and output of a ModelProto is a tensor, with its name. */
export function readSignature(model: Uint8Array): {
  readonly inputs: readonly { readonly name: string; readonly kind: string }[];
  readonly outputs: readonly { readonly name: string; readonly kind: string }[];
} {
  const graph = readMessage(messages(readMessage(model), 7)[0] ?? new Uint8Array(0));
  const kinds = new Map([
    [1, "tensor"],
    [4, "sequence"],
    [5, "map"],
    [8, "sparse tensor"],
    [9, "optional"],
  ]);
  const named = (value: Uint8Array): { name: string; kind: string } => {
    const fields = readMessage(value);
    const type = readMessage(messages(fields, 2)[0] ?? new Uint8Array(0));
    const kind = kinds.get(type.find((field) => kinds.has(field.number))?.number ?? 0) ?? "untyped";
    return { name: utf8.decode(messages(fields, 1)[0] ?? new Uint8Array(0)), kind };
  };
  return {
    inputs: messages(graph, 11).map(named),
    outputs: messages(graph, 12).map(named),
  };
}

// Writing ------------------------------------------------------------------------------------------

function varintBytes(value: bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return bytes;
}

/** A field of wire type 0. */
export function integer(number: number, value: number | bigint): Uint8Array {
  return Uint8Array.from([...varintBytes(BigInt(number << 3)), ...varintBytes(BigInt(value))]);
}

/** A field of wire type 2. */
export function chunk(number: number, value: Uint8Array | string): Uint8Array {
  const bytes = typeof value === "string" ? toUtf8.encode(value) : value;
  const head = [...varintBytes(BigInt((number << 3) | 2)), ...varintBytes(BigInt(bytes.length))];
  return joined([Uint8Array.from(head), bytes]);
}

export interface TestValue {
  readonly name: string;
  readonly datatype: OnnxDatatype;
  /** A string is a symbolic dimension. */
  readonly shape: readonly (number | string)[];
}

export interface TestNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly integers?: Readonly<Record<string, number>>;
  readonly graphs?: Readonly<Record<string, Uint8Array>>;
}

/** An initializer: bytes within the model, or the path of a file beside it. */
export interface TestInitializer {
  readonly name: string;
  readonly datatype: OnnxDatatype;
  readonly shape: readonly number[];
  readonly data: Uint8Array | { readonly location: string; readonly length: number };
}

export interface TestGraph {
  readonly inputs: readonly TestValue[];
  readonly outputs: readonly TestValue[];
  readonly nodes: readonly TestNode[];
  readonly initializers?: readonly TestInitializer[];
}

/** A ValueInfoProto. */
export function valueInfo(value: TestValue): Uint8Array {
  const shape = value.shape.map((dimension) =>
    chunk(1, typeof dimension === "number" ? integer(1, dimension) : chunk(2, dimension)),
  );
  const tensor = joined([integer(1, ONNX_TYPES[value.datatype]), chunk(2, joined(shape))]);
  return joined([chunk(1, value.name), chunk(2, chunk(1, tensor))]);
}

function initializer(value: TestInitializer): Uint8Array {
  const entry = (key: string, text: string): Uint8Array =>
    chunk(13, joined([chunk(1, key), chunk(2, text)]));
  return joined([
    ...value.shape.map((dimension) => integer(1, dimension)),
    integer(2, ONNX_TYPES[value.datatype]),
    chunk(8, value.name),
    ...(value.data instanceof Uint8Array
      ? [chunk(9, value.data)]
      : [
          entry("location", value.data.location),
          entry("offset", "0"),
          entry("length", String(value.data.length)),
          integer(14, 1),
        ]),
  ]);
}

function node(value: TestNode): Uint8Array {
  return joined([
    ...value.inputs.map((name) => chunk(1, name)),
    ...value.outputs.map((name) => chunk(2, name)),
    chunk(4, value.op),
    ...Object.entries(value.integers ?? {}).map(([name, i]) =>
      chunk(5, joined([chunk(1, name), integer(3, i), integer(20, 2)])),
    ),
    ...Object.entries(value.graphs ?? {}).map(([name, graph]) =>
      chunk(5, joined([chunk(1, name), chunk(6, graph), integer(20, 5)])),
    ),
  ]);
}

/** A GraphProto. */
export function writeGraph(graph: TestGraph): Uint8Array {
  return joined([
    ...graph.nodes.map((value) => chunk(1, node(value))),
    chunk(2, "test"),
    ...(graph.initializers ?? []).map((value) => chunk(5, initializer(value))),
    ...graph.inputs.map((value) => chunk(11, valueInfo(value))),
    ...graph.outputs.map((value) => chunk(12, valueInfo(value))),
  ]);
}

/** A ModelProto of opset 17. */
export function writeModel(graph: TestGraph): Uint8Array {
  const opset = joined([chunk(1, ""), integer(2, 17)]);
  return joined([integer(1, 8), chunk(7, writeGraph(graph)), chunk(8, opset)]);
}

/** A model that answers its one input unchanged. */
export function identityModel(
  datatype: OnnxDatatype,
  shape: readonly (number | string)[],
): Uint8Array {
  return writeModel({
    inputs: [{ name: "x", datatype, shape }],
    outputs: [{ name: "y", datatype, shape }],
    nodes: [{ op: "Identity", inputs: ["x"], outputs: ["y"] }],
  });
}
