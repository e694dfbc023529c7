/** A model of ONNX as far as we must understand it (onnx/onnx.proto3), and how to change it. */
import {
  fieldReader,
  integersOf,
  joined,
  lengthField,
  lengthHead,
  malformed,
  messageOf,
  messagesOf,
  singleOf,
  textOf,
  textsOf,
} from "./protobuf.ts";
import type { Field, ReadFields } from "./protobuf.ts";

/** Fields of ModelProto and GraphProto. */
const MODEL_GRAPH = 7;
const MODEL_OPSET = 8;
const MODEL_FUNCTIONS = 25;
const GRAPH_NODE = 1;
const GRAPH_INITIALIZER = 5;
const GRAPH_INPUT = 11;
const GRAPH_OUTPUT = 12;
const GRAPH_VALUE_INFO = 13;
/** Graphs within nodes of graphs. */
const MAX_DEPTH = 8;

/** An axis of a declared shape: its size, the name of a size, or nothing. */
export type Dimension = number | string | null;

/** An input or output of the graph. */
export interface GraphValue {
  readonly name: string;
  /** TensorProto.DataType; 0 where it is no tensor. */
  readonly elementType: number;
  /** Null where nothing is declared. */
  readonly shape: readonly Dimension[] | null;
}

export interface GraphNode {
  /** The NodeProto's fields. */
  readonly fields: readonly Field[];
  /** As `MatMul`, or `com.microsoft.GroupQueryAttention` outside ONNX's own domain. */
  readonly type: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, GraphAttribute>;
}

export interface GraphAttribute {
  /** INT; zero for other types. */
  readonly integer: number;
  /** INTS; empty for other types. */
  readonly integers: readonly number[];
  /** Axes of a TENSOR; null for other types. */
  readonly rank: number | null;
}

export interface GraphModel {
  readonly fields: readonly Field[];
  readonly graphFields: readonly Field[];
  /** Of ONNX's own domain. */
  readonly opset: number;
  /** Whether the model defines operations itself: then a name may mean something else. */
  readonly definesOperations: boolean;
  readonly nodes: readonly GraphNode[];
  /** Without the initializers that older graphs list here too. */
  readonly inputs: readonly GraphValue[];
  readonly outputs: readonly GraphValue[];
  /** Sizes of each constant tensor, by its name. */
  readonly initializers: ReadonlyMap<string, readonly number[]>;
  /** Names that graphs within nodes mention: they may be values of this graph. */
  readonly innerNames: ReadonlySet<string>;
}

/** What becomes of a graph. Everything that is not named here stays as it is. */
export interface GraphEdits {
  /** New nodes, NodeProto, before the node of that index; at the end for one beyond the last. */
  readonly nodes: Map<number, Uint8Array[]>;
  /** What takes the place of a node, NodeProto, by index. */
  readonly rewired: Map<number, Uint8Array>;
  /** New initializers, TensorProto. */
  readonly initializers: Uint8Array[];
  /** What takes the place of an output, ValueInfoProto, by index. */
  readonly outputs: Map<number, Uint8Array>;
  /** Values whose declared shapes are true no more. */
  readonly forgotten: Set<string>;
}

/** @throws {@link EnclaveError} `model/load`. */
export function parseModel(bytes: Uint8Array): GraphModel {
  const read = fieldReader();
  const fields = read(bytes);
  const graph = messageOf(fields, MODEL_GRAPH);
  if (graph === null) throw malformed("it has no graph");
  const graphFields = read(graph);
  const innerNames = new Set<string>();
  const nodes = messagesOf(graphFields, GRAPH_NODE).map((node) => {
    return parseNode(node, { read, innerNames, depth: 0 });
  });
  const initializers = new Map(
    messagesOf(graphFields, GRAPH_INITIALIZER).map((tensor) => parseInitializer(tensor, read)),
  );
  const parse = (message: Uint8Array): GraphValue => parseValue(message, read);
  return {
    fields,
    graphFields,
    opset: opsetOf(fields, read),
    definesOperations: fields.some((field) => field.number === MODEL_FUNCTIONS),
    nodes,
    inputs: messagesOf(graphFields, GRAPH_INPUT)
      .map(parse)
      .filter(({ name }) => !initializers.has(name)),
    outputs: messagesOf(graphFields, GRAPH_OUTPUT).map(parse),
    initializers,
    innerNames,
  };
}

/** The model with these edits. Its weights are copied once. */
export function encodeModel(model: GraphModel, edits: GraphEdits): Uint8Array<ArrayBuffer> {
  const read = fieldReader();
  const parts: Uint8Array[] = [];
  let [node, output] = [0, 0];
  const insert = (index: number): void => {
    for (const added of edits.nodes.get(index) ?? []) parts.push(lengthField(GRAPH_NODE, [added]));
  };
  for (const field of model.graphFields) {
    if (field.number === GRAPH_NODE) {
      insert(node);
      parts.push(replacedBy(field, edits.rewired.get(node++)));
    } else if (field.number === GRAPH_OUTPUT) {
      parts.push(replacedBy(field, edits.outputs.get(output++)));
    } else if (field.number !== GRAPH_VALUE_INFO || !edits.forgotten.has(nameOf(field, read))) {
      parts.push(field.raw);
    }
  }
  insert(node);
  parts.push(...edits.initializers.map((tensor) => lengthField(GRAPH_INITIALIZER, [tensor])));
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return joined(
    model.fields.flatMap((field) =>
      field.number === MODEL_GRAPH ? [lengthHead(MODEL_GRAPH, length), ...parts] : [field.raw],
    ),
  );
}

function replacedBy(field: Field, message: Uint8Array | undefined): Uint8Array {
  return message === undefined ? field.raw : lengthField(field.number, [message]);
}

function opsetOf(fields: readonly Field[], read: ReadFields): number {
  for (const opset of messagesOf(fields, MODEL_OPSET).map(read)) {
    if (isOnnxDomain(textOf(opset, 1))) return Number(singleOf(opset, 2)?.value ?? 0n);
  }
  return 0;
}

function isOnnxDomain(domain: string): boolean {
  return domain === "" || domain === "ai.onnx";
}

/** Where a node is read. */
interface Place {
  readonly read: ReadFields;
  /** Gets what graphs within nodes mention. */
  readonly innerNames: Set<string>;
  readonly depth: number;
}

function parseNode(message: Uint8Array, place: Place): GraphNode {
  const { read } = place;
  const fields = read(message);
  const domain = textOf(fields, 7);
  const operation = textOf(fields, 4);
  const attributes = new Map<string, GraphAttribute>();
  for (const attribute of messagesOf(fields, 5).map(read)) {
    const name = textOf(attribute, 1);
    if (attributes.has(name)) throw malformed(`a node has two attributes ${JSON.stringify(name)}`);
    const tensor = messageOf(attribute, 5);
    attributes.set(name, {
      integer: Number(singleOf(attribute, 3)?.value ?? 0n),
      // Read where they are wanted: of most attributes they never are.
      get integers() {
        return integersOf(attribute, 8);
      },
      rank: tensor === null ? null : integersOf(read(tensor), 1).length,
    });
    for (const graph of [...messagesOf(attribute, 6), ...messagesOf(attribute, 11)]) {
      readInnerGraph(graph, { ...place, depth: place.depth + 1 });
    }
  }
  return {
    fields,
    type: isOnnxDomain(domain) ? operation : `${domain}.${operation}`,
    inputs: textsOf(fields, 1),
    outputs: textsOf(fields, 2),
    attributes,
  };
}

/** Collects what it reads and answers with, for either may be a value of the graph around it. */
function readInnerGraph(message: Uint8Array, place: Place): void {
  const { read, innerNames, depth } = place;
  if (depth > MAX_DEPTH) throw malformed(`graphs within graphs, more than ${MAX_DEPTH} deep`);
  const fields = read(message);
  for (const output of messagesOf(fields, GRAPH_OUTPUT)) {
    innerNames.add(parseValue(output, read).name);
  }
  for (const node of messagesOf(fields, GRAPH_NODE)) {
    for (const name of parseNode(node, place).inputs) innerNames.add(name);
  }
}

function parseInitializer(message: Uint8Array, read: ReadFields): [string, readonly number[]] {
  const fields = read(message);
  return [textOf(fields, 8), integersOf(fields, 1)];
}

function parseValue(message: Uint8Array, read: ReadFields): GraphValue {
  const fields = read(message);
  const name = textOf(fields, 1);
  const type = messageOf(fields, 2);
  const tensor = type === null ? null : messageOf(read(type), 1);
  if (tensor === null) return { name, elementType: 0, shape: null };
  const tensorFields = read(tensor);
  const shape = messageOf(tensorFields, 2);
  return {
    name,
    elementType: Number(singleOf(tensorFields, 1)?.value ?? 0n),
    shape:
      shape === null
        ? null
        : messagesOf(read(shape), 1).map((dimension) => parseDimension(dimension, read)),
  };
}

function parseDimension(message: Uint8Array, read: ReadFields): Dimension {
  const fields = read(message);
  const size = singleOf(fields, 1);
  // Some exporters write −1 for a size that is free.
  if (size !== null) return size.value < 0n ? null : Number(size.value);
  return messageOf(fields, 2) === null ? null : textOf(fields, 2);
}

function nameOf(field: Field, read: ReadFields): string {
  return field.content === null ? "" : textOf(read(field.content), 1);
}
