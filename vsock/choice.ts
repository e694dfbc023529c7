/** Which of the two ways to use a descriptor: libuv's pipe where it works here, else public calls. */
import { randomUUID } from "node:crypto";
import type { Duplex } from "node:stream";
import { descriptorStreams } from "./descriptor.ts";
import type { Streams } from "./inner.ts";
import { AF_UNIX, struct } from "./libc.ts";
import { pipeStreams } from "./pipe.ts";
import { connectTo, listenAt, type Target } from "./sockets.ts";

export type StreamKind = "pipe" | "fallback";

/** A byte there and one back take microseconds; this is for a machine that is very busy. */
const TRIAL_MS = 5_000;

let trial: Promise<boolean> | null = null;

/** The streams of `kind`; where none is named, those that a trial, made once, has chosen. */
export async function chosenStreams(kind: StreamKind | undefined): Promise<Streams> {
  switch (kind) {
    case "pipe":
      return pipeStreams;
    case "fallback":
      return descriptorStreams;
    case undefined:
      trial ??= pipeStreamsWork();
      return (await trial) ? pipeStreams : descriptorStreams;
    default:
      throw new TypeError(`no streams of kind ${String(kind satisfies never)}`);
  }
}

/**
 * Whether the pipe does all that pipe.ts takes for granted: listens, accepts, carries a byte both ways,
 * closes. Tried over a Unix socket without a name in any directory; where there is no such family, no.
 */
export async function pipeStreamsWork(streams: Streams = pipeStreams): Promise<boolean> {
  const target = abstractUnixTarget(`countersign-trial-${randomUUID()}`);
  const options = { timeoutMs: TRIAL_MS, streams: () => Promise.resolve(streams) };
  try {
    const listener = await listenAt(target, echo, {
      ...options,
      maxConnections: 1,
      admits: () => true,
    });
    try {
      return await answered(connectTo(target, options));
    } finally {
      await listener.close();
    }
  } catch {
    // Whatever it was, the fallback needs none of it.
    return false;
  }
}

/** A Unix socket's address that is in no directory: unix(7), "abstract". */
export function abstractUnixTarget(name: string): Target {
  const address = Buffer.concat([struct(2, [[0, 2, AF_UNIX]]), Buffer.from(`\0${name}`)]);
  return { name: `unix:@${name}`, domain: AF_UNIX, address };
}

function echo(connection: Duplex): void {
  connection.on("error", () => undefined);
  connection.pipe(connection);
}

/** Sends a byte, wants it back and the connection closed after it. */
function answered(connection: Duplex): Promise<boolean> {
  return new Promise((resolve) => {
    let found = false;
    const timer = setTimeout(() => connection.destroy(), TRIAL_MS);
    connection.once("data", (bytes: Buffer) => {
      found = bytes.length === 1 && bytes[0] === 0x2a;
      connection.end();
    });
    connection.on("error", () => undefined);
    connection.once("close", () => {
      clearTimeout(timer);
      resolve(found);
    });
    connection.write(Uint8Array.of(0x2a));
  });
}
