import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import type { ServedModels } from "../../../enclave/models/served.ts";
import type { EmbeddingModel } from "../../../enclave/text/model.ts";
import { normalize, pool, type Pooling, POOLINGS } from "../../../enclave/text/pooling.ts";
import {
  DIMENSIONS,
  encoderExport,
  type EncoderOptions,
  rowOf,
} from "../../fakes/table-encoder.ts";
import { loadTestModels } from "../../fakes/served.ts";
import type { Json } from "../../fakes/tokenizers.ts";

const open: ServedModels[] = [];
afterEach(async () => {
  for (const served of open.splice(0)) await served.close();
});
const signal = new AbortController().signal;

async function load(options: EncoderOptions = {}): Promise<EmbeddingModel> {
  const served = await loadTestModels([{ id: "e", files: encoderExport(options) }]);
  open.push(served);
  const model = served.text("e", null);
  if (model?.kind !== "embedding") throw new TypeError("an embedding model");
  return model;
}

async function embed(model: EmbeddingModel, text: string): Promise<readonly number[]> {
  const [vector] = await model.embed([model.encode(text)], signal);
  return [...(vector ?? [])];
}

function expectNear(found: Iterable<number>, wanted: readonly number[]): void {
  const list = [...found];
  expect(list).toHaveLength(wanted.length);
  for (const [i, value] of list.entries()) expect(value).toBeCloseTo(wanted[i] ?? NaN, 6);
}

interface Expectations {
  readonly rows: readonly number[];
  readonly dimensions: number;
  /** By torch, with the formulas of sentence-transformers' Pooling. */
  readonly vectors: Readonly<
    Record<Pooling, { readonly pooled: readonly number[]; readonly normalized: readonly number[] }>
  >;
}

describe("pooling", () => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by pooling-oracle.py
  const expected = JSON.parse(
    readFileSync(new URL("../../fakes/pooling-expectations.json", import.meta.url), "utf8"),
  ) as Expectations;

  it.each(POOLINGS)("%s is torch's", (pooling) => {
    const rows = Float32Array.from(expected.rows);
    const vector = pool(rows, expected.dimensions, pooling);
    expectNear(vector, expected.vectors[pooling].pooled);
    expectNear(normalize(vector), expected.vectors[pooling].normalized);
  });

  it("leaves a vector of zeros one", () => {
    expect([...normalize(new Float64Array(3))]).toEqual([0, 0, 0]);
  });

  it("keeps NaN for the check at its end", () => {
    expect(pool(Float32Array.of(1, NaN, NaN, 2), 2, "max")).toEqual(Float64Array.of(NaN, NaN));
  });

  it("does not take rows of another length", () => {
    expect(() => pool(new Float32Array(5), 2, "mean")).toThrow(TypeError);
    expect(() => pool(new Float32Array(0), 2, "mean")).toThrow(TypeError);
  });
});

describe("an embedding model", () => {
  it("pools and normalises as sentence-transformers' files say", async () => {
    const model = await load();
    expect(model).toMatchObject({ dimensions: DIMENSIONS, contextLength: 16 });
    const tokens = model.encode("hello world");
    const rows = [...tokens].map((token) => rowOf(token));
    const mean = Array.from(
      { length: DIMENSIONS },
      (_, d) => rows.reduce((sum, row) => sum + (row[d] ?? 0), 0) / rows.length,
    );
    const norm = Math.hypot(...mean);
    expectNear(
      await embed(model, "hello world"),
      mean.map((value) => value / norm),
    );
  });

  it("gives a text the same vector whatever it is embedded with, to the bit", async () => {
    const model = await load();
    const texts = ["hello", "the world", "hello the world", "hello"].map((text) =>
      model.encode(text),
    );
    const together = await model.embed(texts, signal);
    for (const [i, tokens] of texts.entries()) {
      expect((await model.embed([tokens], signal))[0]).toEqual(together[i]);
    }
    expect(together[0]).toEqual(together[3]);
    expect(together[0]).not.toEqual(together[1]);
  });

  it.each<[string, EncoderOptions]>([
    ["without token types", { inputs: ["input_ids", "attention_mask"] }],
    ["with sentence-transformers' name of the output", { output: "token_embeddings" }],
    [
      "with one name for the pooling",
      { files: { "1_Pooling/config.json": { pooling_mode: "mean" } } },
    ],
  ])("%s is the same", async (_, options) => {
    expect(await embed(await load(options), "hello")).toEqual(await embed(await load(), "hello"));
  });

  it("takes pooling from metadata.json where no other file says it", async () => {
    const model = await load({
      files: {
        "modules.json": null,
        "1_Pooling/config.json": null,
        "sentence_bert_config.json": null,
        "metadata.json": { pooling: "cls", normalize: false, description: "x", license: "MIT" },
      },
    });
    expect(model.contextLength).toBe(32);
    expectNear(await embed(model, "hello"), rowOf(model.encode("hello")[0] ?? -1));
  });

  it("trims and lowers case where sentence-transformers does", async () => {
    const files = { "sentence_bert_config.json": { max_seq_length: 16, do_lower_case: true } };
    const model = await load({ files });
    expect(model.encode("  HELLO\n")).toEqual(model.encode("hello"));
  });

  it("counts RoBERTa's positions from the padding token's", async () => {
    const config = { model_type: "roberta", pad_token_id: 1, max_position_embeddings: 12 };
    expect((await load({ config })).contextLength).toBe(10);
  });
});

describe("texts that are refused", () => {
  it("one over the limit, on both sides of it", async () => {
    const model = await load();
    expect(model.encode("a ".repeat(14)).length).toBe(16);
    expect(() => model.encode("a ".repeat(15))).toThrow("prompt/too-long");
  });

  it.each([
    ["none", [], "request/parameter"],
    ["one below zero", [-1], "request/parameter"],
    ["one beyond the vocabulary", [128], "request/parameter"],
    ["too many", Array.from({ length: 17 }, () => 1), "prompt/too-long"],
  ])("tokens of the caller's own: %s", async (_, tokens, code) => {
    const model = await load();
    await expect(model.embed([Int32Array.from(tokens)], signal)).rejects.toMatchObject({ code });
  });

  it("after the caller left", async () => {
    const model = await load();
    const tokens = model.encode("hello");
    await expect(model.embed([tokens], AbortSignal.abort())).rejects.toMatchObject({
      code: "inference/aborted",
    });
  });
});

describe("an export that is refused", () => {
  const pooling = (more: Readonly<Record<string, Json>>): EncoderOptions => ({
    files: { "1_Pooling/config.json": more },
  });
  const bare = { "modules.json": null, "1_Pooling/config.json": null };

  it.each<[string, EncoderOptions, string, string | null]>([
    ["another architecture", { config: { model_type: "t5" } }, "model/config", "model_type"],
    ["no word of pooling", { files: bare }, "model/config", null],
    ["no pooling mode", pooling({}), "model/config", "pooling_mode"],
    [
      "two",
      pooling({ pooling_mode_cls_token: true, pooling_mode_max_tokens: true }),
      "model/config",
      "pooling_mode",
    ],
    [
      "one that is not known",
      pooling({ pooling_mode_magic: true }),
      "model/config",
      "pooling_mode_magic",
    ],
    [
      "a name that is not known",
      pooling({ pooling_mode: "magic" }),
      "model/config",
      "pooling_mode",
    ],
    [
      "a pooling of ours that is not known",
      { files: { ...bare, "metadata.json": { pooling: "magic" } } },
      "model/metadata",
      null,
    ],
    [
      "a normalize that is no boolean",
      { files: { ...bare, "metadata.json": { normalize: 1 } } },
      "model/metadata",
      null,
    ],
    [
      "a metadata.json with tensors",
      { files: { "metadata.json": { inputs: {} } } },
      "model/metadata",
      null,
    ],
    [
      "a dense layer",
      {
        files: {
          "modules.json": [
            { idx: 0, type: "x.Transformer" },
            { idx: 1, type: "x.Dense" },
          ],
        },
      },
      "model/config",
      null,
    ],
    ["modules that are no list", { files: { "modules.json": {} } }, "model/config", null],
    [
      "an input that is not known",
      { inputs: ["input_ids", "pixels"] },
      "model/unsupported",
      "pixels",
    ],
    ["inputs of another type", { inputType: "INT32" }, "model/unsupported", "input_ids"],
    ["no vectors of tokens", { output: "logits" }, "model/unsupported", "last_hidden_state"],
    ["a vocabulary that is too small", { config: { vocab_size: 8 } }, "model/tokenizer", "model"],
  ])("%s", async (_, options, code, param) => {
    await expect(load(options)).rejects.toMatchObject({ code, param });
  });
});
