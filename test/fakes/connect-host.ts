/** A host that relays: HTTP on a Unix socket, CONNECT to whatever the test wants. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { type Transport, unixTransport } from "../../enclave/transport.ts";

export interface ConnectHost {
  readonly transport: Transport;
  /** Where each CONNECT wanted to go. */
  readonly asked: readonly string[];
  close(): Promise<void>;
}

/** Answers one CONNECT, whose bytes come next. */
export type Relay = (authority: string, client: Duplex) => void;

/** Every CONNECT ends at this port of this machine, whatever name it asked for. */
export function relayTo(port: number): Relay {
  return (_, client) => {
    const upstream = connect({ port, host: "127.0.0.1" });
    upstream.once("connect", () => client.write("HTTP/1.1 200 OK\r\n\r\n"));
    upstream.on("error", () => client.destroy());
    client.on("error", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.destroy());
    upstream.pipe(client).pipe(upstream);
  };
}

export async function connectHost(
  relay: Relay,
  answer: RequestListener = (_, response) => response.writeHead(404).end(),
): Promise<ConnectHost> {
  const folder = await mkdtemp(join(tmpdir(), "connect-"));
  const path = join(folder, "host");
  const asked: string[] = [];
  const open = new Set<Duplex>();
  const server = createServer(answer);
  server.on("connection", (socket: Duplex) => {
    open.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => open.delete(socket));
  });
  server.on("connect", (request, client) => {
    asked.push(request.url ?? "");
    relay(request.url ?? "", client);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    transport: unixTransport(join(folder, "enclave"), path),
    asked,
    async close() {
      for (const socket of open) socket.destroy();
      server.close();
      await rm(folder, { recursive: true });
    },
  };
}
