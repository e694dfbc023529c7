/** What the enclave dials its host for: its configuration and its models, and somewhere to tell its log. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { encodeProvisioning, type Provisioning } from "@countersign/protocol";
import type { EnclaveContact } from "./contact.ts";
import type { ServicesAddress } from "./enclave-address.ts";
import {
  INFERENCE_TIMEOUT_MS,
  MAX_SERVICE_CONNECTIONS,
  MAX_INTRA_OP_THREADS,
  QUEUE_LENGTH,
  REPLAY_SLOTS,
} from "./limits.ts";
import { bindServices } from "./services.ts";
import { openModelFile, type StoredFile, type StoredModel } from "./store.ts";

/** What the command line decides of the enclave's configuration. */
export interface ProvisioningChoice {
  readonly epochSeconds: number;
  readonly maxBodyBytes: number;
  readonly cacheBytes: number;
  readonly maxSequences: number;
  /** Of the enclave. */
  readonly cpus: number;
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
      intraOpThreads: Math.min(MAX_INTRA_OP_THREADS, choice.cpus),
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
 * Serves `GET /provisioning`, `GET /models/<id>/<version>/<path>` and `POST /log` at `address`.
 *
 * A path is looked up among the manifests' own; it never reaches the file system.
 *
 * @throws {@link HostError} `socket/path`, `services/vsock`.
 */
export async function serveProvisioning(
  address: ServicesAddress,
  models: readonly StoredModel[],
  choice: ProvisioningChoice,
  contact: EnclaveContact,
): Promise<ProvisionServer> {
  const configuration = encodeProvisioning(provisioningOf(models, choice));
  const files = new Map<string, StoredFile>();
  for (const { id, version, files: stored } of models) {
    for (const file of stored) files.set(`/models/${id}/${version}/${file.path}`, file);
  }
  const sending = { files: 0 };
  // A log is a request that takes as long as its enclave lives.
  const server = createServer({ requestTimeout: 0 }, (incoming, outgoing) => {
    if (incoming.method === "POST" && incoming.url === "/log") {
      contact.take(incoming, outgoing);
      return;
    }
    if (incoming.method === "GET" && incoming.url === "/provisioning") contact.provisioned();
    void serveOne(incoming, outgoing, configuration, files, sending);
  });
  return await bindServices(server, address);
}

async function serveOne(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  configuration: Uint8Array,
  files: ReadonlyMap<string, StoredFile>,
  sending: { files: number },
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
  // Requests may come in one go, and each would open its file before the one before it is out.
  if (sending.files >= MAX_SERVICE_CONNECTIONS) {
    outgoing.writeHead(503).end();
    return;
  }
  sending.files += 1;
  await sendFile(outgoing, stored);
  sending.files -= 1;
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
