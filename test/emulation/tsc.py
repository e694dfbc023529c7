"""Prints the frequency of this machine's time stamp counter, in kHz.

QEMU's emulation hands the guest this very counter. A guest that has to find its frequency out against
an emulated timer fails on a busy machine, so it is told.
"""

import ctypes
import mmap
import time

# rdtsc; shl rdx, 32; or rax, rdx; ret
READ = bytes.fromhex("0f31 48c1e220 4809d0 c3")
SECONDS = 0.1
ROUNDS = 5


def main():
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(READ)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    counter = ctypes.CFUNCTYPE(ctypes.c_uint64)(address)

    def both():
        """Counter and clock at one moment: the pair with the least time between its two readings."""
        pairs = []
        for _ in range(20):
            before, ticks, after = time.monotonic_ns(), counter(), time.monotonic_ns()
            pairs.append((after - before, ticks, (before + after) / 2))
        return min(pairs)[1:]

    found = []
    for _ in range(ROUNDS):
        start, end = both(), (time.sleep(SECONDS), both())[1]
        found.append((end[0] - start[0]) / (end[1] - start[1]) * 1e6)
    print(round(sorted(found)[ROUNDS // 2]))


main()
