/** OpenAI's API over the served models of text: which path does what. */
import type { Context, Hono } from "hono";
import type { Clock } from "../../clock.ts";
import { EnclaveError } from "../../errors.ts";
import type { AppBindings } from "../../exchange-record.ts";
import type { ServedModels } from "../../models/served.ts";
import type { EmbeddingModel, TextModel } from "../../text/model.ts";
import { readBody } from "../body.ts";
import { JSON_TYPE } from "../refusals.ts";
import { type AnswerForm, answerHead, eventBodies, wholeBody } from "./answer.ts";
import { CHAT_FORM } from "./chat-answer.ts";
import { readModelName } from "./chat-members.ts";
import { resolveChat } from "./chat.ts";
import { COMPLETION_FORM } from "./completion-answer.ts";
import { resolveCompletion } from "./completion.ts";
import { embed } from "./embeddings.ts";
import { eventStream } from "./events.ts";
import { newId } from "./ids.ts";
import { parseStrictJson } from "./json.ts";
import { required, requireObject, unsupported } from "./members.ts";
import { findTextModel, listModels, modelBody } from "./model-list.ts";
import { openAiRefusal } from "./refusals.ts";
import { Run } from "./run.ts";
import type { TextWork } from "./work.ts";

/** Every path of OpenAI's API begins so. */
export const OPENAI_PREFIX = "/v1";

const EVENT_STREAM = "text/event-stream";

type App = Hono<{ Bindings: AppBindings }>;
type AppContext = Context<{ Bindings: AppBindings }>;

/** Mounts the API. Refusals under its paths have OpenAI's form, whoever throws them. */
export function mountOpenAi(app: App, models: ServedModels, clock: Clock): void {
  const sinceMs = clock.nowMs();
  const api: Api = { models, clock };
  get(app, `${OPENAI_PREFIX}/models`, () => json(listModels(models, sinceMs)));
  get(app, `${OPENAI_PREFIX}/models/:model`, (c) => {
    const name = c.req.param("model") ?? "";
    return json(modelBody(findTextModel(models, name, c.env.exchange), name, sinceMs));
  });
  post(app, `${OPENAI_PREFIX}/chat/completions`, async (c) => {
    const { body, model } = await open(api, c);
    const work = resolveChat(body, requireGeneration(model));
    return answer(api, c, work, CHAT_FORM, newId("chatcmpl"));
  });
  post(app, `${OPENAI_PREFIX}/completions`, async (c) => {
    const { body, model } = await open(api, c);
    const work = resolveCompletion(body, requireGeneration(model));
    return answer(api, c, work, COMPLETION_FORM, newId("cmpl"));
  });
  post(app, `${OPENAI_PREFIX}/embeddings`, async (c) => {
    const { body, model } = await open(api, c);
    const answered = await embed(body, requireEmbedding(model), c.env.exchange, c.req.raw.signal);
    return json(answered);
  });
}

/** Whether a path is this API's, so that its refusals are too. */
export function isOpenAiPath(path: string): boolean {
  return path === OPENAI_PREFIX || path.startsWith(`${OPENAI_PREFIX}/`);
}

interface Api {
  readonly models: ServedModels;
  readonly clock: Clock;
}

/** The request's body and the model that it names. */
async function open(
  { models }: Api,
  c: AppContext,
): Promise<{ readonly body: unknown; readonly model: TextModel | EmbeddingModel }> {
  const { json: bytes, binary } = await readBody(c.req.raw, models.maxRequestBytes);
  if (binary.length > 0) throw new EnclaveError("request/binary", "this path takes JSON alone");
  const body = parseStrictJson(bytes);
  const name = readModelName(required(requireObject(body, "")["model"] ?? null, "model"), "model");
  return { body, model: findTextModel(models, name, c.env.exchange) };
}

async function answer(
  { models, clock }: Api,
  c: AppContext,
  work: TextWork,
  form: AnswerForm,
  id: string,
): Promise<Response> {
  const run = await Run.start(work, c.env.exchange, c.req.raw.signal);
  const head = answerHead(work, id, models.engine.version, clock.nowMs());
  if (work.delivery.kind === "whole") return json(await wholeBody(form, head, work, run));
  const events = eventStream(run, eventBodies(form, head, work, run), clock);
  return new Response(events, {
    headers: { "content-type": EVENT_STREAM, "cache-control": "no-store" },
  });
}

function requireGeneration(model: TextModel | EmbeddingModel): TextModel {
  if (model.kind === "generation") return model;
  throw unsupported("model", "makes embeddings: use /v1/embeddings");
}

function requireEmbedding(model: TextModel | EmbeddingModel): EmbeddingModel {
  if (model.kind === "embedding") return model;
  throw unsupported("model", "makes text, not embeddings");
}

function get(app: App, path: string, handler: (c: AppContext) => Response): void {
  app.get(path, handler);
  app.all(path, () => wrongMethod("GET, HEAD"));
}

function post(app: App, path: string, handler: (c: AppContext) => Promise<Response>): void {
  app.post(path, handler);
  app.all(path, () => wrongMethod("POST"));
}

function json(value: object): Response {
  return new Response(JSON.stringify(value), { headers: { "content-type": JSON_TYPE } });
}

function wrongMethod(allow: string): Response {
  const response = openAiRefusal(new EnclaveError("request/method", `this path takes ${allow}`));
  response.headers.set("allow", allow);
  return response;
}
