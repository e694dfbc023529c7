import { describe, expect, it } from "vitest";
import { askedModel, modelOfPath } from "@countersign/attestation";

describe("the model that a path names", () => {
  it.each([
    ["/v2/models/digits/infer", { id: "digits", version: null }],
    ["/v2/models/digits/infer?trace=1", { id: "digits", version: null }],
    ["/v2/models/digits/versions/3/infer", { id: "digits", version: "3" }],
    ["/v2/models/a%2Eb/versions/%33/infer", { id: "a.b", version: "3" }],
    ["/v2/models/%zz/infer", { id: "%zz", version: null }],
    ["/v2/models/digits", null],
    ["/v2/models/digits/versions/3/ready", null],
    ["/v2", null],
  ])("%s", (path, asked) => {
    expect(modelOfPath(path)).toEqual(asked);
  });
});

describe("a path with escapes that it does not need", () => {
  const body = [new Uint8Array(Buffer.from('{"model":"small"}'))];
  it.each([
    ["/v1/chat/%63ompletions", { id: "small", version: null }],
    ["/%76%31/embedding%73?x=%79", { id: "small", version: null }],
    ["/v2/m%6Fdels/digits/%69nfer", { id: "digits", version: null }],
    ["/v2/models/%2541/infer", { id: "%41", version: null }],
    ["/v1/chat%2Fcompletions", null],
    ["/v1/chat/completions%3Fx", null],
  ])("is the same path: %s", (path, asked) => {
    expect(askedModel(path, body)).toEqual(asked);
  });
});

describe("the model that a body names", () => {
  const asked = (body: string | readonly string[], path = "/v1/chat/completions"): unknown => {
    const chunks = typeof body === "string" ? [body] : body;
    return askedModel(
      path,
      chunks.map((chunk) => new Uint8Array(Buffer.from(chunk, "latin1"))),
    );
  };

  it.each([
    ["an id", '{"model":"small"}', { id: "small", version: null }],
    ["id and version", '{"model":"small@12"}', { id: "small", version: "12" }],
    ["an id with @", '{"model":"a@b"}', { id: "a@b", version: null }],
    ["an id with @ and a version", '{"model":"a@b@3"}', { id: "a@b", version: "3" }],
    ["nothing before the @", '{"model":"@3"}', { id: "@3", version: null }],
    ["nothing behind it", '{"model":"a@"}', { id: "a@", version: null }],
    [
      "a model twice: the last, as every parser of JSON",
      '{"model":"a","model":"b"}',
      { id: "b", version: null },
    ],
    ["an escape", '{"mod\\u0065l":"\\u0061"}', { id: "a", version: null }],
    ["a byte order mark", '\xef\xbb\xbf{"model":"a"}', { id: "a", version: null }],
    ["no model", '{"prompt":"x"}', null],
    ["a model that is no text", '{"model":{"id":"a"}}', null],
    ["a model further in", '{"x":{"model":"a"}}', null],
    ["a list", '["model"]', null],
    ["null", "null", null],
    ["no JSON", '{"model":"a"', null],
    ["no UTF-8", '{"model":"\xff"}', null],
    ["no content", "", null],
  ])("%s", (_what, body, model) => {
    expect(asked(body)).toEqual(model);
  });

  it("is read across content chunks, and whatever the query", () => {
    const model = { id: "small", version: null };
    expect(asked(['{"mod', 'el":"sm', 'all"}'])).toEqual(model);
    expect(asked('{"model":"small"}', "/v1/embeddings?a=b")).toEqual(model);
    expect(asked('{"model":"small"}', "/v1/completions")).toEqual(model);
  });

  it("is none of other paths", () => {
    for (const path of ["/v1/models", "/v1/chat/completions/", "/v1", "/v2/models/a/ready"]) {
      expect(asked('{"model":"small"}', path)).toBeNull();
    }
    expect(asked('{"model":"small"}', "/v2/models/a/infer")).toEqual({ id: "a", version: null });
  });

  it("is not looked for in a body beyond the limit", () => {
    const filler = `{"model":"a","x":"${" ".repeat(32 * 1024 * 1024)}"}`;
    expect(asked(filler)).toBeNull();
  });
});
