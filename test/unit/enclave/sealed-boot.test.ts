import { encodeHex, MODELS_REGISTER } from "@countersign/attestation";
import { encodeEnvelope, encodeProvisioning, parseKeyServices } from "@countersign/protocol";
import { fileProvider, type KeyBroker, startKeyBroker } from "@countersign/sealing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../enclave/clock.ts";
import type { Nsm } from "../../../enclave/nsm/nsm.ts";
import { SimulatedNsm } from "../../../enclave/simulation/nsm.ts";
import { BootHost } from "../../fakes/boot-host.ts";
import { relayTo } from "../../fakes/connect-host.ts";
import { ownersPolicy, VENDOR } from "../../fakes/key-broker.ts";
import { identityModel } from "../../fakes/onnx-proto.ts";
import { IMAGE } from "../../fakes/ring.ts";
import { type SealedModels, sealModels } from "../../fakes/sealed-files.ts";
import { provisioningOf, type TestModel } from "../../fakes/served.ts";

const MODELS: readonly TestModel[] = [
  { id: "plain", files: { "model.onnx": identityModel("FP32", [1, 2]) } },
  { id: "digits", files: { "model.onnx": identityModel("FP32", [1, 3]) } },
];
const OWNERS_KEY = new Uint8Array(32).fill(9);
const SERVICES = parseKeyServices(
  new TextEncoder().encode(
    JSON.stringify({
      version: 1,
      services: [{ kind: "broker", key: "*", endpoint: "http://broker.example:7480", roots: [] }],
      rootCertificates: [],
    }),
  ),
);
let host: BootHost;
let broker: KeyBroker;
let models: SealedModels;
let allowed: Uint8Array;

/** The second model sealed for the owner's broker, and the first in the clear. */
async function world(): Promise<void> {
  const [plain, secret] = MODELS;
  if (plain === undefined || secret === undefined) throw new Error("two models");
  const [row] = provisioningOf([secret]).models;
  if (row === undefined) throw new Error("a row");
  allowed = row.digest;
  const { key, envelope } = await fileProvider(OWNERS_KEY).generate(row.digest);
  const sealed = sealModels([secret], key);
  const rows = sealed.provisioning.models.map((each) => ({
    ...each,
    envelope: encodeEnvelope(envelope),
  }));
  const provisioning = provisioningOf([plain]);
  models = {
    provisioning: { ...provisioning, models: [...provisioning.models, ...rows] },
    stored: [plain, ...sealed.stored],
  };
  broker = await startKeyBroker({
    host: "127.0.0.1",
    port: 0,
    keys: [OWNERS_KEY],
    policy: () =>
      Promise.resolve(
        ownersPolicy((file) => {
          file["models"] = [{ id: "digits", digest: encodeHex(allowed) }];
        }),
      ),
    log: () => undefined,
  });
  await host.listen(
    ({ url = "" }, response) => {
      const [, folder, id, , path] = url.split("/");
      const bytes = models.stored.find((model) => model.id === id)?.files[path ?? ""];
      if (folder !== "models" || bytes === undefined) return false;
      response.end(bytes);
      return true;
    },
    encodeProvisioning(models.provisioning),
    relayTo(Number(new URL(broker.url).port)),
  );
}

beforeEach(async () => {
  host = await BootHost.make(VENDOR);
  await world();
});
afterEach(async () => {
  await host.close();
  await broker.close();
});

/** A module that notes what it attests to, and what is measured when. */
function noted(calls: string[]): Nsm {
  const module = new SimulatedNsm(VENDOR, IMAGE, systemClock.nowMs);
  return {
    describePcr: (index) => module.describePcr(index),
    extendPcr(index, data) {
      calls.push(`extend ${index}`);
      return module.extendPcr(index, data);
    },
    lockPcr: (index) => {
      module.lockPcr(index);
    },
    attest(request) {
      calls.push("attest");
      return module.attest(request);
    },
    random() {
      calls.push("random");
      return module.random();
    },
  };
}

describe("an enclave with a sealed model", () => {
  it("asks for its key after randomness, before any file, and before the models are measured", async () => {
    const calls = host.asked;
    const enclave = await host.boot({ nsm: noted(calls), keyServices: SERVICES });
    const challenge = "CONNECT broker.example:7480";
    expect(calls).toEqual([
      "/provisioning",
      // Before the first key that is made, which is the one to be asked with.
      "random",
      challenge,
      "attest",
      challenge,
      "/models/plain/1/model.onnx",
      "/models/digits/1/model.onnx",
      `extend ${MODELS_REGISTER}`,
      "random",
      "attest",
    ]);
    expect(host.phases.at(-1)).toBe("serving");
    const released = host.lines.filter(({ event }) => event === "key-released");
    expect(released.map(({ fields }) => [fields["id"], fields["kind"]])).toEqual([
      ["digits", "file"],
    ]);
    await enclave.close();
  });

  it("does not get it where the owner revokes the model, and then fetches nothing", async () => {
    allowed = new Uint8Array(32);
    await expect(host.boot({ keyServices: SERVICES })).rejects.toMatchObject({
      code: "key/denied",
    });
    expect(host.asked.filter((path) => path.startsWith("/models"))).toEqual([]);
    expect(host.lines.at(-2)).toEqual({
      event: "model-refused",
      fields: { id: "digits", version: "1", code: "key/denied" },
    });
  });

  it("does not get it with another image", async () => {
    const image = { ...IMAGE, pcr0: new Uint8Array(48).fill(0xee) };
    const nsm = new SimulatedNsm(VENDOR, image, systemClock.nowMs);
    await expect(host.boot({ nsm, keyServices: SERVICES })).rejects.toMatchObject({
      code: "key/denied",
    });
    expect(host.asked.filter((path) => path.startsWith("/models"))).toEqual([]);
  });
});
