/**
 * Which key services the models of this node need, by the host's copy of the enclave's measured file.
 *
 * The enclave goes by the file it was built with. The host's decides only what it connects to: where
 * the two differ, an enclave does not come through, and nothing else happens.
 */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import {
  type KeyService,
  type KeyServices,
  keyServiceFor,
  parseKeyServices,
  ProtocolError,
} from "@countersign/protocol";
import { HostError, systemCode } from "./errors.ts";
import type { StoredModel } from "./store.ts";

/** What the enclaves of this checkout are built with, unless they are told otherwise. */
const COMMITTED_FILE = fileURLToPath(new URL("../enclave/key-services.json", import.meta.url));

/** The services that the models need, each once; none where no model is sealed. */
export type NeededKeyServices = readonly KeyService[];

/**
 * Finds a service for the key of every sealed model.
 *
 * @param file - null: the committed one. One that is named is read whether or not it is needed.
 * @throws {@link HostError} `keys/services`.
 */
export async function neededKeyServices(
  file: string | null,
  models: readonly StoredModel[],
): Promise<NeededKeyServices> {
  const sealed = models.some(({ envelope }) => envelope !== null);
  if (!sealed && file === null) return [];
  const path = file ?? COMMITTED_FILE;
  const services = await readServices(path);
  const needed = new Map<string, KeyService>();
  for (const model of models) {
    const service = serviceFor(services, model, path);
    if (service !== null) needed.set(`${service.kind} ${service.url}`, service);
  }
  return [...needed.values()];
}

async function readServices(path: string): Promise<KeyServices> {
  const bytes = await readFile(path).catch((error: unknown) => {
    const found = systemCode(error) ?? "error";
    throw new HostError("keys/services", `cannot read ${path}: ${found}`, { cause: error });
  });
  try {
    return parseKeyServices(bytes);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new HostError("keys/services", `${path}: ${error.message}`, { cause: error });
  }
}

function serviceFor(services: KeyServices, model: StoredModel, path: string): KeyService | null {
  if (model.envelope === null) return null;
  const { kind, key } = model.envelope;
  try {
    return keyServiceFor(services, model.envelope);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const advice =
      "name the file that its enclave was built with, or that names a service for it, by --key-services";
    throw new HostError(
      "keys/services",
      `${path} has no service for ${model.id}/${model.version}, sealed by ${kind} key ${key}: ${advice}`,
      { cause: error },
    );
  }
}
