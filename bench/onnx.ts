/**
 * A model that takes as long as we like: a chain of products with one square matrix.
 *
 * Just enough of ONNX's protobuf (onnx/onnx.proto3) to write it.
 */

/** What goes in and what comes out: few values, so that their JSON costs little. */
export const CHAIN_INPUTS = 16;
export const CHAIN_OUTPUTS = 10;
/**
 * Rows and columns of the matrix. ONNX Runtime gives a product another thread for every 65,536
 * multiplications (MLAS_SGEMM_THREAD_COMPLEXITY), so this one stays on one thread, however many the
 * host allows.
 */
const SIZE = 240;
/** TensorProto.DataType FLOAT. */
const FLOAT = 1;
const OPSET = 17;
const IR_VERSION = 8;

/** A ModelProto of `products` square products between one that widens and one that narrows. */
export function chainModel(products: number): Uint8Array<ArrayBuffer> {
  const names = Array.from({ length: products + 2 }, (_, i) => `t${i}`);
  const nodes = ["x", ...names.slice(0, -1)].map((from, i) => {
    const weights = i === 0 ? "widen" : i === products + 1 ? "narrow" : "square";
    const to = i === products + 1 ? "y" : (names[i] ?? "");
    return field(1, [field(1, from), field(1, weights), field(2, to), field(4, "MatMul")]);
  });
  const graph = [
    ...nodes,
    field(2, "chain"),
    field(5, weight("widen", CHAIN_INPUTS, SIZE)),
    field(5, weight("square", SIZE, SIZE)),
    field(5, weight("narrow", SIZE, CHAIN_OUTPUTS)),
    field(11, value("x", CHAIN_INPUTS)),
    field(12, value("y", CHAIN_OUTPUTS)),
  ];
  const opset = [field(1, ""), integer(2, OPSET)];
  return joined([integer(1, IR_VERSION), field(7, graph), field(8, opset)]);
}

/**
 * Each row has a single one, a place further on than the row before.
 *
 * So values move and keep their size: products of random numbers would end as denormal numbers or
 * infinities, which take another time. ONNX Runtime multiplies the zeros like anything else.
 */
function weight(name: string, rows: number, columns: number): readonly Uint8Array[] {
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) values[row * columns + ((row + 1) % columns)] = 1;
  const raw = new Uint8Array(values.buffer);
  return [integer(1, rows), integer(1, columns), integer(2, FLOAT), field(8, name), field(9, raw)];
}

/** A ValueInfoProto of shape [1, columns]. */
function value(name: string, columns: number): readonly Uint8Array[] {
  const shape = [1, columns].map((size) => field(1, [integer(1, size)]));
  return [field(1, name), field(2, [field(1, [integer(1, FLOAT), field(2, shape)])])];
}

/** A field of wire type 2: bytes, text, or a message of fields. */
function field(number: number, content: string | Uint8Array | readonly Uint8Array[]): Uint8Array {
  const bytes =
    typeof content === "string"
      ? new TextEncoder().encode(content)
      : content instanceof Uint8Array
        ? content
        : joined(content);
  return joined([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

/** A field of wire type 0. */
function integer(number: number, content: number): Uint8Array {
  return joined([varint(number * 8), varint(content)]);
}

function varint(content: number): Uint8Array {
  const bytes: number[] = [];
  let rest = content;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  return Uint8Array.of(...bytes, rest);
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(parts));
}
