/**
 * The production image on a real kernel, with a real /dev/nsm and real AF_VSOCK; the ordinary host
 * outside; the ordinary client, which pins the emulated module's root.
 */
import { createHash } from "node:crypto";
import { cp, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AWS_NITRO_ROOT_SHA256,
  encodeHex,
  encodeModelSet,
  parseBundle,
  parseEvidence,
} from "@countersign/attestation";
import { fetchBundle } from "@countersign/client";
import type { MeasuredImage } from "@countersign/image";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { hashRepository } from "../../client/cli/models.ts";
import type { PolicyFile } from "../../client/cli/policies.ts";
import { countersign } from "./client.ts";
import { rootCertificate } from "./machine.ts";
import { buildEnclave, imagePath, REPOSITORY } from "./image.ts";
import {
  emulationPolicy,
  isRunning,
  type NodeSetting,
  OperatedNode,
  writePolicy,
} from "./operator.ts";
import { Packages } from "./packages.ts";

const SEVEN = join(REPOSITORY, "examples", "seven.png");
const MEMORY_MIB = 1024;
const CACHE_MIB = 64;
const RESTART_MS = 60_000;
const END_MS = 20_000;
const ANY_PORT = "127.0.0.1:0";
const POLL_MS = 50;
const PCR_BYTES = 48;
const MODELS_REGISTER = 16;

const cache = inject("emulation");
let folder: string;
let models: string;
let image: MeasuredImage;
let policy: PolicyFile;
let policyPath: string;
let node: OperatedNode;
/** The guest that refused its model. */
let refused = 0;

beforeAll(async () => {
  if (cache === null) return;
  const packages = new Packages(cache);
  folder = await mkdtemp(join(tmpdir(), "countersign-emulation-"));
  models = join(folder, "models");
  await cp(join(REPOSITORY, "models", "digits", "1"), join(models, "digits", "1"), {
    recursive: true,
  });
  image = await buildEnclave(packages, imagePath(folder, "enclave"));
  policy = await emulationPolicy(packages, folder, image, models);
  policyPath = await writePolicy(join(folder, "policy.json"), policy);
  node = new OperatedNode(folder);
  await node.start(setting(models, CACHE_MIB));
});

afterAll(async () => {
  if (cache === null) return;
  await node.stop();
  await rm(folder, { recursive: true });
});

describe.skipIf(cache === null)("an emulated enclave", () => {
  it("went through the phases of its boot, in their order", () => {
    const phases = node.events.filter(({ what }) => what === "phase").map(({ phase }) => phase);
    expect(phases).toEqual([
      "boot",
      "configured",
      "models-verified",
      "models-measured",
      "epoch-open",
      "serving",
    ]);
  });

  it("answers in private, with a proof that verifies without it", async () => {
    const asking = ["infer", "digits", "--input", SEVEN, "--node", node.url];
    const keeping = ["--policy", policyPath, "--proof", "seven.proof"];
    const { code, out, errors } = await countersign(folder, ...asking, ...keeping);
    expect([code, errors]).toEqual([0, ""]);
    expect(out).toMatch(/probabilities {2}7 /u);
    const words = ["verify", "seven.proof", "--opening", "--policy", policyPath, "--json"];
    const verified = await countersign(folder, ...words);
    expect(verified.code).toBe(0);
    expect(JSON.parse(verified.out)).toMatchObject({ result: "verified" });
  });

  it("signs a document for a client's own nonce", async () => {
    const words = ["attest", node.url, "--challenge", "--policy", policyPath, "--json"];
    const { code, out } = await countersign(folder, ...words);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ result: "verified", platform: "aws-nitro" });
  });

  it("attests the registers that were computed of its image, and of the models on this disk", async () => {
    const { pcrs } = parseEvidence(parseBundle(await bundle()).evidence);
    const found = [0, 1, 2].map((index) => encodeHex(pcrs.get(index) ?? new Uint8Array()));
    expect(found).toEqual([image.pcr0, image.pcr1, image.pcr2].map((pcr) => encodeHex(pcr)));
    const digest = createHash("sha256").update(encodeModelSet(await hashRepository(models)));
    const register = createHash("sha384").update(Buffer.alloc(PCR_BYTES)).update(digest.digest());
    expect(encodeHex(pcrs.get(MODELS_REGISTER) ?? new Uint8Array())).toBe(register.digest("hex"));
  });

  it("is rejected by a client that pins AWS's root, another image, or another model", async () => {
    for (const [name, check, changed] of rejections()) {
      const path = await writePolicy(join(folder, `${name}.json`), changed);
      const words = ["attest", node.url, "--policy", path, "--json"];
      const { code, out } = await countersign(folder, ...words);
      expect([name, code]).toEqual([name, 1]);
      expect(JSON.parse(out)).toMatchObject({
        result: "rejected",
        checks: expect.arrayContaining([
          expect.objectContaining({ id: check, status: "fail" }),
        ]) as unknown,
      });
    }
  });

  it("is reported when its machine is killed, and started again with new keys", async () => {
    const before = await bundle();
    const from = node.events.length;
    await node.killGuest();
    expect(await node.event("enclave-exited", from, RESTART_MS)).toMatchObject({ reason: null });
    await node.event("enclave-restarted", from, RESTART_MS);
    const words = ["infer", "digits", "--input", SEVEN, "--node", node.url];
    const { code, errors } = await countersign(folder, ...words, "--policy", policyPath);
    expect([code, errors]).toEqual([0, ""]);
    expect(await bundle()).not.toEqual(before);
  });

  it("refuses a model whose bytes are not those that its host named", async () => {
    await changeByte(join(models, "digits", "1", "model.onnx"));
    const from = node.events.length;
    const killed = await node.guestPid();
    await node.killGuest();
    await node.event("enclave-restarting", from, RESTART_MS);
    const refusal = node.events.length;
    refused = await node.nextGuest(killed, RESTART_MS);
    expect(await node.event("enclave-exited", refusal, RESTART_MS)).toMatchObject({
      reason: "model/hash",
    });
    const phases = node.events.slice(refusal).filter(({ what }) => what === "phase");
    expect(phases.map(({ phase }) => phase)).toEqual(["boot", "configured", "closed"]);
    const { code } = await countersign(folder, "attest", node.url, "--policy", policyPath);
    expect(code).toBe(2);
  });

  it("does not outlive a host that is killed", async () => {
    // The host goes on trying: another guest boots, or is about to.
    const guest = await node.nextGuest(refused, RESTART_MS);
    node.killHost();
    const startedMs = performance.now();
    while (isRunning(guest) && performance.now() - startedMs < END_MS) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    expect(isRunning(guest)).toBe(false);
    await node.stop();
  });

  it("says the numbers where its memory does not hold what it is to serve", async () => {
    // A machine of its own: nothing of the one before is in its way.
    const own = join(folder, "own");
    await rootCertificate(new Packages(cache ?? ""), own);
    node = new OperatedNode(own);
    // The bundled text, with more for its keys and values than the machine has.
    const models = join(REPOSITORY, "models");
    const starting = node.start({ ...setting(models, 4 * MEMORY_MIB), folder: own });
    await expect(starting).rejects.toThrow(
      /boot\/memory\. The models need 4\d{3} MiB, and the enclave has [1-9]\d{2}:/u,
    );
  });
});

function setting(repository: string, cacheMib: number): NodeSetting {
  const memoryMib = MEMORY_MIB;
  return { folder, image: image.file, models: repository, memoryMib, cacheMib, listen: ANY_PORT };
}

async function bundle(): Promise<Uint8Array> {
  return await fetchBundle(fetch, new URL(node.url), null, null);
}

function rejections(): readonly (readonly [name: string, check: string, policy: object])[] {
  const entry = policy.platforms["aws-nitro"];
  const [model] = policy.models;
  if (entry === undefined || model === undefined) throw new TypeError("no policy to change");
  const [measurement] = entry.measurements;
  const other = { ...entry, measurements: [{ ...measurement, pcr2: "5a".repeat(PCR_BYTES) }] };
  const { measurements, debug } = entry;
  const aws = { roots: [encodeHex(AWS_NITRO_ROOT_SHA256)], measurements, debug };
  const models = [{ id: "digits", digest: "5a".repeat(32) }];
  return [
    ["root", "chain", { ...policy, platforms: { "aws-nitro": aws } }],
    ["image", "measurement", { ...policy, platforms: { "aws-nitro": other } }],
    ["model", "models", { ...policy, models }],
  ];
}

async function changeByte(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    const { size } = await file.stat();
    const byte = Buffer.alloc(1);
    const at = Math.floor(size / 2);
    await file.read(byte, 0, 1, at);
    byte[0] = (byte[0] ?? 0) ^ 1;
    await file.write(byte, 0, 1, at);
  } finally {
    await file.close();
  }
}
