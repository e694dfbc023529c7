import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as a relay sees it: all of it, but none of what is encrypted. */
export interface RelayRequest {
  readonly method: string;
  readonly path: string;
  readonly mediaType: string;
  readonly body: Uint8Array;
}

export interface RelayAnswer {
  readonly status: number;
  readonly mediaType: string;
  readonly body: Uint8Array;
}

/** What a relay does with a request. An honest one returns `forward(node, request)`. */
export type Behaviour = (request: RelayRequest) => Promise<RelayAnswer>;

/** An HTTP relay on a port of its own. */
export interface Relay {
  readonly url: string;
  close(): Promise<void>;
}

/** Listens on this machine and answers every request as `behaviour` does. */
export async function startRelay(behaviour: Behaviour): Promise<Relay> {
  const server = createServer((incoming, outgoing) => {
    void answer(incoming, outgoing, behaviour);
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server has such an address
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      server.closeAllConnections();
      await new Promise<void>((done) => {
        server.close(() => {
          done();
        });
      });
    },
  };
}

/** Passes a request to a node and returns its answer, both as they are. */
export async function forward(node: string, request: RelayRequest): Promise<RelayAnswer> {
  const hasBody = request.method !== "GET" && request.method !== "HEAD";
  const response = await fetch(new URL(request.path, node), {
    method: request.method,
    headers: hasBody ? { "content-type": request.mediaType } : {},
    body: hasBody ? request.body.slice() : null,
  });
  return {
    status: response.status,
    mediaType: response.headers.get("content-type") ?? "",
    body: new Uint8Array(await response.arrayBuffer()),
  };
}

async function answer(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  behaviour: Behaviour,
): Promise<void> {
  try {
    const parts: Uint8Array[] = [];
    for await (const part of incoming as AsyncIterable<Uint8Array>) parts.push(part);
    const { status, mediaType, body } = await behaviour({
      method: incoming.method ?? "GET",
      path: incoming.url ?? "/",
      mediaType: incoming.headers["content-type"] ?? "",
      body: new Uint8Array(Buffer.concat(parts)),
    });
    outgoing.writeHead(status, { "content-type": mediaType, "content-length": body.length });
    outgoing.end(body);
  } catch (error) {
    outgoing.writeHead(502, { "content-type": "text/plain" });
    outgoing.end(error instanceof Error ? error.message : String(error));
  }
}
