/** What there is to run the suite against on any Linux machine, and in a guest with vsock loopback. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { unixTransport, type Transport } from "../../enclave/transport.ts";
import { vsockTransport } from "../../enclave/vsock-transport.ts";
import { abstractUnixTarget, chosenStreams, type StreamKind } from "../../vsock/choice.ts";
import { CID_LOCAL, connectVsock, listenVsock } from "../../vsock/index.ts";
import { connectTo, listenAt, type Target } from "../../vsock/sockets.ts";
import type { Subject } from "./subject.ts";

const ENCLAVE_PORT = 5000;
const PARENT_PORT = 7000;
const CONNECT_TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 768;

/** Unix sockets in `folder`: the transport of the simulation. */
export function unixSubject(folder: string): Subject {
  const [enclave, parent] = [join(folder, "enclave"), join(folder, "parent")];
  return { enclave: unixTransport(enclave, parent), parent: unixTransport(parent, enclave) };
}

/** The streams of vsock/ over Unix sockets, which every machine has; only the address is another. */
export function streamSubject(kind: StreamKind): Subject {
  const name = randomUUID();
  const enclave = abstractUnixTarget(`countersign-enclave-${name}`);
  const parent = abstractUnixTarget(`countersign-parent-${name}`);
  const between = (listening: Target, dialled: Target): Transport => {
    const streams = () => chosenStreams(kind);
    return {
      listen: (accept) =>
        listenAt(listening, accept, {
          maxConnections: MAX_CONNECTIONS,
          admits: () => true,
          streams,
        }),
      dial: () => connectTo(dialled, { timeoutMs: CONNECT_TIMEOUT_MS, streams }),
    };
  };
  return { enclave: between(enclave, parent), parent: between(parent, enclave) };
}

/** The image's own transport, both ends on this machine. */
export function vsockSubject(): Subject {
  const ends = { parentCid: CID_LOCAL };
  return {
    enclave: vsockTransport({ ...ends, listenPort: ENCLAVE_PORT, parentPort: PARENT_PORT }),
    parent: vsockTransport({ ...ends, listenPort: PARENT_PORT, parentPort: ENCLAVE_PORT }),
  };
}

/** AF_VSOCK with streams of one kind. */
export function vsockStreamSubject(streams: StreamKind): Subject {
  const between = (listening: number, dialled: number): Transport => ({
    listen: (accept) => listenVsock(listening, accept, { streams }),
    dial: () => connectVsock({ cid: CID_LOCAL, port: dialled }, { streams }),
  });
  return {
    enclave: between(ENCLAVE_PORT, PARENT_PORT),
    parent: between(PARENT_PORT, ENCLAVE_PORT),
  };
}
