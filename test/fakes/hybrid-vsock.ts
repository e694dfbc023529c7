/** A virtual machine monitor's Unix socket in front of its guest's ports, as the host dials it. */
import { connect, createServer, type Socket } from "node:net";

/** What it does after `CONNECT <port>`, for a port: the path of a socket to lead to, or words of its own. */
export type Leading =
  { readonly to: string } | { readonly say: string } | { readonly silent: true };

export interface HybridVsock {
  /** The first line of each connection. */
  readonly lines: string[];
  close(): Promise<void>;
}

/** Listens at `path`. */
export async function startHybridVsock(
  path: string,
  lead: (port: number) => Leading | null,
): Promise<HybridVsock> {
  const open = new Set<Socket>();
  const lines: string[] = [];
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => undefined);
    void serve(socket, lines, lead);
  });
  await new Promise<void>((resolve) => {
    server.listen(path, resolve);
  });
  return {
    lines,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        for (const socket of open) socket.destroy();
      }),
  };
}

async function serve(
  socket: Socket,
  lines: string[],
  lead: (port: number) => Leading | null,
): Promise<void> {
  const line = await readLine(socket);
  lines.push(line);
  const leading = lead(Number(/^CONNECT (\d+)\n$/u.exec(line)?.[1]));
  // Nobody listens at that port: it hangs up.
  if (leading === null) socket.destroy();
  else if ("say" in leading) socket.write(leading.say);
  else if ("to" in leading) joinTo(socket, leading.to);
}

/** Byte by byte, so that what follows stays in the socket. */
function readLine(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let line = "";
    const read = (): void => {
      while (!line.endsWith("\n")) {
        const byte: unknown = socket.read(1);
        if (!(byte instanceof Uint8Array)) return;
        line += String.fromCodePoint(byte[0] ?? 0);
      }
      socket.off("readable", read);
      resolve(line);
    };
    socket.on("readable", read);
  });
}

function joinTo(socket: Socket, path: string): void {
  const inner = connect({ path });
  inner.on("connect", () => {
    socket.write("OK 1073741824\n");
    socket.pipe(inner).pipe(socket);
  });
  inner.on("error", () => socket.destroy());
  inner.on("close", () => socket.destroy());
  socket.on("close", () => inner.destroy());
}
