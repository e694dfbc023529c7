import type { Connection } from "@countersign/client";

import { CommandError } from "../exit.ts";
import { requireList, requireObject, requireText } from "../model-metadata.ts";
import { requireAnswer } from "../refused.ts";

/** A model that a node says it can talk with. */
export interface ChatModel {
  /** As requests name it. */
  readonly name: string;
  /** Tokens of conversation and answer together; null where the node does not say. */
  readonly contextLength: number | null;
}

const MAX_SHOWN = 8;
const NEXT_STEP = '"countersign model add" fetches one; nodes read their models when they start';

/**
 * The model that is meant: by its name, or the first that can talk.
 *
 * @throws CommandError where the node has none, with those that it has.
 */
export async function chooseModel(node: Connection, asked: string | null): Promise<ChatModel> {
  const models = await listModels(node);
  const found = asked === null ? models[0] : models.find(({ name }) => isNamed(name, asked));
  if (found !== undefined) return asked === null ? found : { ...found, name: asked };
  if (models.length === 0) throw new CommandError("the node has no model to chat with", NEXT_STEP);
  const names = models.slice(0, MAX_SHOWN).map(({ name }) => name);
  throw new CommandError(
    `the node has no model "${asked ?? ""}" to chat with`,
    `it has ${names.join(", ")}${models.length > MAX_SHOWN ? ", …" : ""}`,
  );
}

/** Whether the node lists a model of this name among those of text. */
export async function isTextModel(node: Connection, name: string): Promise<boolean> {
  return (await listModels(node)).some((model) => isNamed(model.name, name));
}

/** `id@version` names a version of a model, also where the list names the newest by its id alone. */
function isNamed(name: string, asked: string): boolean {
  return name === asked || (asked.includes("@") && name === asked.slice(0, asked.lastIndexOf("@")));
}

async function listModels(node: Connection): Promise<readonly ChatModel[]> {
  const listed = await requireAnswer(await node.fetch("/v1/models"), "the list of its models");
  const data = requireList(requireObject(listed, "the list of models")["data"], "data");
  return data.flatMap((value) => {
    const model = requireObject(value, "a model");
    // Another server's list says nothing of kinds: then the model itself will.
    if (model["kind"] === "embedding" || model["chat"] === false) return [];
    const context = model["context_length"];
    const contextLength = typeof context === "number" ? context : null;
    return [{ name: requireText(model["id"], "id of a model"), contextLength }];
  });
}
