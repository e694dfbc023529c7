"""Serves one virtio-nsm device (virtio id 33) over vhost-user, to one guest of QEMU.

    python3 nsm_backend.py --socket PATH --root DIR --pcr0 HEX --pcr1 HEX --pcr2 HEX

QEMU connects to the socket; the backend lives as long as that connection. Messages: QEMU
docs/interop/vhost-user.rst. Rings: virtio 1.2 section 2.7, split virtqueues, without indirect
descriptors and without event indexes, because we offer neither.
"""

import argparse
import mmap
import os
import select
import socket
import struct
import sys

from nsm_module import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, PCR_BYTES, Module, load_root

VIRTIO_F_VERSION_1 = 1 << 32
VHOST_USER_F_PROTOCOL_FEATURES = 1 << 30
PROTOCOL_REPLY_ACK = 1 << 3

GET_FEATURES, SET_FEATURES, SET_OWNER, RESET_OWNER, SET_MEM_TABLE = 1, 2, 3, 4, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE = 8, 9, 10, 11
SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR = 12, 13, 14
GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_VRING_ENABLE = 15, 16, 17, 18

VERSION, REPLY, NEED_REPLY = 1, 4, 8
NO_DESCRIPTOR = 1 << 8
MAX_MESSAGE_BYTES, MAX_MESSAGE_FDS = 4096, 8
DESC_F_NEXT, DESC_F_WRITE = 1, 2
USED_F_NO_NOTIFY = 1
MAX_RING = 1024


class Memory:
    """The guest's memory, by its own addresses and by QEMU's."""

    def __init__(self):
        self.regions = []

    def replace(self, payload, fds):
        (count, _) = struct.unpack_from("<II", payload)
        if count != len(fds):
            raise ValueError(f"{count} memory regions with {len(fds)} descriptors")
        self.regions = []
        for index, fd in enumerate(fds):
            guest, size, user, offset = struct.unpack_from("<QQQQ", payload, 8 + 32 * index)
            self.regions.append((guest, user, size, offset, mmap.mmap(fd, offset + size)))
            os.close(fd)

    def at_guest(self, address, length):
        return self._view(0, address, length)

    def at_user(self, address, length):
        return self._view(1, address, length)

    def _view(self, key, address, length):
        for region in self.regions:
            start, size, offset, mapped = region[key], region[2], region[3], region[4]
            if start <= address and address + length <= start + size:
                at = offset + address - start
                return memoryview(mapped)[at : at + length]
        raise ValueError(f"no memory at {address:#x}")


class Ring:
    """The device's one queue. The driver puts a request and a place for its answer into it, as two
    chains of one descriptor each, before it waits for both (Linux drivers/misc/nsm.c)."""

    def __init__(self, memory, module):
        self.memory, self.module = memory, module
        self.reset()

    def reset(self):
        self.size, self.addresses = 0, None
        self.next_avail, self.enabled = 0, False
        self.kick = self.call = self.request = None

    def serve(self):
        """Answers what is waiting. Before SET_VRING_ENABLE the ring is not ours to touch."""
        if not self.enabled or self.addresses is None or not 0 < self.size <= MAX_RING:
            return
        desc, used, avail = self.addresses
        avail_ring = self.memory.at_user(avail, 4 + 2 * self.size)
        served = 0
        while self.next_avail != struct.unpack_from("<H", avail_ring, 2)[0]:
            slot = 4 + 2 * (self.next_avail % self.size)
            (head,) = struct.unpack_from("<H", avail_ring, slot)
            self._chain(desc, used, head)
            self.next_avail = (self.next_avail + 1) & 0xFFFF
            served += 1
        # One interrupt for all: the driver takes the request's descriptor and the answer's together.
        flags = struct.unpack_from("<H", avail_ring, 0)[0]
        if served > 0 and self.call is not None and flags & USED_F_NO_NOTIFY == 0:
            os.write(self.call, struct.pack("<Q", 1))

    def _chain(self, desc, used, head):
        if head >= self.size:
            raise ValueError(f"descriptor {head} of {self.size}")
        table = self.memory.at_user(desc, 16 * self.size)
        address, length, flags, _ = struct.unpack_from("<QIHH", table, 16 * head)
        if flags & ~(DESC_F_NEXT | DESC_F_WRITE) != 0 or flags & DESC_F_NEXT != 0:
            raise ValueError(f"chain with flags {flags}")
        if flags & DESC_F_WRITE == 0:
            if length > MAX_REQUEST_BYTES or self.request is not None:
                raise ValueError(f"request of {length} bytes")
            self.request = bytes(self.memory.at_guest(address, length))
            self._complete(used, head, 0)
            return
        if self.request is None or length < MAX_RESPONSE_BYTES:
            raise ValueError(f"place of {length} bytes for an answer")
        answer, self.request = self.module.answer(self.request), None
        self.memory.at_guest(address, len(answer))[:] = answer
        self._complete(used, head, len(answer))

    def _complete(self, used, head, length):
        ring = self.memory.at_user(used, 4 + 8 * self.size)
        (index,) = struct.unpack_from("<H", ring, 2)
        struct.pack_into("<II", ring, 4 + 8 * (index % self.size), head, length)
        struct.pack_into("<H", ring, 2, (index + 1) & 0xFFFF)


class Backend:
    """Answers QEMU's messages; one message may change the memory, the ring or what is awaited."""

    def __init__(self, connection, module):
        self.connection = connection
        self.memory = Memory()
        self.ring = Ring(self.memory, module)

    def run(self):
        while True:
            waiting = [self.connection] + ([] if self.ring.kick is None else [self.ring.kick])
            ready, _, _ = select.select(waiting, [], [])
            if self.ring.kick in ready:
                os.read(self.ring.kick, 8)
                self.ring.serve()
            if self.connection in ready and not self.step():
                return

    def step(self):
        header, fds, _, _ = socket.recv_fds(self.connection, 12, MAX_MESSAGE_FDS, socket.MSG_WAITALL)
        if len(header) < 12:
            return False
        request, flags, size = struct.unpack("<III", header)
        if size > MAX_MESSAGE_BYTES or flags & 3 != VERSION:
            raise ValueError(f"message {request} of {size} bytes, flags {flags}")
        payload = b"" if size == 0 else self.connection.recv(size, socket.MSG_WAITALL)
        answer = self.handle(request, payload, fds)
        if answer is None and flags & NEED_REPLY != 0:
            answer = struct.pack("<Q", 0)
        if answer is not None:
            head = struct.pack("<III", request, VERSION | REPLY, len(answer))
            self.connection.sendall(head + answer)
        return True

    def handle(self, request, payload, fds):
        ring = self.ring
        if request == GET_FEATURES:
            return struct.pack("<Q", VIRTIO_F_VERSION_1 | VHOST_USER_F_PROTOCOL_FEATURES)
        if request == GET_PROTOCOL_FEATURES:
            return struct.pack("<Q", PROTOCOL_REPLY_ACK)
        if request == GET_QUEUE_NUM:
            return struct.pack("<Q", 1)
        if request in (SET_FEATURES, SET_PROTOCOL_FEATURES, SET_OWNER):
            return None
        if request == RESET_OWNER:
            return ring.reset()
        if request == SET_MEM_TABLE:
            return self.memory.replace(payload, fds)
        if request in (SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR):
            (index,) = struct.unpack("<Q", payload)
            fd = None if index & NO_DESCRIPTOR else fds[0]
            if request == SET_VRING_KICK:
                ring.kick = fd
            elif request == SET_VRING_CALL:
                ring.call = fd
            return None
        index, value = struct.unpack_from("<II", payload)
        if index != 0:
            raise ValueError(f"message {request} for queue {index}")
        if request == SET_VRING_NUM:
            ring.size = value
        elif request == SET_VRING_BASE:
            ring.next_avail = value
        elif request == GET_VRING_BASE:
            base, ring.enabled, ring.kick = ring.next_avail, False, None
            return struct.pack("<II", 0, base)
        elif request == SET_VRING_ADDR:
            ring.addresses = struct.unpack_from("<QQQ", payload, 8)
        elif request == SET_VRING_ENABLE:
            ring.enabled = value == 1
            # What the driver queued before this message kicked a ring that was not ours yet.
            ring.serve()
        else:
            raise ValueError(f"message {request}")
        return None


def measurement(text):
    value = bytes.fromhex(text)
    if len(value) != PCR_BYTES:
        raise argparse.ArgumentTypeError(f"{len(value)} bytes, want {PCR_BYTES}")
    return value


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--root", required=True)
    for index in range(3):
        parser.add_argument(f"--pcr{index}", type=measurement, required=True)
    options = parser.parse_args()
    root = load_root(options.root)
    module = Module(root, {0: options.pcr0, 1: options.pcr1, 2: options.pcr2})
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(options.socket)
        listener.listen(1)
        # Whoever starts us waits for this line.
        print("listening", flush=True)
        connection, _ = listener.accept()
    with connection:
        Backend(connection, module).run()


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, struct.error) as error:
        sys.exit(f"nsm backend: {error}")
