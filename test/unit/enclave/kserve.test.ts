import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createApp } from "../../../enclave/api/app.ts";
import { refusal } from "../../../enclave/api/refusals.ts";
import { EnclaveError } from "../../../enclave/errors.ts";
import type { ExchangeRecord } from "../../../enclave/exchange-record.ts";
import type { ServedModels } from "../../../enclave/models/served.ts";
import { identityModel, writeModel } from "../../fakes/onnx-proto.ts";
import { appFetch, type AppFetch, loadTestModels, serveTestModels } from "../../fakes/served.ts";

const utf8 = new TextEncoder();
const VERSION_1 = identityModel("FP32", ["batch", 2]);

/** Two inputs and three outputs: a + b, a − b, and how many elements there are. */
const ARITHMETIC = writeModel({
  inputs: [
    { name: "a", datatype: "FP32", shape: ["n"] },
    { name: "b", datatype: "FP32", shape: ["n"] },
  ],
  outputs: [
    { name: "sum", datatype: "FP32", shape: ["n"] },
    { name: "difference", datatype: "FP32", shape: ["n"] },
    { name: "size", datatype: "INT64", shape: [] },
  ],
  nodes: [
    { op: "Add", inputs: ["a", "b"], outputs: ["sum"] },
    { op: "Sub", inputs: ["a", "b"], outputs: ["difference"] },
    { op: "Size", inputs: ["a"], outputs: ["size"] },
  ],
});

const METADATA = {
  description: "Answers its input",
  license: "Apache-2.0",
  inputs: { x: { description: "two numbers" } },
  outputs: { y: { labels: ["left", "right"] } },
};

let served: ServedModels;
let fetch: AppFetch;
let exchange: ExchangeRecord = { model: null, outcome: {} };

beforeAll(async () => {
  const metadata = { "metadata.json": utf8.encode(JSON.stringify(METADATA)) };
  served = await loadTestModels(
    [
      { id: "echo", version: "2", files: { "model.onnx": VERSION_1, ...metadata } },
      { id: "echo", version: "1", files: { "model.onnx": VERSION_1 } },
      { id: "arithmetic", files: { "model.onnx": ARITHMETIC } },
    ],
    { maxRequestBytes: 65_536 },
  );
  fetch = appFetch(createApp(served), (bindings) => {
    exchange = bindings.exchange;
  });
});
afterAll(() => served.close());

const INPUT = { name: "x", datatype: "FP32", shape: [1, 2], data: [0.5, -1] };
const A = { name: "a", datatype: "FP32", shape: [2], data: [5, 7] };
const B = { name: "b", datatype: "FP32", shape: [2], data: [1, 2] };

async function post(model: string, body: unknown): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`/v2/models/${model}/infer`, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  expect(response.headers.get("content-type")).toBe("application/json");
  return { status: response.status, body: await response.json() };
}

async function get(path: string): Promise<{ status: number; body: unknown }> {
  const response = await fetch(path);
  expect(response.headers.get("content-type")).toBe("application/json");
  return { status: response.status, body: await response.json() };
}

/** A refusal in KServe's form, with its code and status. */
const refused = (status: number, code: string): unknown => ({
  status,
  body: { code, error: expect.stringMatching(new RegExp(`^${code}: .+`, "u")) as unknown },
});

describe("metadata and health", () => {
  it("names the server as its package does", async () => {
    const file = new URL("../../../enclave/package.json", import.meta.url);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own package.json
    const { version } = JSON.parse(readFileSync(file, "utf8")) as { version: string };
    expect(await get("/v2")).toEqual({
      status: 200,
      body: { name: "countersign", version, extensions: ["binary_tensor_data"] },
    });
  });

  it("is live and ready", async () => {
    expect(await get("/v2/health/live")).toEqual({ status: 200, body: { live: true } });
    expect(await get("/v2/health/ready")).toEqual({ status: 200, body: { ready: true } });
    const ready = { status: 200, body: { name: "echo", ready: true } };
    expect(await get("/v2/models/echo/ready")).toEqual(ready);
    expect(await get("/v2/models/echo/versions/1/ready")).toEqual(ready);
  });

  it("describes the newest version of a model, with what its file says", async () => {
    const [ref] = served.refs;
    expect(await get("/v2/models/echo")).toEqual({
      status: 200,
      body: {
        name: "echo",
        versions: ["1", "2"],
        platform: "onnxruntime_onnx",
        inputs: [
          {
            name: "x",
            datatype: "FP32",
            shape: [-1, 2],
            parameters: { description: "two numbers" },
          },
        ],
        outputs: [
          {
            name: "y",
            datatype: "FP32",
            shape: [-1, 2],
            parameters: { labels: ["left", "right"] },
          },
        ],
        parameters: {
          version: "2",
          digest: Buffer.from(ref?.digest ?? []).toString("hex"),
          description: "Answers its input",
          license: "Apache-2.0",
        },
      },
    });
    expect(exchange.model).toEqual(ref);
  });

  it("describes another version when it is named", async () => {
    const { body } = await get("/v2/models/echo/versions/1");
    expect(body).toMatchObject({ parameters: { version: "1" } });
    expect(body).toMatchObject({ inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }] });
    expect(exchange.model?.version).toBe("1");
  });

  it("answers HEAD like GET, without a body", async () => {
    const response = await fetch("/v2/models/echo", { method: "HEAD" });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("");
  });
});

describe("inference", () => {
  it("answers every output when none is asked for, and echoes the id", async () => {
    expect(await post("arithmetic", { id: 'request "7"', inputs: [B, A] })).toEqual({
      status: 200,
      body: {
        id: 'request "7"',
        model_name: "arithmetic",
        model_version: "1",
        outputs: [
          { name: "sum", datatype: "FP32", shape: [2], data: [6, 9] },
          { name: "difference", datatype: "FP32", shape: [2], data: [4, 5] },
          { name: "size", datatype: "INT64", shape: [], data: [2] },
        ],
      },
    });
    expect(exchange.model?.id).toBe("arithmetic");
  });

  it("answers the outputs asked for, in that order", async () => {
    const outputs = [{ name: "size" }, { name: "sum" }];
    const { body } = await post("arithmetic", { inputs: [A, B], outputs });
    expect(body).toMatchObject({ outputs: [{ name: "size" }, { name: "sum" }] });
    expect(body).not.toHaveProperty("id");
    const all = await post("arithmetic", { inputs: [A, B], outputs: [] });
    expect(all.body).toMatchObject({ outputs: [{}, {}, {}] });
  });

  it("runs the newest version, or the one that is named", async () => {
    expect((await post("echo", { inputs: [INPUT] })).body).toMatchObject({ model_version: "2" });
    const one = await post("echo/versions/1", { inputs: [INPUT] });
    expect(one.body).toMatchObject({ model_version: "1", outputs: [{ data: [0.5, -1] }] });
    expect(exchange.model?.version).toBe("1");
  });

  it("takes batches of any size where the model leaves it open", async () => {
    for (const n of [1, 3, 500]) {
      const data = Array.from({ length: 2 * n }, (_, i) => i);
      const { body } = await post("echo", { inputs: [{ ...INPUT, shape: [n, 2], data }] });
      expect(body).toMatchObject({ outputs: [{ shape: [n, 2], data }] });
    }
  });

  it("mixes JSON and binary tensors, both ways", async () => {
    const a = { name: "a", datatype: "FP32", shape: [2], parameters: { binary_data_size: 8 } };
    const outputs = [
      { name: "size", parameters: { binary_data: true } },
      { name: "sum", parameters: { binary_data: false } },
      { name: "difference" },
    ];
    const request = { inputs: [B, a], outputs, parameters: { binary_data_output: true } };
    const json = utf8.encode(JSON.stringify(request));
    const tensor = new Uint8Array(Float32Array.of(5, 7).buffer);
    const response = await fetch("/v2/models/arithmetic/infer", {
      method: "POST",
      body: Buffer.concat([json, tensor]),
      headers: { "Inference-Header-Content-Length": String(json.length) },
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/octet-stream");
    const length = Number(response.headers.get("inference-header-content-length"));
    const bytes = new Uint8Array(await response.arrayBuffer());
    expect(JSON.parse(new TextDecoder().decode(bytes.subarray(0, length)))).toEqual({
      model_name: "arithmetic",
      model_version: "1",
      outputs: [
        { name: "size", datatype: "INT64", shape: [], parameters: { binary_data_size: 8 } },
        { name: "sum", datatype: "FP32", shape: [2], data: [6, 9] },
        { name: "difference", datatype: "FP32", shape: [2], parameters: { binary_data_size: 8 } },
      ],
    });
    const binary = bytes.slice(length).buffer;
    expect(new BigInt64Array(binary, 0, 1)[0]).toBe(2n);
    expect([...new Float32Array(binary, 8)]).toEqual([4, 5]);
  });

  it("reads a body that comes in pieces", async () => {
    const bytes = utf8.encode(JSON.stringify({ inputs: [INPUT] }));
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
        controller.close();
      },
    });
    const init = { method: "POST", body, duplex: "half" } as const;
    expect((await fetch("/v2/models/echo/infer", init)).status).toBe(200);
  });
});

describe("refusals", () => {
  it.each([
    ["/", 404, "request/path"],
    ["/v2/", 404, "request/path"],
    ["/v2/models", 404, "request/path"],
    ["/v3/models", 404, "request/path"],
    ["/v2/models/echo/infer/", 404, "request/path"],
    ["/v2/models/none", 404, "model/unknown"],
    ["/v2/models/none/ready", 404, "model/unknown"],
    ["/v2/models/echo/versions/3", 404, "model/unknown"],
    ["/v2/models/echo/versions/01", 404, "model/unknown"],
    ["/v2/models/__proto__", 404, "model/unknown"],
    ["/v2/models/%2e%2e%2fecho", 404, "model/unknown"],
    ["/v2/models/echo/infer", 405, "request/method"],
  ])("GET %s: %i", async (path, status, code) => {
    expect(await get(path)).toEqual(refused(status, code));
    expect(exchange.model).toBeNull();
  });

  it("names the methods that a path takes", async () => {
    for (const path of ["/v2", "/v2/models/echo", "/v2/models/echo/ready", "/v2/health/live"]) {
      const response = await fetch(path, { method: "POST", body: "{}" });
      expect(response.status).toBe(405);
      expect(response.headers.get("allow")).toBe("GET, HEAD");
    }
    const response = await fetch("/v2/models/echo/infer", { method: "PUT", body: "{}" });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("POST");
  });

  it("of an inference still name the model, for the receipt", async () => {
    expect(await post("none", { inputs: [INPUT] })).toEqual(refused(404, "model/unknown"));
    expect(exchange.model).toBeNull();
    expect(await post("echo", "{")).toEqual(refused(400, "request/json"));
    expect(exchange.model).toEqual(served.lookup("echo", null)?.ref);
  });

  it.each<[string, unknown]>([
    ["request/json", ""],
    ["request/json", "{"],
    ["request/json", `{"inputs":[]}x`],
    ["request/structure", []],
    ["request/structure", null],
    ["request/structure", {}],
    ["request/structure", { inputs: {} }],
    ["request/structure", { inputs: [INPUT], output: [] }],
    ["request/structure", { inputs: [INPUT], id: 7 }],
    ["request/structure", { inputs: [INPUT], id: "x".repeat(257) }],
    ["request/structure", { inputs: [INPUT], outputs: {} }],
    ["request/structure", { inputs: [INPUT], outputs: ["y"] }],
    ["request/structure", { inputs: [INPUT], model_name: "other" }],
    ["request/structure", { inputs: [INPUT], model_version: "1" }],
    ["request/structure", { inputs: ["x"] }],
    ["request/structure", { inputs: [{ ...INPUT, name: 1 }] }],
    ["request/structure", { inputs: [{ ...INPUT, shape: "1,2" }] }],
    ["request/structure", { inputs: [{ ...INPUT, datatype: null }] }],
    ["request/structure", { inputs: [{ ...INPUT, data: "0.5" }] }],
    ["request/structure", { inputs: [{ ...INPUT, data: undefined }] }],
    ["request/structure", { inputs: [{ ...INPUT, dtype: "FP32" }] }],
    ["request/structure", { inputs: [{ ...INPUT, parameters: [] }] }],
    ["request/parameter", { inputs: [INPUT], parameters: { sequence_id: 1 } }],
    ["request/parameter", { inputs: [INPUT], parameters: { binary_data_output: 1 } }],
    ["request/parameter", { inputs: [{ ...INPUT, parameters: { shared_memory_region: "a" } }] }],
    [
      "request/parameter",
      { inputs: [INPUT], outputs: [{ name: "y", parameters: { classification: 3 } }] },
    ],
    [
      "request/parameter",
      { inputs: [INPUT], outputs: [{ name: "y", parameters: { binary_data: "yes" } }] },
    ],
    [
      "request/binary",
      { inputs: [{ ...INPUT, data: undefined, parameters: { binary_data_size: 8 } }] },
    ],
    ["input/missing", { inputs: [] }],
    ["input/unknown", { inputs: [INPUT, { ...INPUT, name: "z" }] }],
    ["input/unknown", { inputs: [{ ...INPUT, name: "__proto__" }] }],
    ["input/duplicate", { inputs: [INPUT, INPUT] }],
    ["input/datatype", { inputs: [{ ...INPUT, datatype: "FP64" }] }],
    ["input/datatype", { inputs: [{ ...INPUT, datatype: "fp32" }] }],
    ["input/datatype", { inputs: [{ ...INPUT, datatype: "toString" }] }],
    ["input/shape", { inputs: [{ ...INPUT, shape: [2] }] }],
    ["input/shape", { inputs: [{ ...INPUT, shape: [2, 1] }] }],
    ["input/shape", { inputs: [{ ...INPUT, shape: [1, 2, 1] }] }],
    ["input/shape", { inputs: [{ ...INPUT, shape: [-1, 2] }] }],
    ["input/shape", { inputs: [{ ...INPUT, shape: ["1", 2] }] }],
    ["input/shape", { inputs: [{ ...INPUT, shape: [1e10, 2] }] }],
    ["input/empty", { inputs: [{ ...INPUT, shape: [0, 2], data: [] }] }],
    ["input/length", { inputs: [{ ...INPUT, shape: [2, 2] }] }],
    ["input/length", { inputs: [{ ...INPUT, shape: [1000000000, 2] }] }],
    ["input/value", { inputs: [{ ...INPUT, data: [0.5, null] }] }],
    ["output/unknown", { inputs: [INPUT], outputs: [{ name: "z" }] }],
    ["output/duplicate", { inputs: [INPUT], outputs: [{ name: "y" }, { name: "y" }] }],
  ])("%s: %j", async (code, body) => {
    expect(await post("echo", body)).toEqual(refused(400, code));
  });

  it("of a bad length header", async () => {
    const body = JSON.stringify({ inputs: [INPUT] });
    for (const length of ["-1", "1e2", "x", "", String(body.length + 1), "99999999999"]) {
      const headers = { "inference-header-content-length": length };
      const response = await fetch("/v2/models/echo/infer", { method: "POST", body, headers });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ code: "request/binary" });
    }
  });

  it("of JSON that would keep the parser for many seconds, before it is parsed", async () => {
    const nested = `{"inputs":${"[".repeat(40_000)}`;
    expect(await post("echo", nested)).toEqual(refused(400, "request/structure"));
  });

  it("of a body that is too large, said or sent", async () => {
    const body = " ".repeat(65_537);
    expect(await post("echo", body)).toEqual(refused(413, "request/too-large"));
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(new Uint8Array(1024));
      },
    });
    const init = { method: "POST", body: endless, duplex: "half" } as const;
    expect((await fetch("/v2/models/echo/infer", init)).status).toBe(413);
    const headers = { "content-length": "65537" };
    const said = await fetch("/v2/models/echo/infer", { method: "POST", body: "{}", headers });
    expect(said.status).toBe(413);
  });

  it("never quote what is in a tensor", async () => {
    const secret = "hunter2";
    for (const body of [
      `{"inputs": [{"name":"x","datatype":"FP32","shape":[1,2],"data":["${secret}", 1]}]}`,
      `{"inputs": [{"name":"x","datatype":"FP32","shape":[1,2],"data":[${secret}]}]}`,
    ]) {
      const response = await fetch("/v2/models/echo/infer", { method: "POST", body });
      expect(response.status).toBe(400);
      expect(await response.text()).not.toContain(secret);
    }
  });

  it("of the engine's own say its code, and no more", async () => {
    const unequal = { ...B, shape: [3], data: [1, 2, 3] };
    const answer = await post("arithmetic", { inputs: [A, unequal] });
    expect(answer).toEqual({
      status: 500,
      body: { code: "inference/failed", error: "inference/failed: the model did not run" },
    });
  });

  it("of anything unforeseen say nothing of it", async () => {
    for (const error of [
      new Error("hunter2"),
      new EnclaveError("model/load", "hunter2"),
      "hunter2",
    ]) {
      const response = refusal(error);
      expect(response.status).toBe(500);
      expect(await response.text()).toBe(
        `{"error":"inference/failed: the request failed","code":"inference/failed"}`,
      );
    }
  });
});

describe("a busy or broken engine", () => {
  it("answers 503 when its queue is full, and 504 when a run takes too long", async () => {
    const model = { id: "echo", files: { "model.onnx": VERSION_1 } };
    const app = await serveTestModels([model], { queueLength: 2 });
    const infer = (): Promise<Response> =>
      app.fetch("/v2/models/echo/infer", {
        method: "POST",
        body: JSON.stringify({ inputs: [INPUT] }),
      });
    try {
      const answers = await Promise.all([infer(), infer(), infer(), infer()]);
      expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
        200, 200, 503, 503,
      ]);
      const full = answers.find(({ status }) => status === 503);
      expect(full?.headers.get("retry-after")).toBe("1");
      expect(await full?.json()).toMatchObject({ code: "queue/full" });
    } finally {
      await app.served.close();
    }
    expect(refusal(new EnclaveError("inference/timeout", "")).status).toBe(504);
    expect((await infer()).status).toBe(503);
    expect(await (await app.fetch("/v2/health/ready")).json()).toEqual({ ready: false });
    expect((await app.fetch("/v2/models/echo/ready")).status).toBe(503);
    expect((await app.fetch("/v2/health/live")).status).toBe(200);
  });
});
