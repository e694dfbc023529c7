/** How the enclave and its host reach each other: a byte stream each way, and nothing else. */
import { chmod, lstat, unlink } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";

/** Something that accepts connections until it is closed. */
export interface Listener {
  /** Accepts no more and ends what is open, whatever goes on there. */
  close(): Promise<void>;
}

/** One implementation a kind of socket: Unix sockets here, AF_VSOCK in the image. */
export interface Transport {
  /** Resolves once connections are accepted. */
  listen(accept: (connection: Duplex) => void): Promise<Listener>;
  /** A connection to the host; where there is none, the stream fails. */
  dial(): Duplex;
}

/**
 * Unix sockets: listens at one path, dials another.
 *
 * A socket left at `listenPath` by an earlier process is removed; any other file there is not.
 */
export function unixTransport(listenPath: string, dialPath: string): Transport {
  return {
    async listen(accept) {
      await removeSocket(listenPath);
      const open = new Set<Socket>();
      // As node:http's own server: a client may end its side and still read the answer.
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
        open.add(socket);
        socket.once("close", () => open.delete(socket));
        accept(socket);
      });
      await listening(server, listenPath);
      await chmod(listenPath, 0o600);
      return { close: () => closed(server, open) };
    },
    dial: () => connect({ path: dialPath }),
  };
}

async function removeSocket(path: string): Promise<void> {
  const found = await lstat(path).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  });
  if (found?.isSocket() === true) await unlink(path);
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path }, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
}

/** Ends when the last connection has: one that is open would hold it up for as long as it likes. */
function closed(server: Server, open: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => {
      resolve();
    });
    for (const socket of open) socket.destroy();
  });
}
