import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OnnxTensor } from "../fakes/onnx-proto.ts";
import { type RealNode, startRealNode } from "../fakes/real-node.ts";
import { decodeResponse, encodeRequest, type Encoding, values } from "../onnx-backend.ts";

const ROOT = new URL("../../../shared/models/", import.meta.url).pathname;
const FILES = {
  mnist: "mnist/mnist.onnx",
  ultraface: "ultraface/ultraface-rfb-320.onnx",
  "silero-vad": "silero-vad/silero_vad.onnx",
};
const present = Object.values(FILES).every((path) => existsSync(ROOT + path));
if (!present) console.warn("no models in ../shared/models: skipped");

function floats(name: string, shape: readonly number[], elements: Float32Array): OnnxTensor {
  const data = new Uint8Array(elements.slice().buffer);
  return { name, datatype: "FP32", shape, data };
}

function numbers(tensor: OnnxTensor | undefined): number[] {
  if (tensor === undefined) throw new TypeError("an output is missing");
  return values(tensor).map(Number);
}

/** The samples of a mono 16-bit PCM WAVE file, as −1…1. */
function readWave(path: string): Float32Array {
  const bytes = readFileSync(path);
  const at = bytes.indexOf("data", 12, "latin1");
  const length = bytes.readUInt32LE(at + 4);
  return Float32Array.from(
    { length: Math.floor(Math.min(length, bytes.length - at - 8) / 2) },
    (_, i) => bytes.readInt16LE(at + 8 + 2 * i) / 32768,
  );
}

describe.skipIf(!present)("models that others trained, through a real node and client", () => {
  let node: RealNode;

  beforeAll(async () => {
    const models = Object.entries(FILES).map(([id, path]) => ({
      id,
      files: { "model.onnx": new Uint8Array(readFileSync(ROOT + path)) },
    }));
    node = await startRealNode(models);
  });
  afterAll(() => node.close());

  async function infer(
    model: string,
    tensors: readonly OnnxTensor[],
    encoding: Encoding = "binary",
  ): Promise<Map<string, OnnxTensor>> {
    const request = encodeRequest(tensors, encoding);
    const response = await node.connection.fetch(`/v2/models/${model}/infer`, request);
    if (response.status !== 200) throw new Error(await response.text());
    return new Map((await decodeResponse(response)).map((tensor) => [tensor.name, tensor]));
  }

  it("mnist sees a drawn 1, in both encodings", async () => {
    const pixels = new Float32Array(28 * 28);
    for (let y = 4; y < 24; y++) for (let x = 13; x < 16; x++) pixels[28 * y + x] = 255;
    const input = [floats("Input3", [1, 1, 28, 28], pixels)];
    const binary = numbers((await infer("mnist", input)).get("Plus214_Output_0"));
    const json = numbers((await infer("mnist", input, "json")).get("Plus214_Output_0"));
    expect(binary.indexOf(Math.max(...binary))).toBe(1);
    expect(json).toEqual(binary);
  });

  it("ultraface answers scores and boxes, two outputs of one run", async () => {
    const pixels = new Float32Array(3 * 240 * 320).fill(-1);
    const found = await infer("ultraface", [floats("input", [1, 3, 240, 320], pixels)]);
    expect(found.get("scores")?.shape).toEqual([1, 4420, 2]);
    expect(found.get("boxes")?.shape).toEqual([1, 4420, 4]);
    const scores = numbers(found.get("scores"));
    // Background and face are a softmax: each pair sums to one, and a black image has no face.
    for (let i = 0; i < scores.length; i += 2) {
      expect((scores[i] ?? 0) + (scores[i + 1] ?? 0)).toBeCloseTo(1, 3);
      expect(scores[i + 1]).toBeLessThan(0.5);
    }
  });

  it("silero-vad hears speech in a real recording, and silence elsewhere", async () => {
    const samples = readWave(`${ROOT}silero-vad/test.wav`);
    const rate: OnnxTensor = {
      name: "sr",
      datatype: "INT64",
      shape: [],
      data: new Uint8Array(BigInt64Array.of(16_000n).buffer),
    };
    // 512 samples a step, before them the last 64 of the step before: what the model was trained on.
    let state = floats("state", [2, 1, 128], new Float32Array(256));
    const window = new Float32Array(576);
    const speech: number[] = [];
    for (let at = 0; at + 512 <= samples.length && speech.length < 400; at += 512) {
      window.copyWithin(0, 512);
      window.set(samples.subarray(at, at + 512), 64);
      const found = await infer("silero-vad", [floats("input", [1, 576], window), state, rate]);
      speech.push(numbers(found.get("output"))[0] ?? NaN);
      state = { ...state, data: found.get("stateN")?.data ?? new Uint8Array(0) };
    }
    expect(speech.filter((p) => p > 0.5).length).toBeGreaterThan(20);
    expect(speech.filter((p) => p < 0.5).length).toBeGreaterThan(20);
    expect(speech.every((p) => p >= 0 && p <= 1)).toBe(true);
  });
});

describe("our own models, through a real node and client", () => {
  const own = new URL("../../models/", import.meta.url).pathname;
  const ids = ["digits", "breast-mass"];
  let node: RealNode;

  beforeAll(async () => {
    const models = ids.map((id) => ({
      id,
      files: {
        "model.onnx": new Uint8Array(readFileSync(`${own}${id}/1/model.onnx`)),
        "metadata.json": new Uint8Array(readFileSync(`${own}${id}/1/metadata.json`)),
      },
    }));
    node = await startRealNode(models);
  });
  afterAll(() => node.close());

  it.each([
    ["digits", "digits.json", 7],
    ["breast-mass", "breast-mass.json", 0],
  ])("%s answers its example as its card says, with a proof", async (id, example, best) => {
    const body = readFileSync(new URL(`../../examples/${example}`, import.meta.url));
    const response = await node.connection.fetch(`/v2/models/${id}/infer`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    expect(response.status).toBe(200);
    const [output] = await decodeResponse(response.clone());
    const probabilities = numbers(output);
    expect(probabilities.indexOf(Math.max(...probabilities))).toBe(best);
    expect((await response.proof()).length).toBeGreaterThan(1000);
  });
});
