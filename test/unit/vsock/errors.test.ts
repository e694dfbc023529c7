import { expect, test } from "vitest";
import { connectFailure, streamFailure, systemFailure, VsockError } from "../../../vsock/errors.ts";

test.each([
  ["EAFNOSUPPORT", "vsock/unavailable"],
  ["EADDRINUSE", "vsock/address-in-use"],
  ["EACCES", "vsock/denied"],
  ["EPERM", "vsock/denied"],
  ["ECONNREFUSED", "vsock/refused"],
  ["ENODEV", "vsock/refused"],
  ["EHOSTUNREACH", "vsock/refused"],
  ["ENETUNREACH", "vsock/refused"],
  ["ETIMEDOUT", "vsock/timeout"],
  ["ECONNRESET", "vsock/reset"],
  ["EPIPE", "vsock/reset"],
  ["ENOTCONN", "vsock/reset"],
  ["ECANCELED", "vsock/reset"],
  ["EMFILE", "vsock/system"],
  ["errno 4000", "vsock/system"],
])("%s is %s, and the message has its name", (name, code) => {
  const error = systemFailure("vsock:3:7000", name);
  expect(error).toBeInstanceOf(VsockError);
  expect([error.code, error.message]).toEqual([code, `${code}: vsock:3:7000: ${name}`]);
});

test("a connect that is reset was refused; anything else is what it is", () => {
  expect(connectFailure("vsock:3:7000", "ECONNRESET").code).toBe("vsock/refused");
  expect(connectFailure("vsock:3:7000", "ETIMEDOUT").code).toBe("vsock/timeout");
});

test("a stream's error keeps what it was", () => {
  const known = new VsockError("vsock/timeout", "late");
  expect(streamFailure(known)).toBe(known);
  const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
  expect(streamFailure(reset)).toMatchObject({ code: "vsock/reset", cause: reset });
  expect(streamFailure(new TypeError("a bug")).code).toBe("vsock/system");
});
