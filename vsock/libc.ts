/**
 * The system calls that Node has no name for: sockets of any family.
 *
 * koffi makes them, in the thread that asks. None of them waits: every socket here is non-blocking, and
 * `poll` is asked without a timeout.
 */
import { endianness } from "node:os";
import koffi, { type KoffiFunc } from "koffi";
import { VsockError } from "./errors.ts";

/** Linux's numbers, the same on x86-64 and arm64. */
export const AF_UNIX = 1;
export const AF_VSOCK = 40;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
/** poll(2). */
export const POLLIN = 1;
export const POLLOUT = 4;
/** `struct pollfd`: int fd, short events, short revents. */
const POLLFD_BYTES = 8;
/** A number in memory is in the machine's order; Node runs on no other in our images. */
export const LITTLE_ENDIAN: boolean = endianness() === "LE";

type Int = number;
interface Calls {
  readonly socket: KoffiFunc<(domain: Int, type: Int, protocol: Int) => Int>;
  readonly bind: KoffiFunc<(fd: Int, address: Uint8Array, length: Int) => Int>;
  readonly connect: KoffiFunc<(fd: Int, address: Uint8Array, length: Int) => Int>;
  readonly accept4: KoffiFunc<(fd: Int, address: null, length: null, flags: Int) => Int>;
  readonly getpeername: KoffiFunc<(fd: Int, address: Uint8Array, length: Uint8Array) => Int>;
  readonly listen: KoffiFunc<(fd: Int, backlog: Int) => Int>;
  readonly getsockopt: KoffiFunc<
    (fd: Int, level: Int, name: Int, value: Uint8Array, length: Uint8Array) => Int
  >;
  readonly setsockopt: KoffiFunc<
    (fd: Int, level: Int, name: Int, value: Uint8Array, length: Int) => Int
  >;
  readonly poll: KoffiFunc<(set: Uint8Array, count: Int, timeout: Int) => Int>;
  readonly close: KoffiFunc<(fd: Int) => Int>;
}

let calls: Calls | null = null;

/** Found once. @throws VsockError `vsock/unavailable` where there is no such library. */
function libc(): Calls {
  calls ??= load();
  return calls;
}

function load(): Calls {
  if (process.platform !== "linux") {
    throw new VsockError("vsock/unavailable", `no AF_VSOCK on ${process.platform}`);
  }
  try {
    // Node itself is linked with the C library: nothing else is loaded.
    const library = koffi.load(null);
    return {
      socket: library.func("int socket(int, int, int)"),
      bind: library.func("int bind(int, const uint8_t *, uint32_t)"),
      connect: library.func("int connect(int, const uint8_t *, uint32_t)"),
      accept4: library.func("int accept4(int, void *, void *, int)"),
      getpeername: library.func("int getpeername(int, _Out_ uint8_t *, _Inout_ uint8_t *)"),
      listen: library.func("int listen(int, int)"),
      getsockopt: library.func("int getsockopt(int, int, int, _Out_ uint8_t *, _Inout_ uint8_t *)"),
      setsockopt: library.func("int setsockopt(int, int, int, const uint8_t *, uint32_t)"),
      poll: library.func("int poll(_Inout_ uint8_t *, unsigned long, int)"),
      close: library.func("int close(int)"),
    };
  } catch (cause) {
    throw new VsockError("vsock/unavailable", "no C library to call", { cause });
  }
}

/** An error by its name, as ECONNREFUSED; by its number where it has none. */
function errorName(errno: number): string {
  const found = Object.entries(koffi.os.errno).find(([, number]) => number === errno);
  return found === undefined ? `errno ${errno}` : found[0];
}

function lastError(): string {
  return errorName(koffi.errno());
}

/** A call that failed, and why. */
export interface Failed {
  readonly call: string;
  readonly error: string;
}

export type Outcome<T> = { readonly value: T } | { readonly failed: Failed };

function outcome(call: string, result: number): Outcome<number> {
  return result < 0 ? { failed: { call, error: lastError() } } : { value: result };
}

/** A stream socket: closed on exec, and no call on it waits. */
export function openSocket(domain: number): Outcome<number> {
  return outcome("socket", libc().socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

export function bindSocket(fd: number, address: Uint8Array): Outcome<number> {
  return outcome("bind", libc().bind(fd, address, address.length));
}

/** Zero where it is connected at once; EINPROGRESS where {@link socketError} will tell. */
export function connectSocket(fd: number, address: Uint8Array): Outcome<number> {
  return outcome("connect", libc().connect(fd, address, address.length));
}

export function listenSocket(fd: number, backlog: number): Outcome<number> {
  return outcome("listen", libc().listen(fd, backlog));
}

/** A connection that waits at `fd`, or EAGAIN. */
export function acceptSocket(fd: number): Outcome<number> {
  return outcome("accept4", libc().accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

/** Where a connection comes from, in the first `bytes` of the kernel's form. */
export function peerAddress(fd: number, bytes: number): Outcome<Uint8Array> {
  const address = new Uint8Array(bytes);
  const length = struct(4, [[0, 4, bytes]]);
  const named = outcome("getpeername", libc().getpeername(fd, address, length));
  return "failed" in named ? named : { value: address };
}

/** What became of a connect: an error's name, or null. */
export function socketError(fd: number): string | null {
  const value = new Uint8Array(4);
  const length = struct(4, [[0, 4, value.length]]);
  const read = outcome("getsockopt", libc().getsockopt(fd, SOL_SOCKET, SO_ERROR, value, length));
  if ("failed" in read) return read.failed.error;
  const errno = new DataView(value.buffer).getInt32(0, LITTLE_ENDIAN);
  return errno === 0 ? null : errorName(errno);
}

export function setSocketOption(
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
): Outcome<number> {
  return outcome("setsockopt", libc().setsockopt(fd, level, name, value, value.length));
}

/** For descriptors that no stream has taken yet. An error has nobody left to act on it. */
export function closeDescriptor(fd: number): void {
  libc().close(fd);
}

/** One descriptor, and what it is waited for. */
export interface Waiting {
  readonly fd: number;
  readonly events: number;
}

/** Which of `waiting` can go on, an error or the end included. Asks and does not wait. */
export function readyOf<T extends Waiting>(waiting: readonly T[]): readonly T[] {
  const set = new Uint8Array(waiting.length * POLLFD_BYTES);
  const view = new DataView(set.buffer);
  waiting.forEach(({ fd, events }, index) => {
    view.setInt32(index * POLLFD_BYTES, fd, LITTLE_ENDIAN);
    view.setInt16(index * POLLFD_BYTES + 4, events, LITTLE_ENDIAN);
  });
  // EINTR, or no memory: nothing is known, and the caller asks again.
  if (libc().poll(set, waiting.length, 0) <= 0) return [];
  return waiting.filter((_, index) => view.getInt16(index * POLLFD_BYTES + 6, LITTLE_ENDIAN) !== 0);
}

/** Bytes of a `struct`, in the machine's order: [offset, width in bytes, value]. */
export function struct(
  length: number,
  fields: readonly (readonly [offset: number, bytes: 2 | 4 | 8, value: number])[],
): Uint8Array {
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  for (const [offset, width, value] of fields) {
    switch (width) {
      case 2:
        view.setUint16(offset, value, LITTLE_ENDIAN);
        break;
      case 4:
        view.setUint32(offset, value, LITTLE_ENDIAN);
        break;
      case 8:
        view.setBigUint64(offset, BigInt(value), LITTLE_ENDIAN);
        break;
      default:
        throw new TypeError(`no field of ${String(width satisfies never)} bytes`);
    }
  }
  return bytes;
}
