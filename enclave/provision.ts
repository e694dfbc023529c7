/** What the enclave fetches from its host at boot. Nothing of it is trusted: see models/load.ts. */
import { parseProvisioning, type Provisioning } from "@countersign/protocol";
import { type IncomingMessage, request } from "node:http";
import { EnclaveError } from "./errors.ts";
import type { Transport } from "./transport.ts";

/** The profile of protocol/provisioning.ts takes no more. */
const MAX_PROVISIONING_BYTES = 16_777_216;
/** The host has this long to answer, and between two pieces of an answer. */
const IDLE_TIMEOUT_MS = 60_000;
const HOST_NAME = "host";

/** The face of the host during boot. */
export interface Provisioner {
  /** @throws EnclaveError `provision/…`, ProtocolError `provisioning/…`. */
  fetchProvisioning(): Promise<Provisioning>;
  /** Streams one file of a model. The host may send anything. @throws EnclaveError `provision/…`. */
  fetchModelFile(id: string, version: string, path: string): AsyncIterable<Uint8Array>;
}

export function provisioner(transport: Transport): Provisioner {
  return {
    async fetchProvisioning() {
      const pieces: Uint8Array[] = [];
      let length = 0;
      for await (const piece of get(transport, "/provisioning")) {
        length += piece.length;
        if (length > MAX_PROVISIONING_BYTES) {
          throw new EnclaveError(
            "provision/too-large",
            `more than ${MAX_PROVISIONING_BYTES} bytes`,
          );
        }
        pieces.push(piece);
      }
      return parseProvisioning(new Uint8Array(Buffer.concat(pieces)));
    },
    fetchModelFile(id, version, path) {
      const segments = ["models", id, version, ...path.split("/")];
      return get(transport, `/${segments.map(encodeURIComponent).join("/")}`);
    },
  };
}

/** The body of a 200 answer, whole or an error: node:http fails a body that is cut short. */
async function* get(transport: Transport, path: string): AsyncGenerator<Uint8Array, void, void> {
  const response = await fetchHead(transport, path);
  try {
    if (response.statusCode !== 200) {
      throw new EnclaveError("provision/status", `${path}: status ${response.statusCode ?? 0}`);
    }
    for await (const piece of bytesOf(response)) yield piece;
  } catch (cause) {
    if (cause instanceof EnclaveError) throw cause;
    throw new EnclaveError("provision/unreachable", `${path}: the answer is cut short`, { cause });
  } finally {
    response.destroy();
  }
}

/** `IncomingMessage` yields buffers, as no encoding is set; its type says `any`. */
function bytesOf(response: IncomingMessage): AsyncIterable<Uint8Array> {
  return response;
}

function fetchHead(transport: Transport, path: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // Without an agent: one connection a request, made by the transport.
    const outgoing = request({
      createConnection: () => transport.dial(),
      host: HOST_NAME,
      path,
      timeout: IDLE_TIMEOUT_MS,
    });
    outgoing.once("response", resolve);
    outgoing.once("timeout", () => {
      outgoing.destroy(new EnclaveError("provision/unreachable", `${path}: the host is silent`));
    });
    outgoing.on("error", (cause) => {
      reject(
        cause instanceof EnclaveError
          ? cause
          : new EnclaveError("provision/unreachable", `${path}: no answer`, { cause }),
      );
    });
    outgoing.end();
  });
}
