/** AF_VSOCK streams: between a virtual machine, or an enclave, and the machine that runs it. */
import type { Duplex } from "node:stream";
import {
  CID_ANY,
  encodeVsockAddress,
  peerCid,
  requireVsockAddress,
  type VsockAddress,
} from "./address.ts";
import { chosenStreams, type StreamKind } from "./choice.ts";
import { AF_VSOCK, closeDescriptor, openSocket, setSocketOption, struct } from "./libc.ts";
import { connectTo, listenAt, type Target, type VsockListener } from "./sockets.ts";

/** linux/vm_sockets.h: a `struct timeval` of two 64-bit numbers; the kernel's own default is 2 s. */
const SO_VM_SOCKETS_CONNECT_TIMEOUT = 6;
const TIMEVAL_BYTES = 16;
const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;
const MAX_CONNECT_TIMEOUT_MS = 600_000;
/** Well above what a host relays at once, and below the 1024 descriptors that a process has for sure. */
const DEFAULT_MAX_CONNECTIONS = 768;

export interface ConnectVsockOptions {
  /** How long the connect may take: 1 to 600 000, default 10 000. */
  readonly timeoutMs?: number;
  /** Default: whichever a trial has chosen. */
  readonly streams?: StreamKind;
}

export interface ListenVsockOptions {
  /** Connections at once; what comes beyond them is closed. Default 768. */
  readonly maxConnections?: number;
  /** The one machine whose connections are taken; others are closed unread. Default: any. */
  readonly onlyFrom?: number;
  readonly streams?: StreamKind;
}

/** Whether this machine's kernel has AF_VSOCK. That it reaches anybody is not said. */
export function vsockAvailable(): boolean {
  try {
    const opened = openSocket(AF_VSOCK);
    if ("failed" in opened) return false;
    closeDescriptor(opened.value);
    return true;
  } catch {
    // No C library to ask: not Linux.
    return false;
  }
}

/** A stream at once; where it cannot be had, the stream fails with VsockError. */
export function connectVsock(address: VsockAddress, options: ConnectVsockOptions = {}): Duplex {
  const timeoutMs = options.timeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS;
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > MAX_CONNECT_TIMEOUT_MS) {
    throw new TypeError(`timeout of ${timeoutMs} ms, want 1 to ${MAX_CONNECT_TIMEOUT_MS}`);
  }
  const target: Target = {
    ...vsockTarget(address),
    prepare: (fd) => {
      const timeval = struct(TIMEVAL_BYTES, [
        [0, 8, Math.floor(timeoutMs / 1000)],
        [8, 8, (timeoutMs % 1000) * 1000],
      ]);
      return setSocketOption(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, timeval);
    },
  };
  return connectTo(target, { timeoutMs, streams: () => chosenStreams(options.streams) });
}

/**
 * Accepts connections at `port` of this machine. vsock has no permissions: without `onlyFrom` any
 * machine beside this one may connect, and what comes must be judged by what it says.
 *
 * @throws VsockError `vsock/address-in-use`, `vsock/denied`, `vsock/unavailable`.
 */
export async function listenVsock(
  port: number,
  accept: (connection: Duplex) => void,
  options: ListenVsockOptions = {},
): Promise<VsockListener> {
  return listenAt(vsockTarget({ cid: CID_ANY, port }), accept, {
    maxConnections: options.maxConnections ?? DEFAULT_MAX_CONNECTIONS,
    admits: (fd) => options.onlyFrom === undefined || peerCid(fd) === options.onlyFrom,
    streams: () => chosenStreams(options.streams),
  });
}

function vsockTarget(address: VsockAddress): Target {
  const { cid, port } = requireVsockAddress(address);
  const name = `vsock:${cid === CID_ANY ? "" : cid}:${port}`;
  return { name, domain: AF_VSOCK, address: encodeVsockAddress(address) };
}
