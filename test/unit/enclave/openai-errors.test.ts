/** Refusals under /v1, in OpenAI's form and as the official client's errors. */
import {
  BadRequestError,
  InternalServerError,
  NotFoundError,
  type OpenAI,
  RateLimitError,
} from "openai";
import { describe, expect, it } from "vitest";
import { EnclaveError, type RequestErrorCode } from "../../../enclave/errors.ts";
import { openAiApp } from "../../fakes/openai-app.ts";
import { createFakeText } from "../../fakes/text-model.ts";

const HELLO = [{ role: "user" as const, content: "Hello" }];

function clientWith(code: RequestErrorCode): OpenAI {
  const refusal = new EnclaveError(code, "as the script says");
  return openAiApp([createFakeText({ script: () => [], refusal }).model]).client;
}

describe("what the engine refuses", () => {
  it.each([
    ["prompt/too-long", BadRequestError, 400, "invalid_request_error", "messages"],
    ["constraint/schema", BadRequestError, 400, "invalid_request_error", null],
    ["memory/full", RateLimitError, 429, "rate_limit_error", null],
    ["queue/full", RateLimitError, 429, "rate_limit_error", null],
    ["inference/failed", InternalServerError, 500, "server_error", null],
    ["engine/closed", InternalServerError, 503, "server_error", null],
    ["inference/timeout", InternalServerError, 504, "server_error", null],
  ] as const)("%s", async (code, type, status, kind, param) => {
    for (const stream of [false, true]) {
      const asked = clientWith(code).chat.completions.create({
        model: "fake",
        messages: HELLO,
        stream,
      });
      const error: unknown = await asked.then(
        () => null,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(type);
      expect(error).toMatchObject({ status, code, type: kind, param });
    }
  });

  it("asks to try again later where that helps", async () => {
    for (const [code, expected] of [
      ["queue/full", "1"],
      ["engine/closed", "1"],
      ["inference/failed", null],
    ] as const) {
      const refusal = new EnclaveError(code, "x");
      const app = openAiApp([createFakeText({ script: () => [], refusal }).model]);
      const { headers } = await app.post("/v1/chat/completions", {
        model: "fake",
        messages: HELLO,
      });
      expect(headers.get("retry-after")).toBe(expected);
    }
  });

  it("says nothing of an error that is a bug of ours", async () => {
    const fake = createFakeText({
      script: () => {
        throw new TypeError("the secret prompt");
      },
    });
    const app = openAiApp([fake.model]);
    const { status, body } = await app.post("/v1/chat/completions", {
      model: "fake",
      messages: HELLO,
    });
    expect(status).toBe(500);
    expect(body).toEqual({
      error: {
        message: "inference/failed: the request failed",
        type: "server_error",
        param: null,
        code: "inference/failed",
      },
    });
  });
});

describe("requests that are none", () => {
  const app = openAiApp([createFakeText({ script: () => [] }).model]);

  it.each([
    ["GET", "/v1", 404, "request/path"],
    ["GET", "/v1/", 404, "request/path"],
    ["POST", "/v1/responses", 404, "request/path"],
    ["GET", "/v1/chat/completions", 405, "request/method"],
    ["HEAD", "/v1/chat/completions", 405, "request/method"],
    ["PUT", "/v1/completions", 405, "request/method"],
    ["POST", "/v1/models", 405, "request/method"],
    ["POST", "/v1/models/fake", 405, "request/method"],
    ["GET", "/v1/models/other", 404, "model/unknown"],
  ])("%s %s", async (method, path, status, code) => {
    const response = await app.fetch(path, { method });
    expect(response.status).toBe(status);
    if (method === "HEAD") return;
    expect(await response.json()).toMatchObject({ error: { code, type: "invalid_request_error" } });
    expect(response.headers.has("allow")).toBe(status === 405);
  });

  it("leave KServe's paths in KServe's form", async () => {
    for (const path of ["/v2/none", "/", "/v1x"]) {
      const body: unknown = await (await app.fetch(path)).json();
      expect(body).toEqual({
        code: "request/path",
        error: "request/path: there is nothing at this path",
      });
    }
  });

  it("are not found as an error of the official client", async () => {
    await expect(app.client.responses.create({ model: "fake", input: "x" })).rejects.toBeInstanceOf(
      NotFoundError,
    );
  });
});

const utf8 = new TextEncoder();

describe("bodies that are refused", () => {
  const app = openAiApp([createFakeText({ script: () => [] }).model]);
  it.each([
    ["none", "", 400, "request/json"],
    ["half of JSON", '{"model":"fake"', 400, "request/json"],
    ["something after it", '{"model":"fake"} {}', 400, "request/json"],
    ["an array", "[]", 400, "request/structure"],
    ["a member twice", '{"model":"fake","model":"fake"}', 400, "request/structure"],
    [
      "a member twice, spelt otherwise",
      '{"model":"fake","\\u006dodel":"x"}',
      400,
      "request/structure",
    ],
    [
      "a member twice, deep inside",
      '{"model":"fake","metadata":{"b":[{"a":1,"a":2}]}}',
      400,
      "request/structure",
    ],
    ["half a surrogate pair", '{"model":"fake","user":"\\ud800"}', 400, "request/json"],
    ["half a surrogate pair in a name", '{"model":"fake","\\udc00":1}', 400, "request/json"],
    ["too deep", `{"model":${"[".repeat(40)}${"]".repeat(40)}}`, 400, "request/structure"],
    ["too large", `{"model":"${"a".repeat(70_000)}"}`, 413, "request/too-large"],
  ])("%s", async (_, body, status, code) => {
    const answer = await app.post("/v1/chat/completions", body);
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({ error: { code, type: "invalid_request_error" } });
  });

  it("not UTF-8", async () => {
    const body = utf8
      .encode('{"model":"fake","user":"#"}')
      .map((byte) => (byte === 35 ? 0xff : byte));
    const response = await app.fetch("/v1/chat/completions", { method: "POST", body });
    expect(await response.json()).toMatchObject({ error: { code: "request/json" } });
  });

  it("with binary data behind the JSON", async () => {
    const response = await app.fetch("/v1/chat/completions", {
      method: "POST",
      body: "{}..",
      headers: { "inference-header-content-length": "2" },
    });
    expect(await response.json()).toMatchObject({ error: { code: "request/binary" } });
  });

  it("and not what only looks like one of these", async () => {
    const body =
      '{"model":"fake","user":"a \\" , \\"user\\": {","metadata":{"user":"\\ud83c\\udf00"},"messages":[]}';
    const answer = await app.post("/v1/chat/completions", body);
    expect(answer.body).toMatchObject({ error: { param: "messages", code: "request/parameter" } });
  });
});
