import { describe, expect, it } from "vitest";
import { readDecoderGraph } from "../../../../../enclave/engine/graph/decoder.ts";
import type { DecoderGraph } from "../../../../../enclave/engine/graph/decoder.ts";
import type { GraphWriter } from "../../../../fakes/decoder/graph-writer.ts";
import { projectionWeights, TINY, tinyGraph } from "../../../../fakes/decoder/tiny-graph.ts";
import type { TinyGraph } from "../../../../fakes/decoder/tiny-graph.ts";
import { DecoderRun, unconverted } from "../../../../fakes/decoder/run.ts";
import { chunk, joined, writeGraph } from "../../../../fakes/onnx-proto.ts";

// What exporters put between a cache and its output, and between the last projection and the logits:
// what is converted answers the same, and what we do not understand stays as it is.

const ROWS = [
  [1, 2, 3],
  [9, 8, 7],
];

async function bitsOf(graph: DecoderGraph): Promise<string[]> {
  const run = await DecoderRun.open(graph, [], ROWS.length, null);
  const bits: string[] = [];
  let rows: readonly (readonly number[])[] = ROWS;
  for (let i = 0; i < 4; i++) {
    const step = await run.step(rows);
    bits.push(...step.bits.map((row) => Buffer.from(row).toString("hex")));
    rows = step.tokens.map((token) => [token]);
  }
  bits.push(...run.cacheBytes().map((part) => Buffer.from(part).toString("hex")));
  await run.close();
  return bits;
}

async function expectSame(original: Uint8Array<ArrayBuffer>, graph: DecoderGraph): Promise<void> {
  const before = await bitsOf(unconverted(graph, original));
  expect(await bitsOf(graph)).toEqual(before);
}

type Present = NonNullable<TinyGraph["present"]>;
type Logits = NonNullable<TinyGraph["logits"]>;

const CONCAT = (axis: number): Present => {
  return (writer, past, now, name) => void writer.op("Concat", [past, now], { axis }, name);
};
/** [batch, 1, positions, hidden] to [batch, positions, 1, hidden] and back. */
const SWAP = { perm: [0, 2, 1, 3] };

describe("a cache that becomes append", () => {
  const cases: readonly (readonly [string, TinyGraph])[] = [
    ["joined on axis 2", { present: CONCAT(2) }],
    ["joined on axis -2", { present: CONCAT(-2) }],
    [
      "with Identity before and after",
      {
        present: (writer, past, now, name) => {
          const same = writer.op("Identity", [past]);
          const whole = writer.op("Concat", [same, now], { axis: 2 });
          writer.op("Identity", [whole], {}, name);
        },
      },
    ],
    [
      "kept as [batch, positions, heads, size] within",
      {
        present: (writer, past, now, name) => {
          const [old, added] = [past, now].map((value) => writer.op("Transpose", [value], SWAP));
          const whole = writer.op("Concat", [old ?? "", added ?? ""], { axis: 1 });
          writer.op("Transpose", [whole], SWAP, name);
        },
      },
    ],
    [
      "kept in 16 bits and joined in 32",
      {
        pastType: "FP16",
        present: (writer, past, now, name) => {
          const old = writer.op("Cast", [past], { to: 1 });
          const whole = writer.op("Concat", [old, now], { axis: 2 });
          writer.op("Cast", [whole], { to: 10 }, name);
        },
      },
    ],
  ];

  it.each(cases)("%s", async (_, options) => {
    const original = tinyGraph(options);
    const graph = readDecoderGraph(original);
    expect(graph.form).toBe("append");
    expect(graph.layers.map((layer) => layer.presentKey)).toEqual(["new.0.key", "new.1.key"]);
    await expectSame(original, graph);
  });

  it("takes names that the graph does not have yet", async () => {
    const original = tinyGraph({
      more: (writer) => void writer.op("Identity", ["logits"], {}, "new.0.key"),
      logits: (writer, hidden) => {
        writer.op("MatMul", [hidden, projectionWeights(writer)], {}, "logits");
      },
    });
    const graph = readDecoderGraph(original);
    expect(graph.layers[0]?.presentKey).toBe("new.0.key.1");
    await expectSame(original, graph);
  });

  it("knows one that gives the new part alone, by its declaration", () => {
    const shape = ["batch_size", 1, "sequence_length", TINY.hidden];
    const graph = readDecoderGraph(
      tinyGraph({
        present: (writer, _, now, name) => void writer.op("Identity", [now], {}, name),
        presentShape: shape,
      }),
    );
    expect(graph.form).toBe("append");
    expect(graph.layers[0]?.presentKey).toBe("present.0.key");
  });
});

describe("a cache that stays whole", () => {
  const cases: readonly (readonly [string, Present])[] = [
    [
      "new before old",
      (writer, past, now, name) => {
        writer.op("Concat", [now, past], { axis: 2 }, name);
      },
    ],
    ["joined on another axis", CONCAT(3)],
    ["joined on no axis of theirs", CONCAT(7)],
    [
      "of three parts",
      (writer, past, now, name) => {
        writer.op("Concat", [past, now, now], { axis: 2 }, name);
      },
    ],
    [
      "cut to a window",
      (writer, past, now, name) => {
        const whole = writer.op("Concat", [past, now], { axis: 2 });
        const bounds = [writer.int64([-4]), writer.int64([99]), writer.int64([2])];
        writer.op("Slice", [whole, ...bounds], {}, name);
      },
    ],
    [
      "turned over",
      (writer, past, now, name) => {
        const whole = writer.op("Concat", [past, now], { axis: 2 });
        writer.op("Transpose", [whole], SWAP, name);
      },
    ],
    [
      "of another layer's past",
      (writer, _, now, name) => {
        writer.op("Concat", ["past_key_values.0.key", now], { axis: 2 }, name);
      },
    ],
    [
      "of a constant",
      (writer, past, _, name) => {
        const constant = writer.op("Identity", [projectionWeights(writer)]);
        writer.op("Concat", [past, constant], { axis: 2 }, name);
      },
    ],
  ];

  it.each(cases)("%s", (_, present) => {
    // The last of four: the three before are understood, and stay as they are all the same.
    let calls = 0;
    const graph = readDecoderGraph(
      tinyGraph({
        present: (writer, past, now, name) => {
          const make = ++calls === 2 * TINY.layers ? present : CONCAT(2);
          make(writer, past, now, name);
        },
        logits: (writer, hidden) => void writer.op("Identity", [hidden], {}, "logits"),
      }),
    );
    expect(graph.form).toBe("whole");
    expect(graph.layers[0]?.presentKey).toBe("present.0.key");
  });

  it("where the model defines operations of its own", () => {
    const graph = readDecoderGraph(new Uint8Array(joined([tinyGraph(), chunk(25, "")])));
    expect(graph.form).toBe("whole");
    expect(graph.lastOnly).toBe(false);
  });
});

const THREE_AXES = [1, TINY.hidden, TINY.vocabulary];

describe("logits", () => {
  const last: readonly (readonly [string, Logits])[] = [
    [
      "biased, scaled, bent and cast",
      (writer, hidden) => {
        const product = writer.op("MatMul", [hidden, projectionWeights(writer)]);
        writer.declare(product, "FP32", ["batch_size", "sequence_length", TINY.vocabulary]);
        const bias = new Float32Array(TINY.vocabulary).fill(0.25);
        const shifted = writer.op("Add", [
          writer.initializer("bias", "FP32", [TINY.vocabulary], bias),
          product,
        ]);
        const bent = writer.op("Tanh", [writer.op("Div", [shifted, writer.float(3)])]);
        const cast = writer.op("Cast", [writer.op("Mul", [bent, writer.float(3)])], { to: 1 });
        writer.rename(cast, "logits");
      },
    ],
    [
      "by the embedding, turned over",
      (writer, hidden) => {
        const turned = writer.op("Transpose", ["embedding"], { perm: [1, 0] });
        writer.op("MatMul", [hidden, turned], {}, "logits");
      },
    ],
  ];

  it.each(last)("of the last position: %s", async (_, logits) => {
    const original = tinyGraph({ logits });
    const graph = readDecoderGraph(original);
    expect(graph.lastOnly).toBe(true);
    await expectSame(original, graph);
  });

  const all: readonly (readonly [string, TinyGraph])[] = [
    ["read by another node", { more: (writer) => void writer.op("Neg", ["logits"]) }],
    [
      "a product that is an output too",
      {
        logits: (writer, hidden) => {
          writer.op("MatMul", [hidden, projectionWeights(writer)], {}, "product");
          writer.output("product", "FP32", ["batch_size", "sequence_length", TINY.vocabulary]);
          writer.op("Identity", ["product"], {}, "logits");
        },
      },
    ],
    [
      "by weights that are computed",
      {
        logits: (writer, hidden) => {
          const weights = writer.op("Neg", [projectionWeights(writer)]);
          writer.op("MatMul", [hidden, weights], {}, "logits");
        },
      },
    ],
    [
      "by weights of three axes",
      {
        logits: (writer, hidden) => {
          const values = new Float32Array(TINY.hidden * TINY.vocabulary);
          const weights = writer.initializer("projection", "FP32", THREE_AXES, values);
          writer.op("MatMul", [hidden, weights], {}, "logits");
        },
      },
    ],
    [
      "added to something that differs by position",
      {
        logits: (writer, hidden) => {
          const product = writer.op("MatMul", [hidden, projectionWeights(writer)]);
          writer.op("Add", [product, writer.op("Neg", [product])], {}, "logits");
        },
      },
    ],
    [
      "normalised over all of them",
      {
        logits: (writer, hidden) => {
          const product = writer.op("MatMul", [hidden, projectionWeights(writer)]);
          writer.op("Softmax", [product], { axis: 1 }, "logits");
        },
      },
    ],
    ["before Slice had inputs", { opset: 9 }],
    [
      "that a graph within a node reads",
      {
        more: (writer) => {
          const inner = innerGraph("logits");
          const condition = writer.initializer("yes", "BOOL", [], Uint8Array.of(1));
          writer.op("If", [condition], { then_branch: inner, else_branch: inner });
        },
      },
    ],
  ];

  it.each(all)("stay those of every position: %s", (_, options) => {
    expect(readDecoderGraph(tinyGraph(options)).lastOnly).toBe(false);
  });
});

describe("what has nothing to do with it", () => {
  it("stays as it was, byte for byte", () => {
    const [original, more] = [tinyGraph(), chunk(14, "metadata of some tool")];
    const graph = readDecoderGraph(new Uint8Array(joined([original, more])));
    expect(Buffer.from(graph.bytes).includes(Buffer.from(more))).toBe(true);
    const untouched = readDecoderGraph(tinyGraph({ opset: 9, present: CONCAT(3) }));
    expect(Buffer.from(untouched.bytes)).toEqual(
      Buffer.from(tinyGraph({ opset: 9, present: CONCAT(3) })),
    );
  });

  it("converts no graph twice", () => {
    const once = readDecoderGraph(tinyGraph());
    expect(once.form).toBe("append");
    // Its outputs have names of ours now, and no decoder's.
    expect(() => readDecoderGraph(once.bytes)).toThrow(/"present.0.key" is missing/u);
  });

  it("may be listed among the inputs though it is a constant, as older graphs have it", () => {
    const graph = readDecoderGraph(
      tinyGraph({
        more: (writer: GraphWriter) =>
          void writer.input("embedding", "FP32", [TINY.vocabulary, TINY.hidden]),
      }),
    );
    expect(graph.form).toBe("append");
  });

  it("may read a cache's output within a node: its name stays", async () => {
    const original = tinyGraph({
      more: (writer) => {
        const inner = innerGraph("present.0.key");
        const condition = writer.initializer("yes", "BOOL", [], Uint8Array.of(1));
        writer.op("If", [condition], { then_branch: inner, else_branch: inner });
      },
    });
    const graph = readDecoderGraph(original);
    expect(graph.form).toBe("append");
    await expectSame(original, graph);
  });
});

/** A graph that answers with a value of the graph around it. */
function innerGraph(outer: string): Uint8Array {
  return writeGraph({
    inputs: [],
    outputs: [{ name: "inner", datatype: "FP32", shape: ["a", "b", "c"] }],
    nodes: [{ op: "Identity", inputs: [outer], outputs: ["inner"] }],
  });
}
