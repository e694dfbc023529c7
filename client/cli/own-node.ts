import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type Policy, parsePolicy } from "@countersign/attestation";

import { CommandError } from "./exit.ts";
import { NodeStartError, startNode } from "./node-process.ts";
import { encodePolicy } from "./policies.ts";
import { developmentPolicy } from "./simulation.ts";

/** A simulated node of this command alone, and the policy that trusts it. */
export interface OwnNode {
  readonly url: string;
  readonly policy: Policy;
  /** Ends it, and forgets its keys. */
  close(): Promise<void>;
}

/**
 * Starts a node on a free port over the models of `repository`.
 *
 * The policy is made of this checkout's own files, as the quickstart's is. Nothing is asked of the node.
 */
export async function startOwnNode(
  repository: string,
  onError: (line: string) => void,
): Promise<OwnNode> {
  const state = await mkdtemp(join(tmpdir(), "countersign-chat-"));
  const forget = async (): Promise<void> => {
    await rm(state, { recursive: true, force: true });
  };
  try {
    const file = await developmentPolicy(state, repository, Date.now());
    const policy = parsePolicy(encodePolicy(file));
    const words = ["--models", repository, "--state", state, "--listen", "127.0.0.1:0"];
    const node = await startNode(words, { event: () => undefined, error: onError });
    return {
      url: node.url,
      policy,
      async close() {
        await node.stop();
        await forget();
      },
    };
  } catch (error) {
    await forget();
    if (!(error instanceof NodeStartError)) throw error;
    // The host's own exit code says nothing of an answer, which is what the caller's is about.
    throw new CommandError(error.message, 'look at the models: "countersign node" says more');
  }
}
