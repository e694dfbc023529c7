import { afterEach, describe, expect, it } from "vitest";
import type { ServedModels } from "../../../enclave/models/served.ts";
import { readExportFiles } from "../../../enclave/text/export-files.ts";
import type { SamplingParameters } from "../../../enclave/text/generation.ts";
import type { TextModel } from "../../../enclave/text/model.ts";
import { loadTextModel } from "../../../enclave/text/text-model.ts";
import { decoderExport } from "../../fakes/decoder/index.ts";
import { identityModel } from "../../fakes/onnx-proto.ts";
import { loadTestModels, sha256 } from "../../fakes/served.ts";
import { jsonBytes, noteTakingEngine } from "../../fakes/text-files.ts";
import type { Json } from "../../fakes/tokenizers.ts";

const open: ServedModels[] = [];
afterEach(async () => {
  for (const served of open.splice(0)) await served.close();
});
const signal = new AbortController().signal;
const GREEDY: SamplingParameters = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: [],
  topLogprobs: null,
};

async function load(
  files: Readonly<Record<string, Uint8Array>>,
  version = "1",
): Promise<ServedModels> {
  const served = await loadTestModels([{ id: "t", version, files }]);
  open.push(served);
  return served;
}

function exported(): Record<string, Uint8Array> {
  return Object.fromEntries(decoderExport({ external: true }));
}

function json(bytes: Uint8Array | undefined): Record<string, Json> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- an object that the fake wrote
  return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, Json>;
}

/** The export with members of one of its files replaced. */
function changed(
  path: string,
  members: Readonly<Record<string, Json>>,
): Record<string, Uint8Array> {
  const files = exported();
  return { ...files, [path]: jsonBytes({ ...json(files[path]), ...members }) };
}

function textOf(served: ServedModels): TextModel {
  const model = served.text("t", null);
  if (model?.kind !== "generation") throw new TypeError("a model that continues text");
  return model;
}

async function continuation(model: TextModel, prompt: string): Promise<readonly number[]> {
  const tokens: number[] = [];
  const request = {
    prompt: model.encode(prompt, "add"),
    choices: [{ seed: 1 }],
    maxTokens: 8,
    sampling: GREEDY,
    constraint: null,
  };
  for await (const steps of (await model.generate(request, signal)).tokens) {
    for (const { token } of steps) if (token !== null) tokens.push(token);
  }
  return tokens;
}

describe("a Hugging Face export", () => {
  it("is loaded, with the external data beside its graph, and continues text", async () => {
    const files = exported();
    expect(Object.keys(files)).toContain("onnx/model.onnx_data");
    const served = await load({ ...files, "README.md": new Uint8Array(3) });
    const model = textOf(served);
    expect(served.texts()).toEqual([model]);
    expect(served.refs).toEqual([model.ref]);
    expect(model).toMatchObject({ contextLength: 512, vocabularySize: 384 });
    expect(model.defaults).toMatchObject({ temperature: 0.7, topP: 0.95, topK: 40 });
    const prompt = model.chat?.render([{ role: "user", content: "hi" }], null, {}) ?? "";
    expect(prompt).toContain("<|im_start|>user\nhi<|im_end|>");
    const tokens = await continuation(model, prompt);
    expect(tokens.length).toBeGreaterThan(0);
    expect(await continuation(model, prompt)).toEqual(tokens);
    const [token = 0] = model.encode("t", "recognise");
    expect(model.tokenText(token)).toEqual({ text: "t", bytes: Uint8Array.of(0x74) });
  });

  it("is no model of tensors, and the other way round", async () => {
    const served = await load(exported());
    expect(served.lookup("t", null)).toBeNull();
    expect(served.versions("t")).toEqual(["1"]);
    const tensors = await load({ "model.onnx": identityModel("FP32", ["n", 2]) });
    expect(tensors.text("t", null)).toBeNull();
    expect(tensors.texts()).toEqual([]);
    expect(tensors.lookup("t", null)).not.toBeNull();
  });

  it("takes its template from the newer file where both are there", async () => {
    const source = "{{ messages[0].content }}!";
    const served = await load({
      ...exported(),
      "chat_template.jinja": new TextEncoder().encode(source),
    });
    expect(textOf(served).chat?.render([{ role: "user", content: "hi" }], null, {})).toBe("hi!");
  });

  it("without a template has no chat", async () => {
    const served = await load(changed("tokenizer_config.json", { chat_template: null }));
    expect(textOf(served).chat).toBeNull();
  });

  it("ends at the tokens of all three files", async () => {
    const { engine, loaded } = noteTakingEngine(384);
    const files = changed("config.json", { eos_token_id: 5 });
    const generation = jsonBytes({ eos_token_id: [6, 7] });
    const all = new Map(Object.entries({ ...files, "generation_config.json": generation }));
    const copies = new Map([...all].map(([path, bytes]) => [path, Uint8Array.from(bytes)]));
    const ref = { id: "t", version: "1", digest: sha256(new Uint8Array()) };
    await loadTextModel(engine, readExportFiles(copies), ref);
    // 378 is <|im_end|>, which tokenizer_config.json names.
    expect(loaded[0]?.decoder.endTokens).toEqual([6, 7, 5, 378]);
    expect(loaded[0]?.files.external.map(({ path }) => path)).toEqual(["model.onnx_data"]);
  });
});

describe("an export that is refused", () => {
  const without = (path: string): Record<string, Uint8Array> =>
    Object.fromEntries(Object.entries(exported()).filter(([each]) => each !== path));

  it.each<[string, () => Record<string, Uint8Array>, string, string | null]>([
    ["without config.json", () => without("config.json"), "model/manifest", "config.json"],
    ["without tokenizer.json", () => without("tokenizer.json"), "model/manifest", "tokenizer.json"],
    ["without a graph", () => without("onnx/model.onnx"), "model/manifest", null],
    [
      "with two graphs",
      () => ({ ...exported(), "onnx/model_q4.onnx": new Uint8Array(1) }),
      "model/manifest",
      null,
    ],
    [
      "with a bare graph, too",
      () => ({ ...exported(), "model.onnx": new Uint8Array(1) }),
      "model/manifest",
      null,
    ],
    [
      "of another architecture",
      () => changed("config.json", { model_type: "mamba" }),
      "model/config",
      "model_type",
    ],
    [
      "with a broken tokenizer",
      () => ({ ...exported(), "tokenizer.json": jsonBytes({}) }),
      "model/tokenizer",
      "model",
    ],
    [
      "with a broken template",
      () => changed("tokenizer_config.json", { chat_template: "{% if %}" }),
      "model/template",
      "chat_template",
    ],
    [
      "with tokens beyond the logits",
      () => ({
        ...changed("config.json", { vocab_size: 378, eos_token_id: 5 }),
        "generation_config.json": jsonBytes({}),
      }),
      "model/tokenizer",
      "model",
    ],
    [
      "that never ends",
      () => ({
        ...changed("config.json", { eos_token_id: null }),
        "generation_config.json": jsonBytes({}),
        "tokenizer_config.json": jsonBytes({}),
      }),
      "model/config",
      "eos_token_id",
    ],
    [
      "whose configuration has other heads than its graph",
      () => changed("config.json", { num_key_value_heads: 1 }),
      "model/cache",
      null,
    ],
    [
      "whose configuration has more layers than its graph",
      () => changed("config.json", { num_hidden_layers: 3 }),
      "model/cache",
      null,
    ],
  ])("%s", async (_, files, code, param) => {
    const wanted = param === null ? { code } : { code, param };
    await expect(load(files())).rejects.toMatchObject(wanted);
  });

  it("does not reach the engine where its words alone are wrong", async () => {
    const { engine, loaded } = noteTakingEngine(384);
    const files = changed("tokenizer_config.json", { chat_template: "{% if %}" });
    const copies = new Map(
      Object.entries(files).map(([path, bytes]) => [path, Uint8Array.from(bytes)]),
    );
    const ref = { id: "t", version: "1", digest: sha256(new Uint8Array()) };
    await expect(loadTextModel(engine, readExportFiles(copies), ref)).rejects.toMatchObject({
      code: "model/template",
    });
    expect(loaded).toEqual([]);
  });
});
