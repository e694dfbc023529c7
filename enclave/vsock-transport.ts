/** The transport of an image: AF_VSOCK to the parent. */
import { connectVsock, listenVsock } from "@countersign/vsock";
import type { Transport } from "./transport.ts";

export interface VsockTransportOptions {
  /** Where the enclave is asked. */
  readonly listenPort: number;
  /** Who runs the enclave: 3 on AWS, 2 on a machine of one's own. */
  readonly parentCid: number;
  /** Where the parent serves models and configuration, and takes the log. */
  readonly parentPort: number;
}

/** Listens at one port, for the parent only, and dials one of its own. The parent is not trusted either. */
export function vsockTransport(options: VsockTransportOptions): Transport {
  const parent = { cid: options.parentCid, port: options.parentPort };
  return {
    listen: (accept) => listenVsock(options.listenPort, accept, { onlyFrom: options.parentCid }),
    dial: () => connectVsock(parent),
  };
}
