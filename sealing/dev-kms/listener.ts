/** A server's address, and its end. */
import type { Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";

import { SealingError } from "../errors.ts";

export interface Listener {
  readonly port: number;
  /** Ends every connection, and resolves when there is none. */
  close(): Promise<void>;
}

const LOOPBACK_V4 = /^127(?:\.\d{1,3}){3}$/u;

/** Whether only this machine can reach an address of `host`. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || LOOPBACK_V4.test(host);
}

/** @throws SealingError `dev-kms/listen` */
export async function listen(server: Server, host: string, port: number): Promise<Listener> {
  // Those in the middle of a handshake are no connections of HTTP, and would not end with them.
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(port, host, resolve);
  try {
    await promise;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SealingError("dev-kms/listen", why, { cause });
  }
  return {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server has such an address
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise<void>((done) => {
        server.close(() => {
          done();
        });
      });
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
