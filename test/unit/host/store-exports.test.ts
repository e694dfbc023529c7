import { parseManifest } from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { scanModels } from "../../../host/store.ts";
import { plant, refusalOf, scratch } from "./support.ts";

const EXPORT = {
  "m/1/config.json": "{}",
  "m/1/tokenizer.json": "{}",
  "m/1/onnx/model_q4.onnx": "graph",
  "m/1/onnx/model_q4.onnx_data": "weights",
};

describe("a Hugging Face export in the store", () => {
  it("is a version, with all of its files", async () => {
    const directory = scratch();
    await plant(directory, { ...EXPORT, "m/1/1_Pooling/config.json": "{}" });
    const { models } = await scanModels(directory);
    expect(models.map(({ id, version }) => `${id}/${version}`)).toEqual(["m/1"]);
    const paths = parseManifest(models[0]?.manifest ?? new Uint8Array()).map(({ path }) => path);
    expect(paths).toEqual([
      "1_Pooling/config.json",
      "config.json",
      "onnx/model_q4.onnx",
      "onnx/model_q4.onnx_data",
      "tokenizer.json",
    ]);
  });

  it.each<[string, Readonly<Record<string, string>>, string]>([
    [
      "no graph",
      { "m/1/config.json": "{}", "m/1/tokenizer.json": "{}" },
      "no model.onnx and no onnx/",
    ],
    ["a graph that lies deeper", { "m/1/onnx/a/model.onnx": "x" }, "no model.onnx and no onnx/"],
    [
      "two graphs",
      { ...EXPORT, "m/1/onnx/model.onnx": "x" },
      "onnx/model.onnx, onnx/model_q4.onnx",
    ],
    ["a bare graph, too", { ...EXPORT, "m/1/model.onnx": "x" }, "model.onnx, onnx/model_q4.onnx"],
    ["no words", { "m/1/onnx/model.onnx": "x" }, "no config.json, no tokenizer.json"],
    ["no tokenizer", { "m/1/onnx/model.onnx": "x", "m/1/config.json": "{}" }, "no tokenizer.json"],
  ])("with %s is refused", async (_, files, words) => {
    const directory = scratch();
    await plant(directory, files);
    const refusal = await refusalOf(() => scanModels(directory));
    expect(refusal.code).toBe("models/layout");
    expect(refusal.message).toContain(words);
  });
});
