/** Writes an ONNX graph node by node (onnx/onnx.proto3), with its large weights beside it if asked. */
import { chunk, integer, joined, ONNX_TYPES, valueInfo } from "../onnx-proto.ts";
import type { OnnxDatatype, TestValue } from "../onnx-proto.ts";

/** A number is an INT, a list INTS, `{ float }` a FLOAT, bytes are a GRAPH. */
export type Attribute = number | readonly number[] | { readonly float: number } | Uint8Array;
export type Attributes = Readonly<Record<string, Attribute>>;

/** Initializers of fewer bytes stay in the graph's own file, as exporters keep them. */
const EXTERNAL_BYTES = 1024;
/** Where an initializer of the external file may begin: ONNX asks for pages, for mapping. */
const EXTERNAL_ALIGNMENT = 4096;
const IR_VERSION = 8;
const MICROSOFT = "com.microsoft.";
const MICROSOFT_OPSET = 1;

interface Node {
  readonly name: string;
  readonly type: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
}

export class GraphWriter {
  readonly #inputs: TestValue[] = [];
  readonly #outputs: TestValue[] = [];
  readonly #declared: TestValue[] = [];
  readonly #nodes: Node[] = [];
  readonly #renamed = new Map<string, string>();
  readonly #initializers: Uint8Array[] = [];
  readonly #external: Uint8Array[] = [];
  readonly #externalName: string | null;
  readonly #names = new Map<string, number>();
  readonly #constants = new Map<string, string>();
  readonly #opset: number;
  #externalBytes = 0;
  /** Where the nodes that come next belong in the model: their names begin with it. */
  scope = "/model";

  /** @param externalName - the file beside the graph for large initializers; null keeps all within. */
  constructor(opset: number, externalName: string | null) {
    this.#opset = opset;
    this.#externalName = externalName;
  }

  input(name: string, datatype: OnnxDatatype, shape: readonly (number | string)[]): string {
    this.#inputs.push({ name, datatype, shape });
    return name;
  }

  output(name: string, datatype: OnnxDatatype, shape: readonly (number | string)[]): string {
    this.#outputs.push({ name, datatype, shape });
    return name;
  }

  /** Says of a value within the graph what it is. */
  declare(name: string, datatype: OnnxDatatype, shape: readonly (number | string)[]): void {
    this.#declared.push({ name, datatype, shape });
  }

  /** A node of one output, whose name it returns. */
  op(
    type: string,
    inputs: readonly string[],
    attributes: Attributes = {},
    output = this.#fresh(type),
  ): string {
    this.node(type, inputs, [output], attributes);
    return output;
  }

  /** A node; types as `com.microsoft.X` are of that domain. */
  node(
    type: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Attributes = {},
  ): void {
    this.#nodes.push({ name: this.#fresh(`${type}_node`), type, inputs, outputs, attributes });
  }

  /** Gives a value the name of an output. */
  rename(value: string, name: string): void {
    this.#renamed.set(value, name);
  }

  #encoded({ name, type, inputs, outputs, attributes }: Node): Uint8Array {
    const microsoft = type.startsWith(MICROSOFT);
    const now = (value: string): string => this.#renamed.get(value) ?? value;
    return joined([
      ...inputs.map((value) => chunk(1, now(value))),
      ...outputs.map((value) => chunk(2, now(value))),
      chunk(3, name),
      chunk(4, microsoft ? type.slice(MICROSOFT.length) : type),
      ...Object.entries(attributes).map(([key, value]) => chunk(5, attribute(key, value))),
      ...(microsoft ? [chunk(7, "com.microsoft")] : []),
    ]);
  }

  initializer(
    name: string,
    datatype: OnnxDatatype,
    shape: readonly number[],
    values: ArrayBufferView<ArrayBuffer>,
  ): string {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.#initializers.push(
      joined([
        ...shape.map((dimension) => integer(1, dimension)),
        integer(2, ONNX_TYPES[datatype]),
        chunk(8, name),
        ...(this.#externalName !== null && bytes.length >= EXTERNAL_BYTES
          ? this.#externally(this.#externalName, bytes)
          : [chunk(9, bytes)]),
      ]),
    );
    return name;
  }

  /** A small constant list or, as a plain number, a scalar; equal ones are written once. */
  int64(value: number | readonly number[]): string {
    const values = BigInt64Array.from([value].flat(), BigInt);
    return this.#constant("INT64", typeof value === "number" ? [] : [values.length], values);
  }

  /** A constant scalar. */
  float(value: number): string {
    return this.#constant("FP32", [], Float32Array.of(value));
  }

  /** The name of a value that does not exist yet. */
  #fresh(type: string): string {
    const base = `${this.scope}/${type.replace(MICROSOFT, "")}`;
    const count = this.#names.get(base) ?? 0;
    this.#names.set(base, count + 1);
    return `${base}${count === 0 ? "" : `_${count}`}_output_0`;
  }

  #constant(
    datatype: OnnxDatatype,
    shape: readonly number[],
    values: BigInt64Array<ArrayBuffer> | Float32Array<ArrayBuffer>,
  ): string {
    const key = `${datatype}[${shape.join()}] ${values.join()}`;
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = this.initializer(
      `/model/constants/${this.#constants.size}`,
      datatype,
      shape,
      values,
    );
    this.#constants.set(key, name);
    return name;
  }

  #externally(location: string, bytes: Uint8Array<ArrayBuffer>): Uint8Array[] {
    const gap = -this.#externalBytes & (EXTERNAL_ALIGNMENT - 1);
    const offset = this.#externalBytes + gap;
    this.#external.push(new Uint8Array(gap), bytes);
    this.#externalBytes = offset + bytes.length;
    const entry = (key: string, text: string): Uint8Array =>
      chunk(13, joined([chunk(1, key), chunk(2, text)]));
    return [
      entry("location", location),
      entry("offset", String(offset)),
      entry("length", String(bytes.length)),
      integer(14, 1),
    ];
  }

  /** The ModelProto, and the bytes of the file beside it. */
  finish(): { readonly model: Uint8Array; readonly external: Uint8Array | null } {
    const graph = joined([
      ...this.#nodes.map((node) => chunk(1, this.#encoded(node))),
      chunk(2, "main_graph"),
      ...this.#initializers.map((initializer) => chunk(5, initializer)),
      ...this.#inputs.map((value) => chunk(11, valueInfo(value))),
      ...this.#outputs.map((value) => chunk(12, valueInfo(value))),
      ...this.#declared.map((value) => chunk(13, valueInfo(value))),
    ]);
    const opset = (domain: string, version: number): Uint8Array =>
      chunk(8, joined([chunk(1, domain), integer(2, version)]));
    return {
      model: joined([
        integer(1, IR_VERSION),
        chunk(7, graph),
        opset("", this.#opset),
        opset("com.microsoft", MICROSOFT_OPSET),
      ]),
      external: this.#externalName === null ? null : joined(this.#external),
    };
  }
}

/** An AttributeProto: its type is FLOAT 1, INT 2, GRAPH 5 or INTS 7. */
function attribute(name: string, value: Attribute): Uint8Array {
  if (typeof value === "number") {
    return joined([chunk(1, name), integer(3, value), integer(20, 2)]);
  }
  if (value instanceof Uint8Array) {
    return joined([chunk(1, name), chunk(6, value), integer(20, 5)]);
  }
  if ("float" in value) {
    const bytes = new Uint8Array(Float32Array.of(value.float).buffer);
    return joined([chunk(1, name), Uint8Array.of((2 << 3) | 5), bytes, integer(20, 1)]);
  }
  return joined([chunk(1, name), ...value.map((item) => integer(8, item)), integer(20, 7)]);
}
