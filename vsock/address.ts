/** Where a vsock socket is: a context id, which means a machine, and a port of 32 bits. */
import { AF_VSOCK, LITTLE_ENDIAN, peerAddress, struct } from "./libc.ts";

/** To listen on: whatever this machine's own id is. */
export const CID_ANY = 0xffffffff;
/** This machine itself, where the kernel has `vsock_loopback`. */
export const CID_LOCAL = 1;
/** The machine that runs a plain virtual machine. */
export const CID_HOST = 2;
/** The parent instance of an AWS Nitro enclave. */
export const CID_PARENT = 3;

export interface VsockAddress {
  readonly cid: number;
  readonly port: number;
}

const MAX_UINT32 = 0xffffffff;
/** `struct sockaddr_vm` of linux/vm_sockets.h: family, reserved, port, cid, flags, zeros. */
const SOCKADDR_BYTES = 16;

/** @throws TypeError where it is no address: VMADDR_PORT_ANY is not one either. */
export function requireVsockAddress({ cid, port }: VsockAddress): VsockAddress {
  if (!Number.isInteger(cid) || cid < 0 || cid > MAX_UINT32) {
    throw new TypeError(`vsock context id ${cid}, want 0 to ${MAX_UINT32}`);
  }
  if (!Number.isInteger(port) || port < 0 || port >= MAX_UINT32) {
    throw new TypeError(`vsock port ${port}, want 0 to ${MAX_UINT32 - 1}`);
  }
  return { cid, port };
}

/** As the kernel reads it. */
export function encodeVsockAddress({ cid, port }: VsockAddress): Uint8Array {
  return struct(SOCKADDR_BYTES, [
    [0, 2, AF_VSOCK],
    [4, 4, port],
    [8, 4, cid],
  ]);
}

/** The machine at the other end of the connection `fd`; null where it is gone, or no vsock. */
export function peerCid(fd: number): number | null {
  const peer = peerAddress(fd, SOCKADDR_BYTES);
  if ("failed" in peer) return null;
  const view = new DataView(peer.value.buffer);
  return view.getUint16(0, LITTLE_ENDIAN) === AF_VSOCK ? view.getUint32(8, LITTLE_ENDIAN) : null;
}
