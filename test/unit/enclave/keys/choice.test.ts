import { X509Certificate } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import { parseKeyServices } from "@countersign/protocol";
import type { Clock } from "../../../../enclave/clock.ts";
import { systemClock } from "../../../../enclave/clock.ts";
import { EnclaveError } from "../../../../enclave/errors.ts";
import { keyRelease } from "../../../../enclave/keys/choice.ts";
import type { KeyRelease } from "../../../../enclave/keys/release.ts";
import { SimulatedNsm } from "../../../../enclave/simulation/nsm.ts";
import { connectHost, type ConnectHost } from "../../../fakes/connect-host.ts";
import { IMAGE, newVendor } from "../../../fakes/ring.ts";
import { ENVELOPE } from "../../../fakes/sealed-files.ts";
import { refusal, ScriptedKms, STRANGER } from "../../../fakes/scripted-kms.ts";

const vendor = newVendor();
const DIGEST = new Uint8Array(32).fill(1);
/** Pauses between attempts are over at once; no time runs out. */
const HASTY: Clock = {
  ...systemClock,
  after(delayMs, run) {
    if (delayMs > 10_000) return () => undefined;
    const soon = setImmediate(run);
    return () => {
      clearImmediate(soon);
    };
  },
};
let host: ConnectHost | null = null;
let kms: ScriptedKms | null = null;
afterEach(async () => {
  await host?.close();
  await kms?.close();
  host = kms = null;
});

async function releaseThrough(services: readonly unknown[]): Promise<KeyRelease> {
  host = await connectHost((_, client) => client.end("HTTP/1.1 403 Forbidden\r\n\r\n"));
  const file = JSON.stringify({ version: 1, services, rootCertificates: [] });
  return keyRelease(parseKeyServices(new TextEncoder().encode(file)), {
    nsm: new SimulatedNsm(vendor, IMAGE, systemClock.nowMs),
    platform: "simulated",
    transport: host.transport,
    clock: HASTY,
    log: () => undefined,
  });
}

const BROKER = { kind: "broker", key: "*", endpoint: "http://broker.example:7480", roots: [] };

describe("a key is asked for", () => {
  it("at the service that the measured file names, and at no other", async () => {
    const keys = await releaseThrough([
      { ...BROKER, key: "f".repeat(32), endpoint: "http://other.example" },
      BROKER,
    ]);
    await expect(keys.release(ENVELOPE, new Uint8Array(9), DIGEST)).rejects.toMatchObject({
      code: "key/unreachable",
    });
    // An attempt or a few, all of them there.
    expect(new Set(host?.asked)).toEqual(new Set(["broker.example:7480"]));
  });

  it("nowhere where the file names none", async () => {
    const keys = await releaseThrough([{ ...BROKER, key: "f".repeat(32) }]);
    await expect(keys.release(ENVELOPE, new Uint8Array(9), DIGEST)).rejects.toMatchObject({
      code: "key-services/none",
    });
    expect(host?.asked).toEqual([]);
  });

  it("nowhere where the roots of the service are not there", async () => {
    const keys = await releaseThrough([
      { ...BROKER, endpoint: "https://broker.example", roots: ["ab".repeat(32)] },
    ]);
    await expect(keys.release(ENVELOPE, new Uint8Array(9), DIGEST)).rejects.toMatchObject({
      code: "key/services",
    });
    expect(host?.asked).toEqual([]);
  });
});

/** Of one KMS, for two regions: by whom it is to be vouched for differs. */
async function releaseFrom(
  regions: Readonly<Record<string, "its own" | "another">>,
): Promise<(region: string) => Promise<string>> {
  kms = await ScriptedKms.start(() => refusal(400, "AccessDeniedException"));
  const { service, roots, ...context } = kms.context();
  const [own = ""] = roots;
  const pinOf = (pem: string): string =>
    new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
  const services = Object.entries(regions).map(([region, whose]) => ({
    kind: "aws-kms",
    region,
    endpoint: service.url,
    roots: [pinOf(whose === "its own" ? own : STRANGER.certificate)],
  }));
  const rootCertificates = [own, STRANGER.certificate].map((pem) => pem.replaceAll("\r", ""));
  const file = JSON.stringify({ version: 1, services, rootCertificates });
  const keys = keyRelease(parseKeyServices(new TextEncoder().encode(file)), context);
  return async (region) => {
    const key = `arn:aws:kms:${region}:111122223333:key/0f6e1ab2-5d0f-4c1e-9d0a-6f5e4d3c2b1a`;
    const envelope = { kind: "aws-kms", key, wrapped: new Uint8Array(9) } as const;
    return await keys.release(envelope, new Uint8Array(9), DIGEST).then(
      () => "a key",
      (error: unknown) => (error instanceof EnclaveError ? error.code : "no code"),
    );
  };
}

describe("two entries with one endpoint", () => {
  it("have each its own roots, whichever is asked first", async () => {
    for (const first of ["eu-central-1", "eu-west-1"]) {
      const release = await releaseFrom({ "eu-central-1": "its own", "eu-west-1": "another" });
      const told = new Map([[first, await release(first)]]);
      for (const region of ["eu-central-1", "eu-west-1"]) {
        told.set(region, told.get(region) ?? (await release(region)));
      }
      expect(told.get("eu-central-1")).toBe("key/denied");
      expect(told.get("eu-west-1")).toBe("key/unreachable");
      await kms?.close();
    }
  });

  it("are each asked for its own region", async () => {
    const release = await releaseFrom({ "eu-central-1": "its own", "eu-west-1": "its own" });
    expect([await release("eu-central-1"), await release("eu-west-1")]).toEqual([
      "key/denied",
      "key/denied",
    ]);
    const scopes = kms?.asked.map(({ headers }) => headers.authorization?.split("/")[2]);
    expect(scopes).toEqual(["eu-central-1", "eu-west-1"]);
  });
});
