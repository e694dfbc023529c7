/** Files that are small on disk and would be large once read. */
import { describe, expect, it } from "vitest";
import { readDecoderGraph } from "../../../../../enclave/engine/graph/decoder.ts";
import { lengthField } from "../../../../../enclave/engine/graph/protobuf.ts";
import { tinyGraph } from "../../../../fakes/decoder/tiny-graph.ts";

function times(count: number, message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(count * message.length);
  for (let i = 0; i < count; i++) bytes.set(message, i * message.length);
  return bytes;
}

/** A model with this graph. */
function modelOf(...graph: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(lengthField(7, graph));
}

function refusal(model: Uint8Array<ArrayBuffer>): string | null {
  try {
    readDecoderGraph(model);
    return null;
  } catch (error) {
    return String(error);
  }
}

const EMPTY_STRING = lengthField(1, []);
const NODE = 1;
const ATTRIBUTE = 5;

describe("a graph of more than a reader should keep", () => {
  it.each([
    ["nodes", modelOf(times(2 ** 19, lengthField(NODE, [])))],
    ["inputs of many nodes", modelOf(times(64, lengthField(NODE, [times(2 ** 13, EMPTY_STRING)])))],
    [
      "fields of many attributes",
      modelOf(lengthField(NODE, [lengthField(ATTRIBUTE, [times(2 ** 19, EMPTY_STRING)])])),
    ],
  ])("is refused for its %s", (_, model) => {
    expect(refusal(model)).toMatch(/^EnclaveError: model\/load: .*more than 524288 fields$/u);
  });

  it("is refused for a tensor of a million axes", () => {
    const initializer = lengthField(5, [
      lengthField(8, "w"),
      lengthField(1, [new Uint8Array(1e6)]),
    ]);
    expect(refusal(modelOf(initializer))).toMatch(
      /^EnclaveError: model\/load: .*more than 64 integers$/u,
    );
  });

  it("is read all the same where a list is long that we have no business with", () => {
    const long = Array.from({ length: 70_000 }, () => 1);
    const model = tinyGraph({
      more: (writer) => {
        writer.op("Identity", ["input_ids"], { long }, "unread");
      },
    });
    expect(refusal(model)).toBeNull();
  });
});
