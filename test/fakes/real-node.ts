/** A real node, host and enclave as processes, over models given as files, and a real client of it. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parsePolicy } from "@countersign/attestation";
import { connect, type Connection } from "@countersign/client";
import { nativePrimitives } from "@countersign/protocol/native";
import { startNode } from "../../client/cli/node-process.ts";
import { encodePolicy } from "../../client/cli/policies.ts";
import { developmentPolicy } from "../../client/cli/simulation.ts";
import type { TestModel } from "./served.ts";

export interface RealNode {
  readonly url: string;
  /** A file with the policy that accepts it. */
  readonly policyPath: string;
  readonly connection: Connection;
  close(): Promise<void>;
}

/** Starts `countersign node --models` on a repository of these models, and connects to it. */
export async function startRealNode(models: readonly TestModel[]): Promise<RealNode> {
  const root = await mkdtemp(join(tmpdir(), "countersign-node-"));
  const repository = join(root, "models");
  for (const { id, version = "1", files } of models) {
    for (const [path, bytes] of Object.entries(files)) {
      const target = join(repository, id, version, path);
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, bytes);
    }
  }
  const state = join(root, "state");
  const encodedPolicy = encodePolicy(await developmentPolicy(state, repository, Date.now()));
  const policyPath = join(root, "policy.json");
  await writeFile(policyPath, encodedPolicy);
  const policy = parsePolicy(encodedPolicy);
  const errors: string[] = [];
  const node = await startNode(
    ["--models", repository, "--state", state, "--listen", "127.0.0.1:0"],
    { event: () => undefined, error: (line) => errors.push(line) },
  );
  const close = async (): Promise<void> => {
    await node.stop();
    await rm(root, { recursive: true, force: true });
    if (errors.length > 0) throw new Error(`the node complained: ${errors.join("; ")}`);
  };
  try {
    return {
      url: node.url,
      policyPath,
      connection: await connect(node.url, { policy, primitives: nativePrimitives }),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
