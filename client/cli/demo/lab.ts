import { copyFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type Policy, parsePolicy } from "@countersign/attestation";

import { connectNode } from "../connecting.ts";
import { inferRequestBody, sniffInput } from "../input.ts";
import { parseModelMetadata } from "../model-metadata.ts";
import { type RunningNode, startNode } from "../node-process.ts";
import { BUNDLED_MODELS, REPOSITORY } from "../paths.ts";
import { encodePolicy } from "../policies.ts";
import { developmentPolicy, VENDOR_KEY_NAME } from "../simulation.ts";

/** The model that every attack asks for. */
export const MODEL = "digits";
const VERSION = "1";
/** Length of the hasty node's epochs. */
export const HASTY_EPOCH_SECONDS = 1;
const PRIVATE_DIRECTORY = 0o700;

/** Real nodes, two of them honest and two not what the client wants, and the client's side. */
export interface Lab {
  /** The node that the client means to use. */
  readonly honest: string;
  /** A genuine enclave of the same code, which serves other weights under the same name. */
  readonly swapped: string;
  /** The same code and models in an enclave in debug mode. */
  readonly debug: string;
  /** An honest node whose epochs last a second, so that a demonstration need not wait for hours. */
  readonly hasty: string;
  readonly policy: Policy;
  /** Body of a private request: the picture of a seven. */
  readonly body: string;
  close(): Promise<void>;
}

/** Starts the nodes and measures what the client is to trust. @throws CommandError */
export async function openLab(onError: (line: string) => void): Promise<Lab> {
  const root = await mkdtemp(join(tmpdir(), "countersign-demo-"));
  const nodes: RunningNode[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.stop()));
    await rm(root, { recursive: true, force: true });
  };
  const start = async (name: string, models: string, words: readonly string[]): Promise<string> => {
    const state = join(root, name);
    const options = ["--models", models, "--state", state, "--listen", "127.0.0.1:0"];
    const sinks = { event: () => undefined, error: onError };
    const node = await startNode([...options, ...words], sinks);
    nodes.push(node);
    return node.url;
  };
  try {
    // One vendor makes the hardware of all three: their documents have the same root.
    const models = join(root, "models");
    await cp(join(BUNDLED_MODELS, MODEL, VERSION), join(models, MODEL, VERSION), {
      recursive: true,
    });
    const file = await developmentPolicy(join(root, "honest"), models, Date.now());
    const policy = parsePolicy(encodePolicy(file));
    for (const name of ["swapped", "debug", "hasty"]) await shareVendor(root, name);
    const others = join(root, "swapped-models");
    await cp(models, others, { recursive: true });
    await changeOneBit(join(others, MODEL, VERSION, "model.onnx"));
    const started = await Promise.allSettled([
      start("honest", models, []),
      start("swapped", others, []),
      start("debug", models, ["--simulate-debug"]),
      start("hasty", models, ["--epoch-seconds", String(HASTY_EPOCH_SECONDS)]),
    ]);
    const [honest, swapped, debug, hasty] = started.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    });
    if (
      honest === undefined ||
      swapped === undefined ||
      debug === undefined ||
      hasty === undefined
    ) {
      throw new TypeError("four nodes were started");
    }
    const body = await pictureOfSeven(honest, policy);
    return { honest, swapped, debug, hasty, policy, body, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function shareVendor(root: string, name: string): Promise<void> {
  await mkdir(join(root, name), { recursive: true, mode: PRIVATE_DIRECTORY });
  await copyFile(join(root, "honest", VENDOR_KEY_NAME), join(root, name, VENDOR_KEY_NAME));
}

/** Weights are most of a model's file: one bit past its middle is one of them. */
async function changeOneBit(path: string): Promise<void> {
  const bytes = await readFile(path);
  const at = Math.floor(bytes.length * 0.6);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(path, bytes);
}

async function pictureOfSeven(url: string, policy: Policy): Promise<string> {
  const node = await connectNode(url, policy);
  const response = await node.fetch(`/v2/models/${MODEL}`);
  const metadata = parseModelMetadata(await response.json());
  const picture = new Uint8Array(await readFile(join(REPOSITORY, "examples", "seven.png")));
  return inferRequestBody(sniffInput(picture, "examples/seven.png"), metadata);
}
