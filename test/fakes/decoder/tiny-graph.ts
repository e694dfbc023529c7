/**
 * The least that has a cache and logits: for whatever exporters do between them.
 *
 * Keys and values are embeddings; what was read is their sum over all positions.
 */
import { GraphWriter } from "./graph-writer.ts";
import { randomWeights } from "./weights.ts";

export const TINY = { vocabulary: 24, hidden: 8, layers: 2 } as const;

/** How a graph differs from the plainest one. */
export interface TinyGraph {
  readonly opset?: number;
  /** Adds what makes the output `name` from the input `past` and [batch, 1, sequence, hidden]. */
  readonly present?: (writer: GraphWriter, past: string, now: string, name: string) => void;
  /** Adds what makes "logits" from [batch, sequence, hidden]. */
  readonly logits?: (writer: GraphWriter, hidden: string) => void;
  /** Adds inputs, outputs and nodes at the end. */
  readonly more?: (writer: GraphWriter) => void;
  readonly past?: readonly (number | string)[];
  readonly presentShape?: readonly (number | string)[];
  readonly pastType?: "FP32" | "FP16" | "INT8";
}

export function tinyGraph(options: TinyGraph = {}): Uint8Array<ArrayBuffer> {
  const { vocabulary, hidden, layers } = TINY;
  const writer = new GraphWriter(options.opset ?? 17, null);
  const type = options.pastType ?? "FP32";
  writer.input("input_ids", "INT64", ["batch_size", "sequence_length"]);
  const past = options.past ?? ["batch_size", 1, "past_sequence_length", hidden];
  const presentShape = options.presentShape ?? ["batch_size", 1, "total_length", hidden];
  writer.output("logits", "FP32", ["batch_size", "sequence_length", vocabulary]);
  const rows = randomWeights(1, "embedding", vocabulary * hidden, 1);
  const table = writer.initializer("embedding", "FP32", [vocabulary, hidden], rows);
  let state = writer.op("Gather", [table, "input_ids"]);
  for (let layer = 0; layer < layers; layer++) {
    for (const part of ["key", "value"]) {
      const name = `${layer}.${part}`;
      writer.input(`past_key_values.${name}`, type, past);
      writer.output(`present.${name}`, type, presentShape);
      const apart = writer.op("Unsqueeze", [state, writer.int64([1])]);
      const present = options.present ?? plainPresent;
      present(writer, `past_key_values.${name}`, apart, `present.${name}`);
      const single = writer.op("Cast", [`present.${name}`], { to: 1 });
      const sum = writer.op("ReduceSum", [single, writer.int64([2])], { keepdims: 0 });
      state = writer.op("Tanh", [writer.op("Add", [state, sum])]);
    }
  }
  (options.logits ?? plainLogits)(writer, state);
  options.more?.(writer);
  return new Uint8Array(writer.finish().model);
}

function plainPresent(writer: GraphWriter, past: string, now: string, name: string): void {
  writer.op("Concat", [past, now], { axis: 2 }, name);
}

function plainLogits(writer: GraphWriter, hidden: string): void {
  writer.op("MatMul", [hidden, projectionWeights(writer)], {}, "logits");
}

/** A constant [hidden, vocabulary]. */
export function projectionWeights(writer: GraphWriter): string {
  const { vocabulary, hidden } = TINY;
  const values = randomWeights(1, "projection", vocabulary * hidden, 1);
  return writer.initializer("projection", "FP32", [hidden, vocabulary], values);
}
