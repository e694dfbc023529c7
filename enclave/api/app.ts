import { encodeHex } from "@countersign/attestation/attester";
import { type Context, Hono } from "hono";
import { type Clock, systemClock } from "../clock.ts";
import type { TensorInfo } from "../engine/datatypes.ts";
import { EnclaveError } from "../errors.ts";
import type { AppBindings } from "../exchange-record.ts";
import type { JsonObject, ModelMetadata } from "../models/metadata.ts";
import type { ServedModel, ServedModels } from "../models/served.ts";
import type { EmbeddingModel, TextModel } from "../text/model.ts";
import { readBody } from "./body.ts";
import { parseInferRequest } from "./infer-request.ts";
import { inferResponse } from "./infer-response.ts";
import { isOpenAiPath, mountOpenAi } from "./openai/endpoints.ts";
import { openAiRefusal } from "./openai/refusals.ts";
import { JSON_TYPE, refusal } from "./refusals.ts";

/** The same as in package.json; a test compares them. */
const VERSION = "0.1.0";
const SERVER = { name: "countersign", version: VERSION, extensions: ["binary_tensor_data"] };
const PLATFORM = "onnxruntime_onnx";

export type App = Hono<{ Bindings: AppBindings }>;
type AppContext = Context<{ Bindings: AppBindings }>;
type AnyModel = ServedModel | TextModel | EmbeddingModel;

/**
 * The API inside the encryption: KServe's Open Inference Protocol v2 over the served models, and
 * OpenAI's API over those of text.
 *
 * A plain Hono app that knows nothing of keys. `app.fetch(request, bindings)` answers every request,
 * refusals included, and tells the ring which model it was about.
 */
export function createApp(models: ServedModels, clock: Clock = systemClock): App {
  const app: App = new Hono();
  const find = (c: AppContext): ServedModel => requireTensors(findModel(models, c));

  get(app, "/v2", () => json(SERVER));
  get(app, "/v2/health/live", () => json({ live: true }));
  get(app, "/v2/health/ready", () => readiness(models, {}));
  for (const path of ["/v2/models/:model", "/v2/models/:model/versions/:version"]) {
    get(app, path, (c) => json(modelMetadata(models, findModel(models, c))));
    get(app, `${path}/ready`, (c) => readiness(models, { name: findModel(models, c).ref.id }));
    app.post(`${path}/infer`, (c) => infer(models, find(c), c.req.raw));
    app.all(`${path}/infer`, () => wrongMethod("POST"));
  }
  mountOpenAi(app, models, clock);
  app.notFound((c) => refuse(c, new EnclaveError("request/path", "there is nothing at this path")));
  app.onError((error, c) => refuse(c, error));
  return app;
}

/** In the form of the API whose path it is. */
function refuse(c: AppContext, error: unknown): Response {
  return isOpenAiPath(c.req.path) ? openAiRefusal(error) : refusal(error);
}

/** Adds a resource that is only read; Hono answers HEAD from GET. */
function get(app: App, path: string, handler: (c: AppContext) => Response): void {
  app.get(path, handler);
  app.all(path, () => wrongMethod("GET, HEAD"));
}

async function infer(
  models: ServedModels,
  model: ServedModel,
  request: Request,
): Promise<Response> {
  const body = await readBody(request, models.maxRequestBytes);
  const wanted = parseInferRequest(model, body, models.maxRequestBytes);
  const indexes = wanted.outputs.map(({ index }) => index);
  const tensors = await models.infer(model, wanted.feeds, indexes, request.signal);
  return inferResponse(model, wanted, tensors);
}

/** The model that the path names; the receipt will name it, whatever becomes of the request. */
function findModel(models: ServedModels, c: AppContext): AnyModel {
  const id = c.req.param("model") ?? "";
  const version = c.req.param("version") ?? null;
  const model = models.lookup(id, version) ?? models.text(id, version);
  if (model === null) throw new EnclaveError("model/unknown", "no such model or version is loaded");
  c.env.exchange.model = model.ref;
  return model;
}

/** @throws {@link EnclaveError} `request/unsupported` for a model of text. */
function requireTensors(model: AnyModel): ServedModel {
  if (!("kind" in model)) return model;
  throw new EnclaveError("request/unsupported", "this is a model of text: ask it at /v1", {
    param: "model",
  });
}

function readiness(models: ServedModels, about: { readonly name?: string }): Response {
  const ready = models.ready();
  return json({ ...about, ready }, ready ? 200 : 503);
}

/** The model metadata response JSON object. A model of text has no tensors that a client may send. */
function modelMetadata(models: ServedModels, model: AnyModel): JsonObject {
  const { ref } = model;
  const about = { name: ref.id, versions: models.versions(ref.id) };
  const parameters = { version: ref.version, digest: encodeHex(ref.digest) };
  if ("kind" in model) {
    const kind = { kind: model.kind, api: "openai" };
    return {
      ...about,
      platform: PLATFORM,
      inputs: [],
      outputs: [],
      parameters: { ...parameters, ...kind },
    };
  }
  const { inputs, outputs, metadata } = model;
  return {
    ...about,
    platform: PLATFORM,
    inputs: inputs.map((info) => tensorMetadata(info, metadata.inputs)),
    outputs: outputs.map((info) => tensorMetadata(info, metadata.outputs)),
    parameters: {
      ...parameters,
      ...(metadata.description === null ? {} : { description: metadata.description }),
      ...(metadata.license === null ? {} : { license: metadata.license }),
    },
  };
}

function tensorMetadata(info: TensorInfo, parameters: ModelMetadata["inputs"]): JsonObject {
  const { name, datatype, shape } = info;
  const own = parameters.get(name);
  return { name, datatype, shape, ...(own === undefined ? {} : { parameters: own }) };
}

function json(value: JsonObject, status = 200): Response {
  return new Response(JSON.stringify(value), { status, headers: { "content-type": JSON_TYPE } });
}

function wrongMethod(allow: string): Response {
  const response = refusal(new EnclaveError("request/method", `this path takes ${allow}`));
  response.headers.set("allow", allow);
  return response;
}
