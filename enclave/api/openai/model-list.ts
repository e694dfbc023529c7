import { encodeHex, type ModelRef } from "@countersign/attestation/attester";
import { EnclaveError } from "../../errors.ts";
import type { ExchangeRecord } from "../../exchange-record.ts";
import type { ServedModels } from "../../models/served.ts";
import type { EmbeddingModel, TextModel } from "../../text/model.ts";
import { unsupported } from "./members.ts";

type AnyTextModel = TextModel | EmbeddingModel;

/** `id@version`; clients that compare a receipt's model with what they asked for read it so too. */
const WITH_VERSION = /^(.+)@([0-9]+)$/su;

/**
 * The model that a request names, as `id` for its newest version or as `id@version`. The receipt
 * will name it too, whatever becomes of the request.
 *
 * @throws {@link EnclaveError} `model/unknown`, `request/unsupported`.
 */
export function findTextModel(
  models: ServedModels,
  name: string,
  exchange: ExchangeRecord,
): AnyTextModel {
  const [, id = name, version = null] = WITH_VERSION.exec(name) ?? [];
  const model = models.text(id, version);
  if (model !== null) {
    exchange.model = model.ref;
    return model;
  }
  const other = models.lookup(id, version);
  if (other === null) {
    throw new EnclaveError("model/unknown", "no such model or version is loaded", {
      param: "model",
    });
  }
  exchange.model = other.ref;
  throw unsupported("model", "is no model of text: ask it at /v2");
}

/** The list object of GET /v1/models. @param sinceMs - when these models began to be served. */
export function listModels(models: ServedModels, sinceMs: number): object {
  const data = models.texts().map((model) => modelBody(model, nameIn(models, model.ref), sinceMs));
  return { object: "list", data };
}

/** A model object; those of other servers have `id` to `owned_by`. */
export function modelBody(model: AnyTextModel, name: string, sinceMs: number): object {
  const { ref, kind, contextLength } = model;
  return {
    id: name,
    object: "model",
    created: Math.floor(sinceMs / 1000),
    owned_by: "countersign",
    version: ref.version,
    digest: encodeHex(ref.digest),
    kind,
    context_length: contextLength,
    ...(kind === "embedding"
      ? { dimensions: model.dimensions }
      : { chat: model.chat !== null, tools: (model.chat?.tools ?? null) !== null }),
  };
}

/** The newest version goes by its id alone. */
function nameIn(models: ServedModels, { id, version }: ModelRef): string {
  const newest = models.text(id, null);
  return newest?.ref.version === version ? id : `${id}@${version}`;
}
