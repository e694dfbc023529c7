/**
 * QEMU's own Nitro Enclave boots our images: it reads the file, and measures it, by code that is not
 * ours. It signs nothing, so a client has to reject what it attests.
 */
import { generateKeyPairSync } from "node:crypto";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeHex } from "@countersign/attestation";
import { parseSigningKey } from "@countersign/image";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { issueCertificate } from "../../enclave/simulation/certificate.ts";
import { certificatePem, randomSerial } from "../../enclave/simulation/vendor.ts";
import { countersign } from "./client.ts";
import { buildEnclave, buildGuest, imagePath, REPOSITORY } from "./image.ts";
import { startMachine } from "./machine.ts";
import { nitroCommand } from "./nitro-qemu.ts";
import { emulationPolicy, OperatedNode, writePolicy } from "./operator.ts";
import { Packages } from "./packages.ts";

const REGISTERS = "test/emulation/registers.ts";
const DAY_MS = 86_400_000;

const cache = inject("emulation");
const qemu = inject("nitroQemu");
const absent = cache === null || qemu === null;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "countersign-eif-"));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe.skipIf(absent)("QEMU's Nitro Enclave", () => {
  it("finds the registers 0, 1, 2 and 8 that were computed of a signed image", async () => {
    const packages = new Packages(cache ?? "");
    const key = parseSigningKey(...signer(), Date.now());
    const image = await buildGuest(packages, imagePath(folder, "signed"), [REGISTERS], key);
    let said = "";
    const machine = await startMachine(packages, {
      image: image.file,
      cpus: 2,
      memoryMib: 1024,
      cid: 16,
      folder,
      nitroQemu: nitroCommand(qemu ?? ""),
      console: (chunk) => {
        said += Buffer.from(chunk).toString("utf8");
      },
    });
    expect([await machine.ended, said]).toEqual([null, expect.stringContaining("register 31 ")]);
    const wanted = [image.pcr0, image.pcr1, image.pcr2, image.pcr8 ?? new Uint8Array()];
    const found = [0, 1, 2, 8].map(
      (index) => new RegExp(`^register ${index} ([0-9a-f]{96}) true`, "mu").exec(said)?.[1],
    );
    expect(found).toEqual(wanted.map((value) => encodeHex(value)));
  });

  it("serves with documents that nobody signed, and a client rejects them", async () => {
    const packages = new Packages(cache ?? "");
    const models = join(folder, "models");
    const digits = join("digits", "1");
    await cp(join(REPOSITORY, "models", digits), join(models, digits), { recursive: true });
    const image = await buildEnclave(packages, imagePath(folder, "enclave"));
    const policy = await emulationPolicy(packages, folder, image, models);
    const policyPath = await writePolicy(join(folder, "policy.json"), policy);
    const node = new OperatedNode(folder);
    process.env["COUNTERSIGN_EMULATION_NITRO"] = qemu ?? "";
    try {
      await node.start({
        folder,
        image: image.file,
        models,
        memoryMib: 1024,
        cacheMib: 64,
        listen: "127.0.0.1:0",
      });
      const words = ["attest", node.url, "--policy", policyPath, "--json"];
      const { code, out } = await countersign(folder, ...words);
      expect(code).toBe(1);
      // Its header names no algorithm that signs: the document is none.
      expect(JSON.parse(out)).toMatchObject({
        result: "rejected",
        checks: expect.arrayContaining([
          expect.objectContaining({ id: "bundle", status: "fail", code: "cose/protected" }),
        ]) as unknown,
      });
    } finally {
      delete process.env["COUNTERSIGN_EMULATION_NITRO"];
      await node.stop();
    }
  });
});

/** A key for images, and its certificate, in PEM. */
function signer(): [key: string, certificate: string] {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
  const nowMs = Date.now();
  const certificate = issueCertificate({
    role: { authority: true, pathLength: null },
    serial: randomSerial(),
    issuerName: "emulation",
    issuerKey: privateKey,
    issuerPublicKey: publicKey,
    subjectName: "emulation",
    subjectPublicKey: publicKey,
    notBeforeMs: nowMs - DAY_MS,
    notAfterMs: nowMs + DAY_MS,
  });
  const pem = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  return [pem, certificatePem(certificate)];
}
