/** Whole nodes as processes, each with a state directory of its own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parsePolicy, type Policy } from "@countersign/attestation";
import { connect, type Connection } from "@countersign/client";
import { nativePrimitives } from "@countersign/protocol/native";
import { parseEvent } from "../client/cli/node-process.ts";
import { HOST_PROGRAM } from "../client/cli/paths.ts";
import { encodePolicy } from "../client/cli/policies.ts";
import { startProgram } from "../client/cli/process.ts";
import { developmentPolicy } from "../client/cli/simulation.ts";

const PLAIN_PROGRAM = fileURLToPath(new URL("plain-node.ts", import.meta.url));
const STOP_GRACE_MS = 15_000;

export interface BenchNode {
  readonly url: string;
  /** Of the host; the enclave is its only child. */
  readonly pid: number;
  stop(): Promise<void>;
}

export interface SecureNode extends BenchNode {
  readonly policy: Policy;
}

/** The node as it is shipped: host/main.ts, and enclave/simulated.ts below it. */
export async function startSecureNode(models: string): Promise<SecureNode> {
  const state = await mkdtemp(join(tmpdir(), "cs-bench-"));
  const policy = parsePolicy(encodePolicy(await developmentPolicy(state, models, Date.now())));
  return { ...(await startHost(HOST_PROGRAM, [], models, state)), policy };
}

/** The same host before the same app, which it reaches in the clear at `target`. */
export async function startPlainNode(models: string, target: string): Promise<BenchNode> {
  const state = await mkdtemp(join(tmpdir(), "cs-bench-"));
  return startHost(PLAIN_PROGRAM, [target], models, state);
}

/** As the command line connects: the library, with this runtime's own cryptography. */
export function connectTo(
  node: SecureNode,
  fetch?: (input: string | URL | Request, init?: RequestInit) => Promise<Response>,
): Promise<Connection> {
  const { policy, url } = node;
  const own = fetch === undefined ? {} : { fetch };
  return connect(url, { policy, primitives: nativePrimitives, ...own });
}

async function startHost(
  program: string,
  first: readonly string[],
  models: string,
  state: string,
): Promise<BenchNode> {
  const listening = Promise.withResolvers<string>();
  const said: string[] = [];
  const words = [...first, "--models", models, "--state", state, "--listen", "127.0.0.1:0"];
  const host = startProgram(
    program,
    words,
    {
      stdout(line) {
        const event = parseEvent(line);
        if (event?.event === "listening" && typeof event["url"] === "string") {
          listening.resolve(event["url"]);
        }
      },
      stderr: (line) => said.push(line),
    },
    "tied",
  );
  const url = await Promise.race([listening.promise, host.ended]);
  if (typeof url !== "string") throw new Error(`${program} did not start: ${said.join("; ")}`);
  return {
    url,
    pid: host.pid,
    async stop() {
      await host.stop("SIGTERM", STOP_GRACE_MS);
      await rm(state, { recursive: true, force: true });
    },
  };
}
