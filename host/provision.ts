/** What the enclave reads at boot, over a Unix socket of its own: its configuration and its models. */
import { chmod } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { availableParallelism } from "node:os";
import { pipeline } from "node:stream/promises";
import { encodeProvisioning, type Provisioning } from "@countersign/protocol";
import { HostError, systemCode } from "./errors.ts";
import {
  INFERENCE_TIMEOUT_MS,
  MAX_INTRA_OP_THREADS,
  QUEUE_LENGTH,
  REPLAY_SLOTS,
} from "./limits.ts";
import { openModelFile, type StoredFile, type StoredModel } from "./store.ts";

/** What the command line decides of the enclave's configuration. */
export interface ProvisioningChoice {
  readonly epochSeconds: number;
  readonly maxBodyBytes: number;
  readonly cacheBytes: number;
  readonly maxSequences: number;
}

/** The boot configuration: every model of the store, and the limits. */
export function provisioningOf(
  models: readonly StoredModel[],
  choice: ProvisioningChoice,
): Provisioning {
  return {
    models: models.map(({ id, version, digest, manifest }) => ({ id, version, digest, manifest })),
    limits: {
      maxRequestBytes: choice.maxBodyBytes,
      queueLength: QUEUE_LENGTH,
      epochSeconds: choice.epochSeconds,
      // Accepted for twice as long as it is advertised.
      epochOverlapSeconds: choice.epochSeconds,
      inferenceTimeoutMs: INFERENCE_TIMEOUT_MS,
      replaySlots: REPLAY_SLOTS,
      intraOpThreads: Math.min(MAX_INTRA_OP_THREADS, availableParallelism()),
      cacheBytes: choice.cacheBytes,
      maxSequences: choice.maxSequences,
    },
  };
}

/** A listening provision server. */
export interface ProvisionServer {
  close(): Promise<void>;
}

/**
 * Serves `GET /provisioning` and `GET /models/<id>/<version>/<path>` at `socketPath`, mode 0600.
 *
 * A path is looked up among the manifests' own; it never reaches the file system.
 */
export async function serveProvisioning(
  socketPath: string,
  models: readonly StoredModel[],
  choice: ProvisioningChoice,
): Promise<ProvisionServer> {
  const configuration = encodeProvisioning(provisioningOf(models, choice));
  const files = new Map<string, StoredFile>();
  for (const { id, version, files: stored } of models) {
    for (const file of stored) files.set(`/models/${id}/${version}/${file.path}`, file);
  }
  const server = createServer((incoming, outgoing) => {
    void serveOne(incoming, outgoing, configuration, files);
  });
  await listenPrivately(server, socketPath);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

async function serveOne(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  configuration: Uint8Array,
  files: ReadonlyMap<string, StoredFile>,
): Promise<void> {
  const path = decodePath(incoming.url ?? "");
  if (incoming.method !== "GET" || path === null) {
    outgoing.writeHead(400).end();
    return;
  }
  if (path === "/provisioning") {
    outgoing.writeHead(200, {
      "content-type": "application/cbor",
      "content-length": configuration.length,
    });
    outgoing.end(configuration);
    return;
  }
  const stored = files.get(path);
  if (stored === undefined) {
    outgoing.writeHead(404).end();
    return;
  }
  await sendFile(outgoing, stored);
}

/** Sends the file as long as its manifest says. What it holds is for the enclave to judge. */
async function sendFile(outgoing: ServerResponse, stored: StoredFile): Promise<void> {
  try {
    const handle = await openModelFile(stored);
    try {
      outgoing.writeHead(200, {
        "content-type": "application/octet-stream",
        "content-length": stored.size,
      });
      if (stored.size === 0) {
        outgoing.end();
        return;
      }
      const end = stored.size - 1;
      const source = handle.createReadStream({ start: 0, end, autoClose: false });
      await pipeline(source, outgoing);
    } finally {
      await handle.close();
    }
  } catch {
    // The enclave sees a broken body or a 500, and says which file it was.
    if (outgoing.headersSent) outgoing.destroy();
    else outgoing.writeHead(500).end();
  }
}

function decodePath(url: string): string | null {
  try {
    return decodeURIComponent(url);
  } catch {
    return null;
  }
}

async function listenPrivately(server: Server, socketPath: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      const found = `cannot listen at ${socketPath}: ${systemCode(error) ?? "error"}`;
      reject(new HostError("socket/path", found, { cause: error }));
    });
    server.listen(socketPath, resolve);
  });
  // Its directory is 0700 already; this is the second bolt.
  await chmod(socketPath, 0o600);
}
