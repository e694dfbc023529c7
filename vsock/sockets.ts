/** Connects to a socket's address and listens at one, whatever its family. */
import type { Duplex } from "node:stream";
import { connectFailure, systemFailure, VsockError } from "./errors.ts";
import { BACKLOG, type Inner, type Streams } from "./inner.ts";
import {
  bindSocket,
  closeDescriptor,
  connectSocket,
  listenSocket,
  openSocket,
  type Outcome,
  POLLOUT,
  socketError,
} from "./libc.ts";
import { whenReady } from "./readiness.ts";
import { VsockStream } from "./stream.ts";

/** A socket's address, as the kernel reads it. */
export interface Target {
  /** For messages. */
  readonly name: string;
  /** Its family: AF_…. */
  readonly domain: number;
  readonly address: Uint8Array;
  /** Options to set before a connect. */
  readonly prepare?: (fd: number) => Outcome<number>;
}

export interface ConnectOptions {
  readonly timeoutMs: number;
  readonly streams: () => Promise<Streams>;
}

/** A stream at once. What goes wrong afterwards is its error. */
export function connectTo(target: Target, options: ConnectOptions): VsockStream {
  const abandoned = new AbortController();
  const stream = new VsockStream(() => {
    abandoned.abort();
  });
  const attach = async (): Promise<void> => {
    const streams = await options.streams();
    if (stream.destroyed) return;
    const fd = await connectedDescriptor(target, options.timeoutMs, abandoned.signal);
    stream.attach(streams.open(fd));
  };
  attach().catch((error: unknown) => {
    stream.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  return stream;
}

async function connectedDescriptor(
  target: Target,
  timeoutMs: number,
  abandoned: AbortSignal,
): Promise<number> {
  const fd = openedSocket(target);
  try {
    const prepared = target.prepare?.(fd) ?? { value: 0 };
    if ("failed" in prepared) throw systemFailure(target.name, prepared.failed.error);
    const begun = connectSocket(fd, target.address);
    if ("failed" in begun) {
      // EINTR: the connect goes on all the same (connect(2)).
      if (begun.failed.error !== "EINPROGRESS" && begun.failed.error !== "EINTR") {
        throw connectFailure(target.name, begun.failed.error);
      }
      await settled(fd, target.name, timeoutMs, abandoned);
      const error = socketError(fd);
      if (error !== null) throw connectFailure(target.name, error);
    }
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

function openedSocket(target: Target): number {
  const opened = openSocket(target.domain);
  if ("failed" in opened) throw systemFailure(target.name, opened.failed.error);
  return opened.value;
}

/** Resolves when the connect has succeeded or failed. */
function settled(
  fd: number,
  name: string,
  timeoutMs: number,
  abandoned: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      watch.cancel();
      clearTimeout(timer);
      abandoned.removeEventListener("abort", abandon);
    };
    const fail = (error: VsockError): void => {
      stop();
      reject(error);
    };
    const abandon = (): void => {
      fail(new VsockError("vsock/reset", `${name}: closed before it was connected`));
    };
    const watch = whenReady(fd, POLLOUT, true, () => {
      stop();
      resolve();
    });
    const timer = setTimeout(() => {
      fail(new VsockError("vsock/timeout", `${name}: no connection in ${timeoutMs} ms`));
    }, timeoutMs);
    abandoned.addEventListener("abort", abandon);
  });
}

export interface ListenOptions {
  /** Connections at once; what comes beyond them is closed. */
  readonly maxConnections: number;
  /** Whether a connection is taken; asked with its descriptor, before a byte of it is read. */
  readonly admits: (fd: number) => boolean;
  readonly streams: () => Promise<Streams>;
}

/** Something that accepts connections until it is closed. */
export interface VsockListener {
  /** Accepts no more and ends what is open, whatever goes on there. */
  close(): Promise<void>;
}

/** Resolves once connections are accepted. @throws VsockError */
export async function listenAt(
  target: Target,
  accept: (connection: Duplex) => void,
  options: ListenOptions,
): Promise<VsockListener> {
  const streams = await options.streams();
  const fd = listeningDescriptor(target);
  const open = new Set<VsockStream>();
  const listener = streams.listen(fd, (inner: Inner, accepted: number) => {
    const stream = new VsockStream(() => undefined);
    stream.attach(inner);
    if (open.size >= options.maxConnections || !options.admits(accepted)) {
      stream.on("error", () => undefined).destroy();
      return;
    }
    open.add(stream);
    stream.once("close", () => open.delete(stream));
    accept(stream);
  });
  let closing: Promise<unknown> | null = null;
  return {
    async close() {
      closing ??= Promise.all([listener.close(), ...[...open].map(closed)]);
      await closing;
    },
  };
}

function listeningDescriptor(target: Target): number {
  const fd = openedSocket(target);
  for (const done of [() => bindSocket(fd, target.address), () => listenSocket(fd, BACKLOG)]) {
    const outcome = done();
    if (!("failed" in outcome)) continue;
    closeDescriptor(fd);
    throw systemFailure(target.name, outcome.failed.error);
  }
  return fd;
}

function closed(stream: VsockStream): Promise<void> {
  return new Promise((resolve) => {
    stream.once("close", resolve);
    stream.destroy();
  });
}
