/**
 * AF_VSOCK in libuv's hands: its pipe handle takes any stream socket.
 *
 * Node has no public way to that handle for a foreign family (`net.Socket({ fd })` wants one that it
 * knows), so this file, and no other, uses `process.binding` (deprecated, DEP0111) and `net.Socket`'s
 * undocumented option `handle`. choice.ts tries all of it before anything relies on it.
 */
import { Socket } from "node:net";
import { getSystemErrorName } from "node:util";
import { systemFailure, VsockError } from "./errors.ts";
import { BACKLOG, type Inner, type Streams } from "./inner.ts";
import { closeDescriptor } from "./libc.ts";

/** What we use of libuv's pipe, as Node 24 has it. Numbers below zero are errors. */
interface PipeHandle {
  /** Below zero where it is closed. */
  readonly fd: number;
  open(fd: number): number;
  listen(backlog: number): number;
  close(closed: () => void): void;
  onconnection?: (status: number, connection: PipeHandle | undefined) => void;
}

interface PipeBinding {
  readonly Pipe: new (type: number) => PipeHandle;
  readonly constants: { readonly SOCKET: number; readonly SERVER: number };
}

/** Null where this Node has no such binding, or has it in another form. */
function pipeBinding(): PipeBinding | null {
  try {
    const binding: unknown = Reflect.get(process, "binding");
    if (typeof binding !== "function") return null;
    const found: unknown = Reflect.apply(binding, process, ["pipe_wrap"]);
    return isPipeBinding(found) ? found : null;
  } catch {
    // Removed, or forbidden by a flag: the fallback it is.
    return null;
  }
}

function isPipeBinding(found: unknown): found is PipeBinding {
  if (typeof found !== "object" || found === null) return false;
  if (!("Pipe" in found) || !("constants" in found)) return false;
  const { Pipe, constants } = found;
  if (typeof Pipe !== "function" || typeof constants !== "object" || constants === null)
    return false;
  const prototype: unknown = Pipe.prototype;
  return (
    "SOCKET" in constants &&
    typeof constants.SOCKET === "number" &&
    "SERVER" in constants &&
    typeof constants.SERVER === "number" &&
    ["open", "listen", "close"].every(
      (name) => typeof Reflect.get(Object(prototype), name) === "function",
    )
  );
}

/** A handle that owns `fd`. */
function opened(type: "SOCKET" | "SERVER", fd: number): PipeHandle {
  const binding = pipeBinding();
  if (binding === null) {
    closeDescriptor(fd);
    throw new VsockError("vsock/unavailable", "this Node has no pipe handle");
  }
  const handle = new binding.Pipe(binding.constants[type]);
  const status = handle.open(fd);
  if (status < 0) {
    closeDescriptor(fd);
    throw systemFailure("open", getSystemErrorName(status));
  }
  return handle;
}

function socketOf(handle: PipeHandle): Inner {
  const options: object = { handle, allowHalfOpen: true };
  return new Socket(options);
}

/** Streams and listeners of libuv's own. */
export const pipeStreams: Streams = {
  open: (fd) => socketOf(opened("SOCKET", fd)),
  listen(fd, accept) {
    const handle = opened("SERVER", fd);
    handle.onconnection = (status, connection) => {
      // Without descriptors or memory for it, the connection is lost, and the listener is not.
      if (status < 0 || connection === undefined) return;
      accept(socketOf(connection), connection.fd);
    };
    const close = (): Promise<void> =>
      new Promise((resolve) => {
        handle.close(resolve);
      });
    const status = handle.listen(BACKLOG);
    if (status < 0) {
      void close();
      throw systemFailure("listen", getSystemErrorName(status));
    }
    return { close };
  },
};
