/**
 * Random bytes of the module into the two generators that keys come from: the kernel's, and the one of
 * Node's OpenSSL. Neither gets worse by it, whatever the bytes are; each gets as good as the module.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { EnclaveError } from "../errors.ts";
import { nativeFunction } from "./native.ts";

/** Takes what is written as input of the kernel's generator. random(4). */
const KERNEL_GENERATOR = "/dev/urandom";

/** @throws EnclaveError `boot/randomness` where a generator does not take them. */
export function mixRandomness(bytes: Uint8Array, kernelGenerator: string = KERNEL_GENERATOR): void {
  try {
    const fd = openSync(kernelGenerator, "w");
    try {
      const written = writeSync(fd, bytes);
      if (written !== bytes.length) throw new Error(`${written} bytes taken`);
    } finally {
      closeSync(fd);
    }
    // RAND_add(3): reseeds the generator that all others of this process are seeded from.
    const add = nativeFunction("void RAND_add(const void *buffer, int length, double entropy)");
    add(bytes, bytes.length, bytes.length);
    if (nativeFunction("int RAND_status()")() !== 1) throw new Error("OpenSSL is not seeded");
  } catch (cause) {
    throw new EnclaveError("boot/randomness", "a generator does not take the module's bytes", {
      cause,
    });
  }
}
