import { expect, test } from "vitest";
import { vsockTransport } from "../../../enclave/vsock-transport.ts";
import { vsockAvailable } from "../../../vsock/index.ts";

/** Chosen so that two runs of the tests on one machine seldom meet. */
const PORT = 40_000 + Math.floor(Math.random() * 20_000);
// Context id 0 is the hypervisor's own: nobody can listen there.
const OPTIONS = { listenPort: PORT, parentCid: 0, parentPort: 7000 };

// What needs two ends is in test/conformance/guest.ts: most machines have no vsock loopback.
test.skipIf(!vsockAvailable())("it listens at its port, once, and again after that", async () => {
  const transport = vsockTransport(OPTIONS);
  const listener = await transport.listen(() => undefined);
  await expect(transport.listen(() => undefined)).rejects.toMatchObject({
    code: "vsock/address-in-use",
  });
  await listener.close();
  await (await transport.listen(() => undefined)).close();
});

test("a dial is a stream at once, and fails as one", async () => {
  const stream = vsockTransport(OPTIONS).dial();
  const error = await new Promise((resolve) => stream.once("error", resolve));
  expect(error).toHaveProperty("name", "VsockError");
});

test("a parent that no address can mean is a bug, not a failure to connect", () => {
  expect(() => vsockTransport({ ...OPTIONS, parentCid: -1 }).dial()).toThrow(TypeError);
});
