import { expect, test } from "vitest";
import { CID_ANY, encodeVsockAddress, requireVsockAddress } from "../../../vsock/address.ts";
import { connectVsock, listenVsock } from "../../../vsock/index.ts";

// linux/vm_sockets.h, struct sockaddr_vm: family 40, two zero bytes, port, cid, flags, three zero bytes.
test("an address is the kernel's sockaddr_vm, in the machine's order", () => {
  const bytes = encodeVsockAddress({ cid: 0x01020304, port: 0x0a0b0c0d });
  expect(Buffer.from(bytes).toString("hex")).toBe("280000000d0c0b0a0403020100000000");
});

test("the largest port and context id fit", () => {
  const bytes = encodeVsockAddress({ cid: CID_ANY, port: 0xfffffffe });
  expect(Buffer.from(bytes).toString("hex")).toBe("28000000feffffffffffffff00000000");
});

test.each([
  { cid: -1, port: 5000 },
  { cid: 1.5, port: 5000 },
  { cid: 0x1_0000_0000, port: 5000 },
  { cid: Number.NaN, port: 5000 },
  { cid: 3, port: -1 },
  { cid: 3, port: 0xffffffff },
  { cid: 3, port: Number.NaN },
])("is no address: $cid:$port", (address) => {
  expect(() => requireVsockAddress(address)).toThrow(TypeError);
  expect(() => connectVsock(address)).toThrow(TypeError);
});

test("listening at no port is refused, and a connect without a time", async () => {
  await expect(listenVsock(-1, () => undefined)).rejects.toThrow(TypeError);
  for (const timeoutMs of [0, -1, 0.5, 600_001, Number.NaN]) {
    expect(() => connectVsock({ cid: 2, port: 1 }, { timeoutMs })).toThrow(TypeError);
  }
});
