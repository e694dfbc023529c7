/** Connections to the enclave, whatever lies between. */
import { Agent } from "node:http";
import { connect } from "node:net";
import { type Duplex, PassThrough } from "node:stream";
import type { EnclaveAddress } from "./enclave-address.ts";
import { HostError } from "./errors.ts";
import { DIAL_TIMEOUT_MS } from "./limits.ts";

/** Called once: with the connection, or with why there is none and what is left of it. */
export type Dialled = (error: Error | null, connection: Duplex) => void;

/**
 * Connects to the enclave.
 *
 * It returns a connection that may still fail, or hands one to `dialled` once the other side agreed:
 * either is what `createConnection` of `node:http` may do.
 */
export function dialEnclave(address: EnclaveAddress, dialled: Dialled): Duplex | undefined {
  switch (address.kind) {
    case "unix":
      return connect({ path: address.path });
    case "vsock":
      dialVsock(address.cid, address.port, dialled);
      return undefined;
    case "vsock-uds":
      dialHybrid(address.path, address.port, dialled);
      return undefined;
    default:
      return address satisfies never;
  }
}

/** Keep-alive connections to one enclave. */
export class EnclaveAgent extends Agent {
  readonly #address: EnclaveAddress;
  readonly #maxDials: number;
  /** Connections being made. One whose request was given up goes on until it settles, and counts. */
  #dials = 0;

  constructor(address: EnclaveAddress, maxSockets: number) {
    super({ keepAlive: true, maxSockets, maxFreeSockets: 64, scheduling: "lifo" });
    this.#address = address;
    this.#maxDials = maxSockets;
  }

  override createConnection(_options: unknown, dialled: Dialled): Duplex | undefined {
    if (this.#dials >= this.#maxDials) {
      const found = `${this.#dials} connections are being made already`;
      dialled(new HostError("enclave/unreachable", found), new PassThrough().destroy());
      return undefined;
    }
    this.#dials += 1;
    const connection = dialEnclave(this.#address, (error, made) => {
      this.#dials -= 1;
      dialled(error, made);
    });
    if (connection !== undefined) this.#dials -= 1;
    return connection;
  }
}

/** Loaded where it is used: a simulated enclave needs no native code in its host. */
function dialVsock(cid: number, port: number, dialled: Dialled): void {
  import("@countersign/vsock")
    .then(({ connectVsock }) => connectVsock({ cid, port }, { timeoutMs: DIAL_TIMEOUT_MS }))
    .then(
      (connection) => {
        dialled(null, connection);
      },
      (error: unknown) => {
        const found = `vsock cannot be used here: ${String(error)}`;
        const failure = new HostError("enclave/unreachable", found, { cause: error });
        dialled(failure, new PassThrough().destroy());
      },
    );
}

/** `OK`, a number of 32 bits and a line feed are 14 bytes. */
const MAX_REPLY_BYTES = 32;

/**
 * A port behind a monitor's socket: we send `CONNECT <port>`, and it answers `OK <its port>` once the guest
 * has taken the connection, or hangs up. Firecracker's documentation, "Host-initiated connections"; the
 * vhost-user device of rust-vmm does the same.
 */
function dialHybrid(path: string, port: number, dialled: Dialled): void {
  const socket = connect({ path });
  let reply = "";
  const settle = (error: Error | null): void => {
    clearTimeout(timer);
    socket.off("readable", read);
    socket.off("error", settle);
    socket.off("close", refused);
    if (error !== null) {
      socket.on("error", () => undefined);
      socket.destroy();
    }
    dialled(error, socket);
  };
  const refused = (): void => {
    settle(new HostError("enclave/unreachable", `nothing listens at port ${port} of ${path}`));
  };
  /** Byte by byte: what follows the line is the enclave's, and stays where it is. */
  const read = (): void => {
    for (;;) {
      const byte: unknown = socket.read(1);
      if (!(byte instanceof Uint8Array)) return;
      reply += String.fromCodePoint(byte[0] ?? 0);
      if (/^OK \d{1,10}\n$/u.test(reply)) {
        settle(null);
        return;
      }
      if (reply.endsWith("\n") || reply.length === MAX_REPLY_BYTES) {
        const found = `${path} does not speak hybrid vsock: CONNECT was not answered OK`;
        settle(new HostError("enclave/unreachable", found));
        return;
      }
    }
  };
  const timer = setTimeout(() => {
    const found = `port ${port} of ${path} did not take a connection in ${DIAL_TIMEOUT_MS} ms`;
    settle(new HostError("enclave/timeout", found));
  }, DIAL_TIMEOUT_MS);
  socket.on("readable", read);
  socket.once("error", settle);
  socket.once("close", refused);
  socket.write(`CONNECT ${port}\n`);
}
