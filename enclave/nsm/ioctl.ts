/** /dev/nsm: one request and its answer an ioctl. Linux drivers/misc/nsm.c, include/uapi/linux/nsm.h. */
import { closeSync, fstatSync, openSync } from "node:fs";
import { EnclaveError } from "../errors.ts";
import { addressOf, lastError, type NativeFunction, nativeFunction } from "../system/native.ts";
import { MAX_NSM_RESPONSE_BYTES } from "./codec.ts";

/** The device, as the driver names it. */
export const NSM_DEVICE = "/dev/nsm";
/** `NSM_IOCTL_RAW`, _IOWR(0x0A, 0, struct nsm_raw). */
const NSM_IOCTL_RAW = 0xc0_20_0a_00;
/** `struct nsm_raw`: two `struct nsm_iovec` {__u64 addr, __u64 len}, the request's and the response's. */
const NSM_RAW_BYTES = 32;
const RESPONSE_LENGTH_OFFSET = 24;

/** What became of one ioctl. */
export type IoctlOutcome =
  | { readonly kind: "answer"; readonly length: number }
  /** `error` is the errno's name. */
  | { readonly kind: "error"; readonly error: string };

/** Sends `request`; the answer goes into `response`, whose length the device may change to any. */
export type NsmIoctl = (request: Uint8Array, response: Uint8Array) => IoctlOutcome;

/** An open device. */
export interface NsmFile {
  readonly ioctl: NsmIoctl;
  readonly close: () => void;
}

/** @throws EnclaveError `nsm/device`, `nsm/permission`. */
export function openNsmFile(path: string): NsmFile {
  const fd = openDevice(path);
  const call = nativeFunction("int ioctl(int fd, unsigned long request, ...)");
  return {
    ioctl: (request, response) => ioctlRaw(call, fd, request, response),
    close: () => {
      closeSync(fd);
    },
  };
}

function openDevice(path: string): number {
  let fd: number;
  try {
    fd = openSync(path, "r+");
  } catch (cause) {
    const errno = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown";
    const denied = errno === "EACCES" || errno === "EPERM";
    throw new EnclaveError(denied ? "nsm/permission" : "nsm/device", `${path}: ${errno}`, {
      cause,
    });
  }
  if (fstatSync(fd).isCharacterDevice()) return fd;
  closeSync(fd);
  throw new EnclaveError("nsm/device", `${path} is not a device`);
}

function ioctlRaw(
  call: NativeFunction,
  fd: number,
  request: Uint8Array,
  response: Uint8Array,
): IoctlOutcome {
  if (response.length !== MAX_NSM_RESPONSE_BYTES) throw new TypeError("a buffer of another length");
  const raw = new DataView(new ArrayBuffer(NSM_RAW_BYTES));
  raw.setBigUint64(0, addressOf(request), true);
  raw.setBigUint64(8, BigInt(request.length), true);
  raw.setBigUint64(16, addressOf(response), true);
  raw.setBigUint64(RESPONSE_LENGTH_OFFSET, BigInt(response.length), true);
  const status = call(fd, NSM_IOCTL_RAW, "void *", new Uint8Array(raw.buffer));
  if (status < 0) return { kind: "error", error: lastError() };
  return { kind: "answer", length: Number(raw.getBigUint64(RESPONSE_LENGTH_OFFSET, true)) };
}
