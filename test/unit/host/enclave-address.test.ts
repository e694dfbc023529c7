import { describe, expect, it } from "vitest";
import {
  formatEnclaveAddress,
  parseEnclaveAddress,
  parseServicesAddress,
} from "../../../host/enclave-address.ts";
import { MAX_SOCKET_PATH_BYTES } from "../../../host/limits.ts";
import { refusalOf } from "./support.ts";

const DIRECTORY = "/srv/node";
const LONGEST = `/${"p".repeat(MAX_SOCKET_PATH_BYTES - 1)}`;

describe("where the enclave listens", () => {
  it.each([
    ["vsock:16:5000", { kind: "vsock", cid: 16, port: 5000 }],
    ["vsock:4294967294:1", { kind: "vsock", cid: 4_294_967_294, port: 1 }],
    ["unix:/run/e.sock", { kind: "unix", path: "/run/e.sock" }],
    ["vsock-uds:/run/vm.sock:5000", { kind: "vsock-uds", path: "/run/vm.sock", port: 5000 }],
    ["vsock-uds:/run/a:1:2", { kind: "vsock-uds", path: "/run/a:1", port: 2 }],
    [`unix:${LONGEST}`, { kind: "unix", path: LONGEST }],
  ] as const)("is %s", (text, address) => {
    expect(parseEnclaveAddress(text, DIRECTORY)).toEqual(address);
    expect(formatEnclaveAddress(address)).toBe(text);
  });

  it("is a path in the caller's directory where it is relative", () => {
    const unix = parseEnclaveAddress("unix:e.sock", DIRECTORY);
    expect(unix).toEqual({ kind: "unix", path: "/srv/node/e.sock" });
    const hybrid = parseEnclaveAddress("vsock-uds:vm:1", DIRECTORY);
    expect(hybrid).toEqual({ kind: "vsock-uds", path: "/srv/node/vm", port: 1 });
  });

  it.each([
    "",
    "vsock",
    "vsock:16",
    "vsock::5000",
    "vsock:0:5000",
    "vsock:16:0",
    "vsock:4294967295:5000",
    "vsock:16:4294967295",
    "vsock:99999999999:1",
    "vsock:-1:5000",
    "vsock:16:5000:1",
    "vsock:0x10:5000",
    "unix:",
    "unix:a\0b",
    `unix:${LONGEST}p`,
    "/run/e.sock",
    "vsock-uds:/run/vm.sock",
    "vsock-uds::5000",
    "vsock-uds:/run/vm.sock:0",
    `vsock-uds:${LONGEST}p:1`,
    "tcp:127.0.0.1:1",
  ])("is not %j", async (text) => {
    const refusal = await refusalOf(() => parseEnclaveAddress(text, DIRECTORY));
    expect(refusal.code).toBe("arguments/usage");
    expect(refusal.message).toContain("want vsock:CID:PORT, unix:PATH or vsock-uds:PATH:PORT");
  });
});

describe("where the host listens for its enclave", () => {
  it.each([
    ["vsock::7000", { kind: "vsock", port: 7000, cid: 16 }],
    ["unix:s.sock", { kind: "unix", path: "/srv/node/s.sock" }],
  ])("is %s", (text, address) => {
    expect(parseServicesAddress(text, DIRECTORY, 16)).toEqual(address);
  });

  it.each(["", "vsock:16:7000", "vsock::", "vsock::0", "vsock::4294967295", "vsock-uds:/a:1"])(
    "is not %j",
    async (text) => {
      const refusal = await refusalOf(() => parseServicesAddress(text, DIRECTORY, 16));
      expect(refusal.code).toBe("arguments/usage");
      expect(refusal.message).toContain("want vsock::PORT or unix:PATH");
    },
  );
});
