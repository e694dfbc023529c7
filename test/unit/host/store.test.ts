import { createHash, randomBytes } from "node:crypto";
import { execFileSync } from "node:child_process";
import { chmodSync, statSync, symlinkSync, truncateSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { parseManifest, parseProvisioning } from "@countersign/protocol";
import { describe, expect, it } from "vitest";
import { EnclaveContact } from "../../../host/contact.ts";
import { provisioningOf, serveProvisioning } from "../../../host/provision.ts";
import { scanModels } from "../../../host/store.ts";
import { readProvision } from "../../fakes/fake-enclave.ts";
import { memoryLog, NO_KEYS, onTestEnd, plant, refusalOf, scratch } from "./support.ts";

const CHOICE = {
  epochSeconds: 60,
  maxBodyBytes: 4096,
  cacheBytes: 1 << 24,
  maxSequences: 4,
  cpus: 3,
};

function sha256(bytes: Uint8Array | string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

describe("model store", () => {
  it("hashes every file of every version, sorted", async () => {
    const directory = scratch();
    const large = randomBytes(3 * 1024 * 1024 + 17);
    await plant(directory, {
      "digits/10/model.onnx": "ten",
      "digits/9/model.onnx": large,
      "digits/9/weights/a.bin": "",
      "digits/train.py": "not a model",
      "animals/1/model.onnx": "one",
      "README.md": "plain files above a version are left alone",
    });
    const { models, skipped } = await scanModels(directory);
    expect(models.map(({ id, version }) => `${id}/${version}`)).toEqual([
      "animals/1",
      "digits/9",
      "digits/10",
    ]);
    expect(skipped).toEqual([]);
    const nine = models[1];
    expect(nine?.digest).toEqual(sha256(nine?.manifest ?? ""));
    expect(parseManifest(nine?.manifest ?? new Uint8Array())).toEqual([
      { path: "model.onnx", size: large.length, sha256: sha256(large) },
      { path: "weights/a.bin", size: 0, sha256: sha256("") },
    ]);
  });

  it("passes over directories without a version, and says so", async () => {
    const directory = scratch();
    await plant(directory, {
      "digits/1/model.onnx": "x",
      "digits/__pycache__/a.pyc": "x",
      "__pycache__/a.pyc": "x",
      ".git/config": "x",
    });
    const { models, skipped } = await scanModels(directory);
    expect(models).toHaveLength(1);
    expect(skipped).toEqual([join(directory, "__pycache__")]);
  });

  it("tells a directory that is missing from one without models", async () => {
    const directory = scratch();
    await plant(directory, { file: "x" });
    const missing = await refusalOf(() => scanModels(join(directory, "none")));
    expect(missing.code).toBe("models/missing");
    expect(missing.message).toContain("--models");
    expect((await refusalOf(() => scanModels(join(directory, "file")))).code).toBe(
      "models/missing",
    );
    expect((await refusalOf(() => scanModels(directory))).code).toBe("models/empty");
  });

  it.each([
    ["a version without model.onnx", { "m/1/other.bin": "x" }, "m/1"],
    ["a version with leading zeros", { "m/01/model.onnx": "x" }, "m/01"],
    ["version 0", { "m/0/model.onnx": "x" }, "m/0"],
    ["a version beyond nine digits", { "m/1234567890/model.onnx": "x" }, "m/1234567890"],
    ["a name with a space", { "my model/1/model.onnx": "x" }, "my model"],
    ["a name of 65 characters", { [`${"m".repeat(65)}/1/model.onnx`]: "x" }, "m".repeat(65)],
    ["a hidden file", { "m/1/model.onnx": "x", "m/1/.DS_Store": "x" }, "m/1/.DS_Store"],
    ["a hidden directory", { "m/1/model.onnx": "x", "m/1/.git/a": "x" }, "m/1/.git"],
    ["a path that no manifest takes", { "m/1/model.onnx": "x", "m/1/a\\b": "x" }, "m/1"],
    ["deep directories", { "m/1/model.onnx": "x", "m/1/a/b/c/d/e/f/g/h/i": "x" }, "a/b/c"],
  ])("refuses %s and names it", async (_, files, named) => {
    const directory = scratch();
    await plant(directory, files);
    const refusal = await refusalOf(() => scanModels(directory));
    expect(refusal.code).toBe("models/layout");
    expect(refusal.message).toContain(named);
  });

  it("refuses an empty version", async () => {
    const directory = scratch();
    await mkdir(join(directory, "m/1"), { recursive: true });
    const refusal = await refusalOf(() => scanModels(directory));
    expect(refusal.code).toBe("models/layout");
    expect(refusal.message).toContain("is empty");
  });

  it.each(["m", "m/1", "m/1/model.onnx", "m/1/extra"])(
    "refuses a symbolic link at %s",
    async (at) => {
      const directory = scratch();
      const outside = scratch();
      await plant(outside, { "1/model.onnx": "x", "model.onnx": "x" });
      await plant(directory, { "other/1/model.onnx": "x" });
      if (at === "m/1/extra") await plant(directory, { "m/1/model.onnx": "x" });
      await mkdir(join(directory, at, ".."), { recursive: true });
      const target = at.endsWith("onnx") || at.endsWith("extra") ? "model.onnx" : ".";
      symlinkSync(join(outside, target), join(directory, at));
      const refusal = await refusalOf(() => scanModels(directory));
      expect(refusal.code).toBe("models/layout");
      expect(refusal.message).toContain(`${at} is a symbolic link`);
    },
  );

  it("refuses a pipe without waiting for its writer", async () => {
    const directory = scratch();
    await plant(directory, { "m/1/model.onnx": "x" });
    execFileSync("mkfifo", [join(directory, "m/1/pipe")]);
    const refusal = await refusalOf(() => scanModels(directory));
    expect(refusal.message).toContain("neither a file nor a directory");
  });

  it.skipIf(process.getuid?.() === 0)("names a file that it may not read", async () => {
    const directory = scratch();
    await plant(directory, { "m/1/model.onnx": "x" });
    chmodSync(join(directory, "m/1/model.onnx"), 0);
    const refusal = await refusalOf(() => scanModels(directory));
    expect(refusal.code).toBe("models/unreadable");
    expect(refusal.message).toContain("EACCES");
  });
});

describe("provision server", () => {
  it("gives the enclave its configuration and the manifests' files, and nothing else", async () => {
    const directory = scratch();
    const socket = join(scratch(), "p.sock");
    const model = randomBytes(700_000);
    await plant(directory, {
      "digits/1/model.onnx": model,
      "digits/1/a b%2f?.bin": "odd",
      "digits/1/empty": "",
      "secret.txt": "secret",
    });
    const { models } = await scanModels(directory);
    const server = await serveProvisioning(
      { kind: "unix", path: socket },
      models,
      CHOICE,
      new EnclaveContact(memoryLog().log),
      NO_KEYS,
    );
    onTestEnd(() => server.close());
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    const configuration = await readProvision(socket, "/provisioning");
    expect(parseProvisioning(configuration.bytes)).toEqual(provisioningOf(models, CHOICE));
    const read = async (path: string): Promise<number | Buffer> => {
      const { status, bytes } = await readProvision(socket, path);
      return status === 200 ? Buffer.from(bytes) : status;
    };
    expect(await read("/models/digits/1/model.onnx")).toEqual(model);
    const odd = encodeURIComponent("a b%2f?.bin");
    expect(await read(`/models/digits/1/${odd}`)).toEqual(Buffer.from("odd"));
    expect(await read("/models/digits/1/empty")).toEqual(Buffer.alloc(0));
    for (const path of ["/models/digits/1/../../secret.txt", "/models/digits/2/model.onnx", "/"]) {
      expect(await read(path)).toBe(404);
    }
    expect(await read("/%zz")).toBe(400);
  });

  it("never sends another length than the manifest's", async () => {
    const directory = scratch();
    const socket = join(scratch(), "p.sock");
    await plant(directory, { "digits/1/model.onnx": "12345678" });
    const { models } = await scanModels(directory);
    const server = await serveProvisioning(
      { kind: "unix", path: socket },
      models,
      CHOICE,
      new EnclaveContact(memoryLog().log),
      NO_KEYS,
    );
    onTestEnd(() => server.close());
    truncateSync(join(directory, "digits/1/model.onnx"), 4);
    expect((await readProvision(socket, "/models/digits/1/model.onnx")).status).toBe(500);
  });
});
