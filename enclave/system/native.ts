/**
 * Functions of the C library and of Node's own OpenSSL for which Node has no call.
 *
 * koffi makes the calls. Every one here blocks the thread that makes it, so their memory cannot move or
 * be collected while the kernel has its address.
 */
import koffi from "koffi";

/** A C function that returns an integer; negative where it failed. */
export type NativeFunction = (...args: readonly unknown[]) => number;

/** What is loaded into this process already: Node itself, and with it the C library. */
const PROCESS = null;

/** @throws Error where this process has no such function. */
export function nativeFunction(definition: string): NativeFunction {
  const call = koffi.load(PROCESS).func(definition);
  return (...args) => {
    const result: unknown = call(...args);
    if (result === undefined) return 0;
    if (typeof result !== "number") throw new TypeError(`${definition} gave no integer`);
    return result;
  };
}

/** Where `bytes` lie. True as long as the caller holds them. */
export function addressOf(bytes: Uint8Array): bigint {
  return koffi.address(bytes);
}

/** The name of the error that the last call ended with, such as `ENODEV`. To be asked for at once. */
export function lastError(): string {
  const errno = koffi.errno();
  const found = Object.entries(koffi.os.errno).find(([, number]) => number === errno);
  return found === undefined ? `errno ${errno}` : found[0];
}
