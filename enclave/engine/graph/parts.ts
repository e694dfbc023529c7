/** New pieces of a graph: nodes, small constants and declared values (onnx/onnx.proto3). */
import type { Dimension, GraphNode, GraphValue } from "./model.ts";
import { joined, lengthField, varintField } from "./protobuf.ts";

/** TensorProto.DataType. */
export const FLOAT = 1;
export const INT64 = 7;
export const FLOAT16 = 10;

/** Fields of NodeProto. */
const NODE_INPUT = 1;
const NODE_OUTPUT = 2;
const NODE_NAME = 3;
const NODE_TYPE = 4;

/** A NodeProto of ONNX's own domain, without attributes. */
export function encodeNode(type: string, inputs: readonly string[], output: string): Uint8Array {
  return joined([
    ...inputs.map((name) => lengthField(NODE_INPUT, name)),
    lengthField(NODE_OUTPUT, output),
    lengthField(NODE_NAME, `${output}/${type}`),
    lengthField(NODE_TYPE, type),
  ]);
}

/** The same operation with its attributes, between other values. */
export function encodeRewired(
  node: GraphNode,
  inputs: readonly string[],
  outputs: readonly string[],
): Uint8Array {
  const wiring = [NODE_INPUT, NODE_OUTPUT, NODE_NAME];
  return joined([
    ...inputs.map((name) => lengthField(NODE_INPUT, name)),
    ...outputs.map((name) => lengthField(NODE_OUTPUT, name)),
    lengthField(NODE_NAME, `${outputs.join()}/${node.type}`),
    ...node.fields.filter((field) => !wiring.includes(field.number)).map((field) => field.raw),
  ]);
}

/** A TensorProto: a list of int64. */
export function encodeIntegers(name: string, values: readonly bigint[]): Uint8Array {
  const bytes = new Uint8Array(8 * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => view.setBigInt64(8 * i, value, true));
  return joined([
    varintField(1, values.length),
    varintField(2, INT64),
    lengthField(8, name),
    lengthField(9, [bytes]),
  ]);
}

/** A ValueInfoProto. */
export function encodeValue({ name, elementType, shape }: GraphValue): Uint8Array {
  const declared = shape === null ? [] : [lengthField(2, shape.map(encodeDimension))];
  const tensor = lengthField(1, [varintField(1, elementType), ...declared]);
  return joined([lengthField(1, name), lengthField(2, [tensor])]);
}

function encodeDimension(dimension: Dimension): Uint8Array {
  if (dimension === null) return lengthField(1, []);
  const size =
    typeof dimension === "number" ? varintField(1, dimension) : lengthField(2, dimension);
  return lengthField(1, [size]);
}
