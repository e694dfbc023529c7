/**
 * What the enclave dials its host for: its configuration and its models, a way to its key services, and
 * somewhere to tell its log.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { encodeProvisioning, type Provisioning } from "@countersign/protocol";
import type { EnclaveContact } from "./contact.ts";
import { type CredentialChain, CredentialSource } from "./credentials.ts";
import type { ServicesAddress } from "./enclave-address.ts";
import type { NeededKeyServices } from "./key-services.ts";
import {
  INFERENCE_TIMEOUT_MS,
  MAX_SERVICE_CONNECTIONS,
  MAX_INTRA_OP_THREADS,
  QUEUE_LENGTH,
  REPLAY_SLOTS,
} from "./limits.ts";
import type { Log } from "./log.ts";
import { bindServices } from "./services.ts";
import type { StoredModel } from "./store.ts";
import { Tunnels, TUNNEL_TIMING } from "./tunnel.ts";
import { openModelFile, type StoredFile } from "./version-files.ts";

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
    models: models.map(({ id, version, digest, manifest, envelope }) => {
      return { id, version, digest, manifest, envelope: envelope?.bytes ?? null };
    }),
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

/** How an enclave comes to the keys of sealed models. */
export interface KeyAccess {
  readonly tunnels: Tunnels;
  /** Null where no model needs AWS: there is nothing that they would be for. */
  readonly credentials: CredentialSource | null;
}

/** The way to `services`, and to no others. */
export function keyAccess(
  services: NeededKeyServices,
  chain: CredentialChain,
  log: Log,
): KeyAccess {
  const aws = services.some(({ kind }) => kind === "aws-kms");
  return {
    tunnels: new Tunnels(services, log, TUNNEL_TIMING),
    credentials: aws ? new CredentialSource(chain, Date.now, log) : null,
  };
}

/** A listening provision server. */
export interface ProvisionServer {
  close(): Promise<void>;
}

/**
 * Serves `GET /provisioning`, `GET /models/<id>/<version>/<path>`, `GET /credentials`, `POST /log` and
 * `CONNECT host:port` at `address`.
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
  keys: KeyAccess,
): Promise<ProvisionServer> {
  const files = new Map<string, StoredFile>();
  for (const { id, version, files: stored } of models) {
    for (const file of stored) files.set(`/models/${id}/${version}/${file.path}`, file);
  }
  const configuration = encodeProvisioning(provisioningOf(models, choice));
  const offer = { configuration, files, keys, sending: { files: 0 } };
  const ends = new ConnectionEnds();
  // A log is a request that takes as long as its enclave lives.
  const server = createServer({ requestTimeout: 0 }, (incoming, outgoing) => {
    const end = ends.of(incoming.socket);
    if (incoming.method === "POST" && incoming.url === "/log") {
      contact.take(incoming, outgoing);
      return;
    }
    if (incoming.method === "GET" && incoming.url === "/provisioning") contact.provisioned();
    void serveOne(incoming, outgoing, offer, end);
  });
  server.on("connect", (incoming, connection, head) => {
    // Answers that are still due would come in the midst of the tunnel.
    if (ends.has(connection)) connection.destroy();
    else keys.tunnels.take(incoming, connection, head);
  });
  const bound = await bindServices(server, address);
  return {
    async close() {
      // The server waits for connections that are not its own any more.
      keys.tunnels.close();
      await bound.close();
    },
  };
}

/**
 * The ends of connections on which something was asked for. Of answers that wait for one before them, Node
 * itself ends none with a connection that a CONNECT has taken over.
 */
class ConnectionEnds {
  readonly #signals = new WeakMap<Duplex, AbortSignal>();

  has(connection: Duplex): boolean {
    return this.#signals.has(connection);
  }

  of(connection: Duplex): AbortSignal {
    const known = this.#signals.get(connection);
    if (known !== undefined) return known;
    const controller = new AbortController();
    connection.once("close", () => {
      controller.abort();
    });
    this.#signals.set(connection, controller.signal);
    return controller.signal;
  }
}

interface Offer {
  readonly configuration: Uint8Array;
  readonly files: ReadonlyMap<string, StoredFile>;
  readonly keys: KeyAccess;
  readonly sending: { files: number };
}

async function serveOne(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { configuration, files, keys, sending }: Offer,
  end: AbortSignal,
): Promise<void> {
  const path = decodePath(incoming.url ?? "");
  if (incoming.method !== "GET" || path === null) {
    outgoing.writeHead(400).end();
    return;
  }
  if (path === "/provisioning") {
    sendBytes(outgoing, "application/cbor", configuration);
    return;
  }
  if (path === "/credentials") {
    await sendCredentials(outgoing, keys.credentials);
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
  await sendFile(outgoing, stored, end);
  sending.files -= 1;
}

function sendBytes(outgoing: ServerResponse, type: string, bytes: Uint8Array): void {
  outgoing.writeHead(200, { "content-type": type, "content-length": bytes.length });
  outgoing.end(bytes);
}

async function sendCredentials(
  outgoing: ServerResponse,
  credentials: CredentialSource | null,
): Promise<void> {
  if (credentials === null) {
    outgoing.writeHead(404).end();
    return;
  }
  const found = await credentials.take();
  outgoing.setHeader("cache-control", "no-store");
  if ("why" in found) {
    outgoing.writeHead(503).end();
    return;
  }
  sendBytes(outgoing, "application/json", Buffer.from(JSON.stringify(found)));
}

/** Sends the file as long as its manifest says. What it holds is for the enclave to judge. */
async function sendFile(
  outgoing: ServerResponse,
  stored: StoredFile,
  signal: AbortSignal,
): Promise<void> {
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
      await pipeline(source, outgoing, { signal });
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
