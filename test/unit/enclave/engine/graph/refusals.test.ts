import { describe, expect, it } from "vitest";
import { readDecoderGraph } from "../../../../../enclave/engine/graph/decoder.ts";
import { EnclaveError } from "../../../../../enclave/errors.ts";
import { decoderExport, graphPath } from "../../../../fakes/decoder/index.ts";
import { TINY, tinyGraph } from "../../../../fakes/decoder/tiny-graph.ts";
import type { TinyGraph } from "../../../../fakes/decoder/tiny-graph.ts";
import { mutate, noise, randomFrom } from "../../../../fakes/fuzz.ts";
import { chunk, integer, joined, writeGraph, writeModel } from "../../../../fakes/onnx-proto.ts";

// A graph that is no decoder of ours is refused with the name of what is wrong, and bytes that are no
// graph at all with model/load: never another error, and never an endless loop.

function refusalOf(bytes: Uint8Array): { readonly code: string; readonly param: string | null } {
  try {
    readDecoderGraph(new Uint8Array(bytes));
  } catch (error) {
    if (error instanceof EnclaveError) return { code: error.code, param: error.param };
    throw error;
  }
  return { code: "accepted", param: null };
}

/** The same bytes with a name of equal length in place of another, everywhere. */
function renamed(bytes: Uint8Array, before: string, after: string): Uint8Array {
  expect(after.length).toBe(before.length);
  const text = Buffer.from(bytes).toString("latin1");
  expect(text).toContain(before);
  return Buffer.from(text.replaceAll(before, after), "latin1");
}

function repeated(field: Uint8Array, times: number): Uint8Array {
  const bytes = new Uint8Array(field.length * times);
  for (let i = 0; i < times; i++) bytes.set(field, i * field.length);
  return bytes;
}

const HIDDEN = TINY.hidden;

describe("a graph of another kind", () => {
  const cases: readonly (readonly [string, Uint8Array, string, string])[] = [
    [
      "without a cache",
      writeModel({
        inputs: [{ name: "input_ids", datatype: "INT64", shape: ["batch", "sequence"] }],
        outputs: [{ name: "logits", datatype: "FP32", shape: ["batch", "sequence", 9] }],
        nodes: [{ op: "Identity", inputs: ["input_ids"], outputs: ["logits"] }],
      }),
      "model/cache",
      "past_key_values.0.key",
    ],
    [
      "without a past",
      renamed(tinyGraph(), "past_key_values.1.value", "past_key_values.9.value"),
      "model/cache",
      "past_key_values.1.value",
    ],
    [
      "without a present",
      renamed(tinyGraph(), "present.1.key", "xresent.1.key"),
      "model/cache",
      "present.1.key",
    ],
    [
      "with a present too many",
      tinyGraph({
        more: (writer) => writer.output("present.2.key", "FP32", ["a", 1, "b", HIDDEN]),
      }),
      "model/cache",
      "present.2.key",
    ],
    [
      "of an encoder and a decoder",
      renamed(tinyGraph(), "past_key_values.0.key", "past_key_values.0.dec"),
      "model/cache",
      "past_key_values.0.dec",
    ],
    [
      "with a layer twice",
      tinyGraph({
        more: (writer) => writer.input("past_key_values.00.key", "FP32", ["a", 1, "b", HIDDEN]),
      }),
      "model/cache",
      "past_key_values.00.key",
    ],
    [
      "with an input twice",
      tinyGraph({ more: (writer) => writer.input("input_ids", "INT64", ["a", "b"]) }),
      "model/cache",
      "input_ids",
    ],
    [
      "with an output twice",
      tinyGraph({
        more: (writer) => writer.output("present.0.key", "FP32", ["a", 1, "b", HIDDEN]),
      }),
      "model/cache",
      "present.0.key",
    ],
    [
      "merged",
      tinyGraph({ more: (writer) => writer.input("use_cache_branch", "BOOL", [1]) }),
      "model/cache",
      "use_cache_branch",
    ],
    [
      "whose cache is of integers",
      tinyGraph({ pastType: "INT8" }),
      "model/cache",
      "past_key_values.0.key",
    ],
    [
      "whose cache has three axes",
      tinyGraph({ past: ["b", "p", HIDDEN] }),
      "model/cache",
      "past_key_values.0.key",
    ],
    [
      "whose cache has no heads declared",
      tinyGraph({ past: ["b", "heads", "p", HIDDEN] }),
      "model/cache",
      "past_key_values.0.key",
    ],
    [
      "whose cache has no size",
      tinyGraph({ past: ["b", 1, "p", 0] }),
      "model/cache",
      "past_key_values.0.key",
    ],
    [
      "whose cache is of one batch size",
      tinyGraph({ past: [1, 1, "p", HIDDEN] }),
      "model/cache",
      "past_key_values.0.key",
    ],
    [
      "whose cache is of one length",
      tinyGraph({ past: ["b", 1, 128, HIDDEN] }),
      "model/cache",
      "past_key_values.0.key",
    ],
    [
      "whose past and present differ",
      tinyGraph({ presentShape: ["b", 2, "p", HIDDEN] }),
      "model/cache",
      "present.0.key",
    ],
    [
      "with an input that nobody can fill",
      tinyGraph({ more: (writer) => writer.input("pixel_values", "FP32", ["a"]) }),
      "model/unsupported",
      "pixel_values",
    ],
    [
      "with a mask of another type",
      tinyGraph({ more: (writer) => writer.input("attention_mask", "FP32", ["a", "b"]) }),
      "model/unsupported",
      "attention_mask",
    ],
    [
      "with positions on three axes",
      tinyGraph({ more: (writer) => writer.input("position_ids", "INT64", ["c", "a", "b"]) }),
      "model/unsupported",
      "position_ids",
    ],
    [
      "with a mask of one length",
      tinyGraph({ more: (writer) => writer.input("attention_mask", "INT64", ["a", 128]) }),
      "model/unsupported",
      "attention_mask",
    ],
    [
      "without tokens",
      renamed(tinyGraph(), "input_ids", "inputs_em"),
      "model/unsupported",
      "input_ids",
    ],
    ["without logits", renamed(tinyGraph(), "logits", "scores"), "model/unsupported", "logits"],
  ];

  it.each(cases)("%s", (_, bytes, code, param) => {
    expect(refusalOf(bytes)).toEqual({ code, param });
  });

  it("whose layers are not of one type", () => {
    const more: TinyGraph["more"] = (writer) => {
      writer.input("past_key_values.2.key", "FP16", ["b", 1, "p", HIDDEN]);
      writer.input("past_key_values.2.value", "FP16", ["b", 1, "p", HIDDEN]);
      writer.output("present.2.key", "FP16", ["b", 1, "p", HIDDEN]);
      writer.output("present.2.value", "FP16", ["b", 1, "p", HIDDEN]);
    };
    expect(refusalOf(tinyGraph({ more }))).toEqual({
      code: "model/cache",
      param: "past_key_values.2.key",
    });
  });

  it("with more inputs than any decoder has", () => {
    const more: TinyGraph["more"] = (writer) => {
      for (let i = 0; i < 4096; i++) writer.output(`hidden_states.${i}`, "FP32", ["b"]);
    };
    expect(refusalOf(tinyGraph({ more })).code).toBe("model/unsupported");
  });
});

describe("bytes that are no model", () => {
  const graph = tinyGraph();
  const model = (inner: Uint8Array): Uint8Array => joined([integer(1, 8), chunk(7, inner)]);
  const node = (...fields: Uint8Array[]): Uint8Array => model(chunk(1, joined(fields)));
  const nested = (depth: number): Uint8Array => {
    let inner = writeGraph({ inputs: [], outputs: [], nodes: [] });
    for (let i = 0; i < depth; i++) inner = chunk(1, chunk(5, chunk(6, inner)));
    return model(inner);
  };

  const cases: readonly (readonly [string, Uint8Array])[] = [
    ["nothing", new Uint8Array(0)],
    ["no graph", integer(1, 8)],
    ["two graphs", joined([graph, chunk(7, "")])],
    ["a graph that is a number", integer(7, 1)],
    ["a tag cut off", Uint8Array.of(0x80)],
    ["a number of eleven bytes", new Uint8Array(12).fill(0xff)],
    ["a field of number zero", Uint8Array.of(0x02, 0x00)],
    ["a group", Uint8Array.of(0x0b)],
    ["a length past the end", Uint8Array.of(0x3a, 0x05, 0x00)],
    ["a length beyond everything", Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f)],
    ["64 bits past the end", Uint8Array.of(0x09, 0x00)],
    ["more fields than any model has", repeated(Uint8Array.of(0x08, 0x00), 2 ** 20 + 1)],
    ["32 bits past the end", Uint8Array.of(0x0d, 0x00)],
    ["a name that is not UTF-8", node(chunk(1, Uint8Array.of(0xff)))],
    ["a node with two names for its operation", node(chunk(4, "Add"), chunk(4, "Sub"))],
    ["an attribute twice", node(chunk(5, chunk(1, "axis")), chunk(5, chunk(1, "axis")))],
    ["graphs within graphs, nine deep", nested(9)],
    ["a value made twice", tinyGraph({ more: (w) => void w.op("Neg", ["logits"], {}, "logits") })],
  ];

  it.each(cases)("%s", (_, bytes) => {
    expect(refusalOf(bytes).code).toBe("model/load");
  });

  it("allows graphs within graphs, eight deep", () => {
    expect(refusalOf(nested(8)).code).toBe("model/unsupported");
  });
});

describe("bytes that nobody sends on purpose", () => {
  it.each(["concat", "gqa"] as const)("give a decoder or our error: from %s", (form) => {
    const weights = "q4";
    const files = decoderExport({ form, weights, external: true, layers: 1, hidden: 32, heads: 2 });
    const bytes = files.get(graphPath({ weights })) ?? new Uint8Array(0);
    const random = randomFrom(7);
    const codes = new Map<string, number>();
    for (let i = 0; i < 1500; i++) {
      let changed = mutate(random, bytes);
      while (random() < 0.3 && changed.length > 0) changed = mutate(random, changed);
      const { code } = refusalOf(i % 10 === 0 ? noise(random, 256) : changed);
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    // It is worth something only where both happen.
    expect(codes.get("accepted")).toBeGreaterThan(100);
    expect(codes.get("model/load")).toBeGreaterThan(100);
    const known = ["accepted", "model/cache", "model/load", "model/unsupported"];
    expect(known).toEqual(expect.arrayContaining([...codes.keys()]));
  });
});
