import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Envelope } from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { neededKeyServices } from "../../../host/key-services.ts";
import { scanModels, type StoredModel } from "../../../host/store.ts";
import { FILE_ENVELOPE, KMS_ENVELOPE, plantVersion, sealedVersion } from "./sealed-files.ts";
import { plant, refusalOf, scratch } from "./support.ts";

const KMS_IN_CHINA: Envelope = {
  ...KMS_ENVELOPE,
  key: "arn:aws-cn:kms:cn-north-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef",
};

async function modelsOf(...envelopes: readonly Envelope[]): Promise<readonly StoredModel[]> {
  const directory = scratch();
  await plant(directory, { "clear/1/model.onnx": "in clear" });
  for (const [i, envelope] of envelopes.entries()) {
    await plantVersion(directory, `sealed${i}/1`, sealedVersion({ "model.onnx": 1 }, envelope));
  }
  return (await scanModels(directory)).models;
}

function fileOf(services: readonly unknown[]): string {
  const file = join(scratch(), "services.json");
  writeFileSync(file, JSON.stringify({ version: 1, services, rootCertificates: [] }));
  return file;
}

describe("the key services that a node's models need", () => {
  it("are AWS's own by the committed file, each region once", async () => {
    const models = await modelsOf(KMS_ENVELOPE, KMS_ENVELOPE, KMS_IN_CHINA);
    const needed = await neededKeyServices(null, models);
    expect(needed.map(({ kind, host, port }) => [kind, host, port])).toEqual([
      ["aws-kms", "kms.eu-central-1.amazonaws.com", 443],
      ["aws-kms", "kms.cn-north-1.amazonaws.com.cn", 443],
    ]);
  });

  it("are none where no model is sealed, whatever the file has", async () => {
    const models = await modelsOf();
    expect(await neededKeyServices(null, models)).toEqual([]);
    const broker = { kind: "broker", key: "*", endpoint: "http://b.example:7480", roots: [] };
    expect(await neededKeyServices(fileOf([broker]), models)).toEqual([]);
  });

  it("are those of the file that is named, and no others", async () => {
    const broker = { kind: "broker", key: "*", endpoint: "http://b.example:7480", roots: [] };
    const other = { ...broker, endpoint: "http://never.example:1" };
    const models = await modelsOf(FILE_ENVELOPE);
    const needed = await neededKeyServices(fileOf([broker, other]), models);
    expect(needed.map(({ url }) => url)).toEqual(["http://b.example:7480"]);
    const refusal = await refusalOf(async () =>
      neededKeyServices(fileOf([broker]), await modelsOf(FILE_ENVELOPE, KMS_ENVELOPE)),
    );
    expect(refusal.code).toBe("keys/services");
    expect(refusal.message).toContain("no service for sealed1/1, sealed by aws-kms key arn:aws:");
  });

  it("have to be there: a key file's broker is in no file but one's own", async () => {
    const models = await modelsOf(FILE_ENVELOPE);
    const refusal = await refusalOf(() => neededKeyServices(null, models));
    expect(refusal.code).toBe("keys/services");
    expect(refusal.message).toMatch(
      /enclave\/key-services\.json has no service for sealed0\/1, sealed by file key 0123.*--key-services$/u,
    );
  });

  it.each<[string, string, RegExp]>([
    ["is no JSON", "{", /services\.json: key-services\/structure/u],
    ["has a key more", '{"version":1,"services":[],"rootCertificates":[],"x":1}', /structure/u],
    ["is of another version", '{"version":2,"services":[],"rootCertificates":[]}', /structure/u],
  ])("are refused where the file %s, needed or not", async (_, text, message) => {
    const file = join(scratch(), "services.json");
    writeFileSync(file, text);
    const models = await modelsOf();
    const refusal = await refusalOf(() => neededKeyServices(file, models));
    expect(refusal.code).toBe("keys/services");
    expect(refusal.message).toMatch(message);
  });

  it("are refused where the file is not there", async () => {
    const file = join(scratch(), "none.json");
    const models = await modelsOf();
    const refusal = await refusalOf(() => neededKeyServices(file, models));
    expect([refusal.code, refusal.message.includes("ENOENT")]).toEqual(["keys/services", true]);
  });
});
