import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type Policy, parsePolicy } from "@countersign/attestation";

import { CommandError } from "./exit.ts";
import { NodeStartError, startNode } from "./node-process.ts";
import { DEFAULT_STATE, userPath } from "./paths.ts";
import { encodePolicy } from "./policies.ts";
import { developmentPolicy, VENDOR_KEY_NAME } from "./simulation.ts";

/** A simulated node of this command alone, and the policy that trusts it. */
export interface OwnNode {
  readonly url: string;
  readonly policy: Policy;
  /** Ends it, and removes what it had of its own. */
  close(): Promise<void>;
}

/**
 * Starts a node on a free port over the models of `repository`.
 *
 * Its simulated vendor is that of the default state directory, as the quickstart's is, so that a proof of
 * its answers verifies by the policy that lies there when the node is gone. Its own policy is made of this
 * checkout's files. Nothing is asked of the node.
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
    const shared = userPath(DEFAULT_STATE);
    const file = await developmentPolicy(shared, repository, Date.now());
    await copyFile(join(shared, VENDOR_KEY_NAME), join(state, VENDOR_KEY_NAME));
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
