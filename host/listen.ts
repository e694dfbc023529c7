import { createServer, type Server } from "node:http";
import { createConnection } from "node:net";
import { lstatSync, rmSync } from "node:fs";
import type { ListenAddress } from "./args.ts";
import type { Listener } from "./app.ts";
import { HostError, systemCode } from "./errors.ts";
import {
  HEADERS_TIMEOUT_MS,
  KEEP_ALIVE_TIMEOUT_MS,
  MAX_HEADER_BYTES,
  REQUEST_TIMEOUT_MS,
  SPARE_CONNECTIONS,
} from "./limits.ts";

/** The public server, bound. */
export interface PublicServer {
  readonly url: string;
  /** Accepts no more connections, and ends idle ones. */
  stopListening(): void;
  /** Ends every connection, and resolves when the address is free. */
  close(): Promise<void>;
}

/** Text of an address, as the lock and messages show it. */
export function formatAddress(address: ListenAddress): string {
  switch (address.kind) {
    case "tcp":
      return formatUrl(address.host, address.port);
    case "unix":
      return `unix:${address.path}`;
    default:
      return address satisfies never;
  }
}

/**
 * Binds `address` and serves `listener` on it.
 *
 * @throws {@link HostError} `listen/taken`, `listen/refused`.
 */
export async function listenPublicly(
  address: ListenAddress,
  listener: Listener,
  maxInFlight: number,
): Promise<PublicServer> {
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
    },
    listener,
  );
  server.maxConnections = maxInFlight + SPARE_CONNECTIONS;
  await bind(server, address);
  // Ends with the socket file, which is ours from here on.
  const free = new Promise<void>((resolve) => {
    server.once("close", resolve);
  });
  return {
    url: urlOf(server, address),
    stopListening: () => {
      if (server.listening) server.close();
    },
    close: async () => {
      if (server.listening) server.close();
      server.closeAllConnections();
      await free;
    },
  };
}

async function bind(server: Server, address: ListenAddress): Promise<void> {
  if (address.kind === "unix") await removeAbandonedSocket(address.path);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      reject(listenError(address, error));
    });
    server.once("listening", resolve);
    if (address.kind === "unix") server.listen(address.path);
    else server.listen(address.port, address.host);
  });
}

function listenError(address: ListenAddress, error: Error): HostError {
  const where = formatAddress(address);
  if (systemCode(error) === "EADDRINUSE") {
    return new HostError(
      "listen/taken",
      `${where} is taken by another program: stop it, or choose another address with --listen`,
      { cause: error },
    );
  }
  const found = systemCode(error) ?? error.message;
  return new HostError(
    "listen/refused",
    `cannot listen at ${where} (${found}): choose another address with --listen`,
    { cause: error },
  );
}

/** A socket file that nobody answers at is left from a node that died. */
export function removeAbandonedSocket(path: string): Promise<void> {
  return new Promise((resolve) => {
    const probe = createConnection(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve();
    });
    probe.once("error", (error) => {
      // connect(2) refuses a plain file with the same code, and that is nobody's to remove.
      const refused = systemCode(error) === "ECONNREFUSED";
      if (refused && lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) {
        rmSync(path, { force: true });
      }
      resolve();
    });
  });
}

function urlOf(server: Server, address: ListenAddress): string {
  const bound = server.address();
  if (bound === null || typeof bound === "string" || address.kind === "unix") {
    return formatAddress(address);
  }
  return formatUrl(address.host, bound.port);
}

function formatUrl(host: string, port: number): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
