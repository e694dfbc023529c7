import { createHash } from "node:crypto";
import { mkdirSync, rmSync, symlinkSync, truncateSync } from "node:fs";
import { join } from "node:path";
import {
  encodeEnvelope,
  encodeProvisioning,
  encodeSeal,
  MAX_SEAL_BYTES,
  parseProvisioning,
  SEGMENT_BYTES,
} from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { EnclaveContact } from "../../../host/contact.ts";
import { provisioningOf, serveProvisioning } from "../../../host/provision.ts";
import { type ModelStore, scanModels } from "../../../host/store.ts";
import { readProvision } from "../../fakes/fake-enclave.ts";
import {
  FILE_ENVELOPE,
  KMS_ENVELOPE,
  KMS_KEY,
  manifestOf,
  plantVersion,
  sealedVersion,
} from "./sealed-files.ts";
import { CHOICE, memoryLog, NO_KEYS, onTestEnd, plant, refusalOf, scratch } from "./support.ts";

const SIZES = { "model.onnx": 100, "weights/a.bin": SEGMENT_BYTES + 1, "weights/empty.bin": 0 };

/** A store of one sealed version, m/1, and how its files lie there. */
async function sealedStore(): Promise<{
  readonly directory: string;
  readonly files: Readonly<Record<string, Uint8Array>>;
}> {
  const directory = scratch();
  const files = sealedVersion(SIZES);
  await plantVersion(directory, "m/1", files);
  return { directory, files };
}

/** What the store says of m/1 after `change`. */
async function refused(change: (version: string) => Promise<void> | void): Promise<string> {
  const { directory } = await sealedStore();
  await change(join(directory, "m/1"));
  const { code, message } = await refusalOf(() => scanModels(directory));
  expect(code).toBe("models/layout");
  return message;
}

describe("a sealed version in the store", () => {
  it("has its owner's manifest and digest, its envelope, and the sealed files' sizes", async () => {
    const { directory, files } = await sealedStore();
    await plant(directory, { "m/2/model.onnx": "in clear" });
    const { models } = await scanModels(directory);
    expect(models.map(({ version, envelope }) => [version, envelope?.kind])).toEqual([
      ["1", "aws-kms"],
      ["2", undefined],
    ]);
    const [sealed] = models;
    const manifest = manifestOf(SIZES);
    expect(sealed?.manifest).toEqual(manifest);
    const digest = createHash("sha256").update(manifest).digest();
    expect(sealed?.digest).toEqual(new Uint8Array(digest));
    expect(sealed?.envelope).toEqual({ ...KMS_ENVELOPE, bytes: encodeEnvelope(KMS_ENVELOPE) });
    expect(sealed?.files.map(({ path, size }) => [path, size])).toEqual([
      ["model.onnx", files["model.onnx.sealed"]?.length],
      ["weights/a.bin", SEGMENT_BYTES + 1 + 32],
      ["weights/empty.bin", 16],
    ]);
  });

  it("may hold a file that is called like a seal, deeper down", async () => {
    const directory = scratch();
    await plantVersion(directory, "m/1", sealedVersion({ ...SIZES, "weights/seal.cbor": 3 }));
    const { models } = await scanModels(directory);
    expect(models[0]?.files.map(({ path }) => path)).toContain("weights/seal.cbor");
  });

  it.each<[string, string, string]>([
    ["a file in clear beside the sealed ones", "model.onnx", "m/1/model.onnx is not in the seal"],
    ["a sealed file more", "other.bin.sealed", "m/1/other.bin.sealed is not in the seal"],
    ["a README", "README.md", "m/1/README.md is not in the seal's manifest: a sealed version"],
    ["a file in a folder of its own", "more/x", "m/1/more/x is not in the seal"],
    ["a hidden file", ".x", "m/1/.x is hidden"],
  ])("with %s is refused", async (_, path, words) => {
    expect(await refused((version) => plant(version, { [path]: "x" }))).toContain(words);
  });

  it("without one of its files is refused, and the file is named", async () => {
    const message = await refused((version) => {
      rmSync(join(version, "weights/a.bin.sealed"));
    });
    expect(message).toMatch(/m\/1 is sealed and has no weights\/a\.bin\.sealed$/u);
  });

  it.each([
    ["model.onnx.sealed", 115, 116],
    ["model.onnx.sealed", 117, 116],
    ["weights/empty.bin.sealed", 0, 16],
    ["weights/a.bin.sealed", SEGMENT_BYTES + 1, SEGMENT_BYTES + 33],
  ])("with %s of %i bytes is refused", async (path, found, wanted) => {
    const message = await refused((version) => {
      truncateSync(join(version, path), found);
    });
    expect(message).toContain(`${path} has ${found} bytes: its seal wants ${wanted}`);
  });

  it.each(["seal.cbor", "model.onnx.sealed"])("with a link at %s is refused", async (path) => {
    const message = await refused((version) => {
      rmSync(join(version, path));
      symlinkSync("/dev/null", join(version, path));
    });
    expect(message).toContain(`${path} is a symbolic link`);
  });

  it.each<[string, Uint8Array]>([
    ["is empty", new Uint8Array()],
    ["is no CBOR", new TextEncoder().encode("seal")],
    [
      "has a manifest that is none",
      encodeSeal({ manifest: Uint8Array.of(1), envelope: encodeEnvelope(KMS_ENVELOPE) }),
    ],
    [
      "has an envelope that is none",
      encodeSeal({ manifest: manifestOf(SIZES), envelope: Uint8Array.of(1) }),
    ],
    ["is longer than any", new Uint8Array(MAX_SEAL_BYTES + 1)],
  ])("whose seal %s is refused", async (_, seal) => {
    const message = await refused((version) => plant(version, { "seal.cbor": seal }));
    expect(message).toMatch(/m\/1\/seal\.cbor (?:is no seal: |has \d+ bytes: a seal has at most)/u);
  });

  it("without its seal is no model, and the files say why", async () => {
    const message = await refused((version) => {
      rmSync(join(version, "seal.cbor"));
    });
    expect(message).toContain("m/1 has sealed files and no seal.cbor");
  });

  it("with a folder in the place of its seal is no model", async () => {
    const message = await refused((version) => {
      rmSync(join(version, "seal.cbor"));
      mkdirSync(join(version, "seal.cbor"));
    });
    expect(message).toContain("no seal.cbor");
  });

  it("of files that no enclave serves is refused as those in clear are", async () => {
    const directory = scratch();
    await plantVersion(directory, "m/1", sealedVersion({ "config.json": 2 }));
    const refusal = await refusalOf(() => scanModels(directory));
    expect(refusal.message).toContain("no model.onnx and no onnx/");
  });
});

async function serveStore({ models }: ModelStore): Promise<string> {
  const path = join(scratch(), "p.sock");
  const contact = new EnclaveContact(memoryLog().log);
  const server = await serveProvisioning({ kind: "unix", path }, models, CHOICE, contact, NO_KEYS);
  onTestEnd(() => server.close());
  return path;
}

describe("what an enclave is given of it", () => {
  it("is the envelope in its row, and the sealed bytes under the manifest's paths", async () => {
    const { directory, files } = await sealedStore();
    await plantVersion(directory, "n/1", sealedVersion({ "model.onnx": 1 }, FILE_ENVELOPE));
    await plant(directory, { "o/1/model.onnx": "in clear" });
    const store = await scanModels(directory);
    const socket = await serveStore(store);
    const { bytes } = await readProvision(socket, "/provisioning");
    const provisioning = parseProvisioning(bytes);
    expect(provisioning.models.map(({ id, envelope }) => [id, envelope])).toEqual([
      ["m", encodeEnvelope(KMS_ENVELOPE)],
      ["n", encodeEnvelope(FILE_ENVELOPE)],
      ["o", null],
    ]);
    expect(new Uint8Array(bytes)).toEqual(encodeProvisioning(provisioningOf(store.models, CHOICE)));
    const read = await readProvision(socket, "/models/m/1/weights/a.bin");
    expect(Buffer.from(files["weights/a.bin.sealed"] ?? "").equals(read.bytes)).toBe(true);
    for (const path of ["seal.cbor", "model.onnx.sealed", "weights/a.bin.sealed"]) {
      expect((await readProvision(socket, `/models/m/1/${path}`)).status).toBe(404);
    }
    expect(Buffer.from(bytes).includes(KMS_KEY)).toBe(true);
  });

  it("breaks off where the file is not what it was", async () => {
    const { directory } = await sealedStore();
    const socket = await serveStore(await scanModels(directory));
    truncateSync(join(directory, "m/1/model.onnx.sealed"), 40);
    expect((await readProvision(socket, "/models/m/1/model.onnx")).status).toBe(500);
  });
});
