import { MODELS_REGISTER, parseBundle } from "@countersign/attestation";
import { encodeProvisioning } from "@countersign/protocol";
import { nativePrimitives } from "@countersign/protocol/native";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "../../../enclave/clock.ts";
import type { Nsm } from "../../../enclave/nsm/nsm.ts";
import { SimulatedNsm } from "../../../enclave/simulation/nsm.ts";
import { BOOT_MODEL, BootHost } from "../../fakes/boot-host.ts";
import { IMAGE, newVendor } from "../../fakes/ring.ts";
import { provisioningOf } from "../../fakes/served.ts";

const vendor = newVendor();
let host: BootHost;
beforeEach(async () => {
  host = await BootHost.make(vendor);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await host.close();
});

/** A module that notes each call. */
function noted(calls: string[]): Nsm {
  const module = new SimulatedNsm(vendor, IMAGE, systemClock.nowMs);
  return {
    describePcr(index) {
      calls.push(`describe ${index}`);
      return module.describePcr(index);
    },
    extendPcr(index, data) {
      calls.push(`extend ${index}`);
      return module.extendPcr(index, data);
    },
    lockPcr(index) {
      calls.push(`lock ${index}`);
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

describe("the order of a boot", () => {
  it("is: mix in the module's randomness, verify, measure and lock, then keys", async () => {
    const calls: string[] = [];
    const mixed: Uint8Array[] = [];
    const random = nativePrimitives.random.bind(nativePrimitives);
    vi.spyOn(nativePrimitives, "random").mockImplementation((length) => {
      calls.push("private key");
      return random(length);
    });
    await host.listen((request) => {
      calls.push(request.url ?? "");
      return false;
    });
    await host.boot({
      nsm: noted(calls),
      mixRandomness: (bytes) => {
        calls.push("mix");
        mixed.push(bytes.slice());
      },
      log: (event, fields = {}) => {
        if (event === "model-loaded") calls.push(event);
        if (event === "phase") calls.push(`= ${String(fields["phase"])}`);
      },
    });
    expect(calls).toEqual([
      "= boot",
      "/provisioning",
      "= configured",
      "random",
      "mix",
      "/models/echo/1/model.onnx",
      "model-loaded",
      "= models-verified",
      `describe ${MODELS_REGISTER}`,
      `extend ${MODELS_REGISTER}`,
      `lock ${MODELS_REGISTER}`,
      `describe ${MODELS_REGISTER}`,
      "= models-measured",
      "random",
      "private key",
      "attest",
      "= epoch-open",
      "= serving",
    ]);
    expect(mixed.map(({ length }) => length)).toEqual([256]);
  });

  it("ends before any key where a model is another", async () => {
    const calls: string[] = [];
    await host.listen((request, response) => {
      if (request.url === "/provisioning") return false;
      response.end(Buffer.from(BOOT_MODEL.files["model.onnx"] ?? []).fill(0));
      return true;
    });
    await expect(host.boot({ nsm: noted(calls) })).rejects.toThrow("model/hash");
    expect(calls).toEqual(["random"]);
    expect(host.phases).toEqual(["boot", "configured", "closed"]);
  });

  it("ends before any key where the generators do not take the module's bytes", async () => {
    const calls: string[] = [];
    await host.listen();
    const mixRandomness = (): never => {
      throw new RangeError("full");
    };
    await expect(host.boot({ nsm: noted(calls), mixRandomness })).rejects.toThrow("full");
    expect(calls).toEqual(["random"]);
    expect(host.asked).toEqual(["/provisioning"]);
    expect(host.phases.at(-1)).toBe("closed");
  });

  it("says nothing of models that do not fit into memory but what they need", async () => {
    await host.listen();
    const boot = host.boot({ availableBytes: () => 134_217_727 });
    await expect(boot).rejects.toThrow(
      /^boot\/memory: .* need \d+ bytes, and 134217727 are there/u,
    );
    expect(host.asked).toEqual(["/provisioning"]);
    const line = host.lines.find(({ event }) => event === "memory");
    expect(line?.fields["haveBytes"]).toBe(134_217_727);
    expect(line?.fields["needBytes"]).toBeGreaterThan(134_217_728);
    expect(host.phases).toEqual(["boot", "configured", "closed"]);
  });

  it("judges every manifest before a byte of any model is asked for", async () => {
    const good = provisioningOf([BOOT_MODEL, { ...BOOT_MODEL, id: "other" }]);
    const [first, second] = good.models;
    if (first === undefined || second === undefined) throw new TypeError("two models");
    const other = { ...second, digest: new Uint8Array(32) };
    await host.listen(undefined, encodeProvisioning({ ...good, models: [first, other] }));
    await expect(host.boot()).rejects.toThrow("model/digest");
    expect(host.asked).toEqual(["/provisioning"]);
    const refused = host.lines.find(({ event }) => event === "model-refused");
    expect(refused?.fields).toEqual({ id: "other", version: "1", code: "model/digest" });
  });

  it("ends in a bundle whose platform is the entry's", async () => {
    await host.listen();
    const enclave = await host.boot({ platform: "aws-nitro" });
    const bundle = await fetchBundle(host);
    expect(parseBundle(bundle).platform).toBe("aws-nitro");
    await enclave.close();
  });
});

async function fetchBundle({ path }: BootHost): Promise<Uint8Array> {
  const { request } = await import("node:http");
  return await new Promise((resolve, reject) => {
    const socketPath = path.replace(/host$/u, "enclave");
    const outgoing = request({ socketPath, path: "/bundle", agent: false }, (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("end", () => {
        resolve(new Uint8Array(Buffer.concat(pieces)));
      });
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}
