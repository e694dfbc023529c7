/** Embeddings and the list of models. */
import { encodeHex } from "@countersign/attestation";
import { describe, expect, it } from "vitest";
import { openAiApp } from "../../fakes/openai-app.ts";
import { createFakeEmbedding, createFakeText } from "../../fakes/text-model.ts";

const VECTORS = createFakeEmbedding("vectors");

describe("embeddings", () => {
  it.each([
    ["a text", "abc", [[3, 97, Math.fround(0.1)]]],
    [
      "several",
      ["b", "cd"],
      [
        [1, 98, Math.fround(0.1)],
        [2, 99, Math.fround(0.1)],
      ],
    ],
    ["tokens", [5, 6], [[2, 5, Math.fround(0.1)]]],
    [
      "several arrays of tokens",
      [[5], [6]],
      [
        [1, 5, Math.fround(0.1)],
        [1, 6, Math.fround(0.1)],
      ],
    ],
  ])(
    "of %s, in base64 as the official client asks for, and as numbers",
    async (_, input, expected) => {
      const { client, exchange } = openAiApp([VECTORS]);
      for (const format of [undefined, "float" as const]) {
        const answer = await client.embeddings.create({
          model: "vectors",
          input,
          dimensions: 3,
          ...(format === undefined ? {} : { encoding_format: format }),
        });
        expect(answer.object).toBe("list");
        expect(answer.model).toBe("vectors");
        expect(answer.data.map(({ index }) => index)).toEqual(expected.map((_each, i) => i));
        expect(answer.data.map(({ embedding }) => [...embedding])).toEqual(expected);
        const tokens = expected.reduce((sum, [count = 0]) => sum + count, 0);
        expect(answer.usage).toEqual({ prompt_tokens: tokens, total_tokens: tokens });
        expect(exchange().model).toEqual(VECTORS.ref);
        expect(exchange().outcome).toMatchObject({ promptTokens: tokens });
        expect(exchange().outcome.parameters).toHaveLength(32);
      }
    },
  );

  it.each([
    ["input", {}],
    ["input", { input: "" }],
    ["input", { input: [] }],
    ["input[0]", { input: [""] }],
    ["input", { input: {} }],
    ["input", { input: Array(2049).fill("a") }],
    ["input", { input: "a".repeat(17) }],
    ["input[1]", { input: ["a", "a".repeat(17)] }],
    ["dimensions", { input: "a", dimensions: 2 }],
    ["encoding_format", { input: "a", encoding_format: "hex" }],
    ["truncate", { input: "a", truncate: true }],
    ["user", { input: "a", user: {} }],
    ["model", { input: "a", model: "fake" }],
    ["model", { input: "a", model: "tensors" }],
  ])("refuse %s: %j", async (param, members) => {
    const app = openAiApp([VECTORS, createFakeText({ script: () => [] }).model]);
    const { status, body } = await app.post("/v1/embeddings", { model: "vectors", ...members });
    expect(status).toBe(400);
    expect(body).toMatchObject({ error: { param } });
  });
});

describe("the list of models", () => {
  const [one, two] = ["1", "2"].map(
    (version) => createFakeText({ version, script: () => [] }).model,
  );
  if (one === undefined || two === undefined) throw new TypeError("no models");

  it("has every model of text: the newest version by its id, the others by id and version", async () => {
    const { client } = openAiApp([one, two, VECTORS]);
    const models = [];
    for await (const model of client.models.list()) models.push(model);
    expect(models).toMatchObject([
      { id: "fake@1", object: "model", owned_by: "countersign", kind: "generation", version: "1" },
      { id: "fake", version: "2", context_length: 512, chat: true, tools: false },
      { id: "vectors", kind: "embedding", dimensions: 3, digest: encodeHex(VECTORS.ref.digest) },
    ]);
    expect(Math.abs((models[0]?.created ?? 0) - Date.now() / 1000)).toBeLessThan(60);
  });

  it("names each so that it can be asked", async () => {
    const app = openAiApp([one, two, VECTORS]);
    for (const [name, model] of [
      ["fake@1", one],
      ["fake@2", two],
      ["fake", two],
    ] as const) {
      expect(await app.client.models.retrieve(name)).toMatchObject({
        id: name,
        digest: encodeHex(model.ref.digest),
      });
      expect(app.exchange().model).toEqual(model.ref);
    }
  });

  it("refuses one that there is not", async () => {
    const { client } = openAiApp([one]);
    await expect(client.models.retrieve("other")).rejects.toMatchObject({
      status: 404,
      code: "model/unknown",
      param: "model",
    });
    await expect(client.models.delete("fake")).rejects.toMatchObject({ status: 405 });
  });
});
