/** Where the enclave finds its host: a Unix socket, or a vsock port of this machine. */
import type { Server } from "node:http";
import type { Duplex } from "node:stream";
import type { ServicesAddress } from "./enclave-address.ts";
import { HostError, systemCode } from "./errors.ts";
import { MAX_SERVICE_CONNECTIONS } from "./limits.ts";
import { removeAbandonedSocket } from "./listen.ts";

/** umask(2) for what only its owner reads and writes. */
const ALL_BUT_OWNER = 0o177;

/** A listening server. */
export interface BoundServices {
  close(): Promise<void>;
}

/** @throws {@link HostError} `socket/path`, `services/vsock`. */
export async function bindServices(
  server: Server,
  address: ServicesAddress,
): Promise<BoundServices> {
  switch (address.kind) {
    case "unix":
      return await bindUnix(server, address.path);
    case "vsock":
      return await bindVsock(server, address.port, address.cid);
    default:
      return address satisfies never;
  }
}

async function bindUnix(server: Server, path: string): Promise<BoundServices> {
  await removeAbandonedSocket(path);
  server.maxConnections = MAX_SERVICE_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      const code = systemCode(error) ?? "error";
      const advice = UNIX_ADVICE.get(code) ?? "";
      const found = `cannot listen at ${path}: ${code}${advice}`;
      reject(new HostError("socket/path", found, { cause: error }));
    });
    // Credentials are to be had here: nobody else may connect, not even before a chmod(2). libuv binds at once.
    const before = process.umask(ALL_BUT_OWNER);
    try {
      server.listen(path, resolve);
    } finally {
      process.umask(before);
    }
  });
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

async function bindVsock(server: Server, port: number, cid: number): Promise<BoundServices> {
  // Loaded where it is used, as in dial.ts.
  const { listenVsock, VsockError } = await import("@countersign/vsock");
  try {
    const accept = (connection: Duplex): void => {
      server.emit("connection", connection);
    };
    // What another guest of this machine wants is not for it to have.
    const options = { maxConnections: MAX_SERVICE_CONNECTIONS, onlyFrom: cid };
    const listener = await listenVsock(port, accept, options);
    return {
      close: async () => {
        await listener.close();
        server.closeAllConnections();
      },
    };
  } catch (error) {
    if (!(error instanceof VsockError)) throw error;
    const advice = VSOCK_ADVICE.get(error.code) ?? "";
    throw new HostError(
      "services/vsock",
      `cannot listen at vsock port ${port} (${error.code})${advice}`,
      { cause: error },
    );
  }
}

const UNIX_ADVICE: ReadonlyMap<string, string> = new Map([
  // libuv says it for a directory that is not there, too.
  ["EACCES", ": name a file in a directory that is there and that this user may write"],
  [
    "EADDRINUSE",
    ": another node runs here, or a file is in the way; choose another with --services",
  ],
]);

const VSOCK_ADVICE: ReadonlyMap<string, string> = new Map([
  ["vsock/unavailable", ": load the kernel's module vsock, or name a Unix socket with --services"],
  [
    "vsock/address-in-use",
    ": another node runs here; give this one another port with --services, the one that its image was " +
      "built for (--parent-port)",
  ],
  ["vsock/denied", ": ports below 1024 are for root; choose another with --services"],
]);
