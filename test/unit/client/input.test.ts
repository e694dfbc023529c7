import { describe, expect, it } from "vitest";

import { CommandError } from "../../../client/cli/exit.ts";
import { inferRequestBody, sniffInput } from "../../../client/cli/input.ts";
import { type ModelMetadata, parseModelMetadata } from "../../../client/cli/model-metadata.ts";

const IRIS: ModelMetadata = parseModelMetadata({
  name: "iris",
  versions: ["1"],
  inputs: [
    {
      name: "x",
      datatype: "FP32",
      shape: [-1, 2],
      parameters: { features: [{ name: "a", unit: "1" }, "b"] },
    },
  ],
  outputs: [{ name: "y", datatype: "FP32", shape: [-1, 3] }],
});
const TWO: ModelMetadata = parseModelMetadata({
  name: "two",
  inputs: [
    { name: "x", datatype: "FP32", shape: [-1, 2] },
    { name: "s", datatype: "INT64", shape: [] },
  ],
  outputs: [],
});

function body(model: ModelMetadata, value: unknown): unknown {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const bytes = new Uint8Array(Buffer.from(text));
  return JSON.parse(inferRequestBody(sniffInput(bytes, "test"), model));
}

describe("sniffInput", () => {
  it("tells a PNG by its signature, not by its name", () => {
    const bytes = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0);
    expect(sniffInput(bytes, "x.json").kind).toBe("png");
  });

  it.each([
    ["", "is empty"],
    ["GIF89a", "neither a PNG nor JSON"],
    ["\xff\xd8\xff", "neither a PNG nor JSON"],
    ["[1, 2", "is not JSON"],
  ])("refuses %j", (text, message) => {
    expect(() => sniffInput(new Uint8Array(Buffer.from(text, "latin1")), "it")).toThrow(message);
  });
});

describe("inferRequestBody", () => {
  it("passes a whole request on byte for byte", () => {
    const text = '{ "inputs" : [{"name":"x","shape":[1,2],"datatype":"FP32","data":[1.50,2]}] }';
    const input = sniffInput(new Uint8Array(Buffer.from(text)), "test");
    expect(inferRequestBody(input, IRIS)).toBe(text);
  });

  it("takes nested arrays for a model of one input", () => {
    const tensor = { name: "x", datatype: "FP32", shape: [2, 2], data: [1, 2, 3, 4] };
    expect(
      body(IRIS, [
        [1, 2],
        [3, 4],
      ]),
    ).toEqual({ inputs: [tensor] });
  });

  it("adds the batch to a single example", () => {
    const tensor = { name: "x", datatype: "FP32", shape: [1, 2], data: [1, 2] };
    expect(body(IRIS, [1, 2])).toEqual({ inputs: [tensor] });
  });

  it("takes arrays by input name, scalars included", () => {
    expect(body(TWO, { x: [[1, 2]], s: 3 })).toEqual({
      inputs: [
        { name: "x", datatype: "FP32", shape: [1, 2], data: [1, 2] },
        { name: "s", datatype: "INT64", shape: [], data: [3] },
      ],
    });
  });

  it("takes numbers by feature, in the model's order", () => {
    const tensor = { name: "x", datatype: "FP32", shape: [1, 2], data: [1, 2] };
    expect(body(IRIS, { b: 2, a: 1 })).toEqual({ inputs: [tensor] });
  });

  it.each([
    [{ a: 1 }, 'feature "b" is missing'],
    [{ a: 1, b: 2, c: 3 }, '"c" is neither an input nor a feature'],
    [[[1, 2, 3]], "shape 1 × 3, the model wants n × 2"],
    [[[1, 2], [3]], "ragged"],
    [[[1, [2]]], "holds [2]"],
    [[[1, null]], "holds null"],
    ["[[1, 9007199254740993]]", "cannot carry exactly"],
  ])("refuses %j", (value, message) => {
    expect(() => body(IRIS, value)).toThrow(message);
  });

  it("asks for names where there are several inputs", () => {
    expect(() => body(TWO, [[1, 2]])).toThrow("the model has 2 inputs");
    expect(() => body(TWO, { z: 1 })).toThrow('no input "z"');
  });

  it("says so where a model does not take images", () => {
    const png = sniffInput(Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10), "seven.png");
    expect(() => inferRequestBody(png, IRIS)).toThrow(CommandError);
  });
});

describe("parseModelMetadata", () => {
  const image = {
    layout: "NCHW",
    channels: "gray",
    fit: "contain",
    background: 0,
    invert: "auto",
    scale: 0.5,
    offset: 0,
  };
  const withImage = (changes: Record<string, unknown>): unknown => ({
    name: "m",
    inputs: [
      { name: "i", datatype: "FP32", shape: [1], parameters: { image: { ...image, ...changes } } },
    ],
    outputs: [{ name: "o", parameters: { labels: ["a", "b"] } }],
  });

  it("reads how images are fitted, and labels", () => {
    const metadata = parseModelMetadata(withImage({}));
    expect(metadata.inputs[0]?.image).toEqual(image);
    expect(metadata.outputs[0]?.labels).toEqual(["a", "b"]);
  });

  it.each([
    { layout: "CHW" },
    { channels: "cmyk" },
    { fit: "crop" },
    { invert: "maybe" },
    { scale: "1" },
  ])("refuses %j", (changes) => {
    expect(() => parseModelMetadata(withImage(changes))).toThrow(CommandError);
  });
});
