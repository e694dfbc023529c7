/** Where the enclave listens, and where the host does for it: addresses as the command line writes them. */
import { resolve } from "node:path";
import { HostError } from "./errors.ts";
import { MAX_SOCKET_PATH_BYTES } from "./limits.ts";

/** Where the host finds its enclave. */
export type EnclaveAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "vsock"; readonly cid: number; readonly port: number }
  /** A virtual machine monitor's Unix socket in front of its guest's vsock ports: see dial.ts. */
  | { readonly kind: "vsock-uds"; readonly path: string; readonly port: number };

/** Where the enclave finds its host. */
export type ServicesAddress =
  | { readonly kind: "unix"; readonly path: string }
  /** `cid`: the one machine that may connect. */
  | { readonly kind: "vsock"; readonly port: number; readonly cid: number };

/** The highest ids are `VMADDR_CID_ANY` and `VMADDR_PORT_ANY`, vsock(7). */
const MAX_VSOCK_ID = 0xffff_fffe;

/** @throws {@link HostError} `arguments/usage`. */
export function parseEnclaveAddress(text: string, directory: string): EnclaveAddress {
  const unix = unixPath(text, directory);
  if (unix !== null) return { kind: "unix", path: unix };
  const vsock = /^vsock:(\d{1,10}):(\d{1,10})$/u.exec(text);
  const cid = vsockId(vsock?.[1]);
  const port = vsockId(vsock?.[2]);
  if (cid !== null && port !== null) return { kind: "vsock", cid, port };
  const hybrid = /^vsock-uds:(.+):(\d{1,10})$/u.exec(text);
  const path = socketPath(hybrid?.[1], directory);
  const behind = vsockId(hybrid?.[2]);
  if (path !== null && behind !== null) return { kind: "vsock-uds", path, port: behind };
  throw refused("--enclave", text, "vsock:CID:PORT, unix:PATH or vsock-uds:PATH:PORT");
}

/**
 * @param cid - the enclave's context id.
 * @throws {@link HostError} `arguments/usage`.
 */
export function parseServicesAddress(
  text: string,
  directory: string,
  cid: number,
): ServicesAddress {
  const unix = unixPath(text, directory);
  if (unix !== null) return { kind: "unix", path: unix };
  const port = vsockId(/^vsock::(\d{1,10})$/u.exec(text)?.[1]);
  if (port !== null) return { kind: "vsock", port, cid };
  throw refused("--services", text, "vsock::PORT or unix:PATH");
}

/** An address as it is written on the command line. */
export function formatEnclaveAddress(address: EnclaveAddress): string {
  switch (address.kind) {
    case "unix":
      return `unix:${address.path}`;
    case "vsock":
      return `vsock:${address.cid}:${address.port}`;
    case "vsock-uds":
      return `vsock-uds:${address.path}:${address.port}`;
    default:
      return address satisfies never;
  }
}

function unixPath(text: string, directory: string): string | null {
  return socketPath(/^unix:(.+)$/u.exec(text)?.[1], directory);
}

function socketPath(text: string | undefined, directory: string): string | null {
  if (text === undefined || text.includes("\0")) return null;
  const path = resolve(directory, text);
  return Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES ? null : path;
}

function vsockId(digits: string | undefined): number | null {
  const value = digits === undefined ? 0 : Number(digits);
  return value >= 1 && value <= MAX_VSOCK_ID ? value : null;
}

function refused(flag: string, text: string, wanted: string): HostError {
  return new HostError(
    "arguments/usage",
    `${flag} ${JSON.stringify(text)}: want ${wanted}, ids from 1 to ${MAX_VSOCK_ID}, ` +
      `paths of ${MAX_SOCKET_PATH_BYTES} bytes at most`,
  );
}
