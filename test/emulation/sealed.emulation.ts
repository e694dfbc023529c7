/**
 * A sealed model in the production image: real kernel, real /dev/nsm and vsock, the AWS SDK inside,
 * and outside a host that forwards its connection to dev-kms, which believes the emulated module's root.
 */
import { X509Certificate } from "node:crypto";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeHex } from "@countersign/attestation";
import type { MeasuredImage } from "@countersign/image";
import { type DevKms, type DevKmsEntry, startDevKms } from "@countersign/sealing";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { objectOf } from "../fakes/json-lines.ts";
import { runProgram } from "../fakes/programs.ts";
import { buildEnclave, imagePath, REPOSITORY } from "./image.ts";
import { rootCertificate } from "./machine.ts";
import { emulationPolicy, type NodeSetting, OperatedNode, writePolicy } from "./operator.ts";
import { Packages } from "./packages.ts";

const SEVEN = join(REPOSITORY, "examples", "seven.png");
const MEMORY_MIB = 1024;
const CACHE_MIB = 64;
const RESTART_MS = 90_000;
const TWO_BOOTS_MS = 240_000;
const CREDENTIALS = "AWS_SHARED_CREDENTIALS_FILE";

const cache = inject("emulation");
const entries: DevKmsEntry[] = [];
let folder: string;
let kms: DevKms;
let image: MeasuredImage;
let policyPath: string;
let node: OperatedNode;
let digest: string;

beforeAll(async () => {
  if (cache === null) return;
  const packages = new Packages(cache);
  folder = await mkdtemp(join(tmpdir(), "countersign-emulation-"));
  const root = new Uint8Array(new X509Certificate(await rootCertificate(packages, folder)).raw);
  kms = await startDevKms({
    directory: join(folder, "kms"),
    listen: { host: "127.0.0.1", port: 0 },
    allowRemote: false,
    attestationRoots: () => Promise.resolve([root]),
    log: (entry) => entries.push(entry),
  });
  await seal();
  image = await buildEnclave(packages, imagePath(folder, "enclave"), kms.keyServicesPath);
  await must("release", "--image", image.file, "--out", join(folder, "release.json"));
  await allow([]);
  const models = join(folder, "sealed");
  const policy = await emulationPolicy(packages, folder, image, models);
  policyPath = await writePolicy(join(folder, "policy.json"), policy);
  // The host's own, as AWS's tools find them.
  process.env[CREDENTIALS] = kms.node.credentialsPath;
  node = new OperatedNode(folder);
  await node.start(setting(models), ["--key-services", kms.keyServicesPath]);
});

afterAll(async () => {
  if (cache === null) return;
  await node.stop();
  await kms.close();
  await rm(folder, { recursive: true });
});

describe.skipIf(cache === null)("an emulated enclave with a sealed model", () => {
  it("gets the key by its attestation, over TLS that ends inside it", () => {
    const decrypted = entries.filter(
      ({ action, outcome }) => action === "Decrypt" && outcome === "ok",
    );
    expect(decrypted).toMatchObject([{ principal: kms.node.arn, pcr0: encodeHex(image.pcr0) }]);
    const told = node.events.filter(({ what }) => what === "key-released");
    expect(told).toMatchObject([{ id: "digits", version: "1" }]);
  });

  it("serves it, and the receipt has the digest of what the owner sealed", async () => {
    const policy = ["--policy", policyPath];
    await must("infer", "digits", "--input", SEVEN, "--node", node.url, ...policy, "--proof", "p");
    const verified = objectOf(await must("verify", "p", "--opening", "--json", ...policy));
    expect(verified).toMatchObject({
      result: "verified",
      platform: "aws-nitro",
      claims: { model: { id: "digits", digest } },
    });
  });

  it(
    "gets nothing once its release is withdrawn, and goes on when it is allowed again",
    async () => {
      const from = node.events.length;
      await allow(["--model", "0".repeat(64)]);
      await node.killGuest();
      await node.event("enclave-restarting", from, RESTART_MS);
      const refusal = node.events.length;
      const exited = await node.event("enclave-exited", refusal, RESTART_MS);
      expect(exited).toMatchObject({ reason: "key/denied" });
      expect(entries.at(-1)).toMatchObject({ action: "Decrypt", outcome: "AccessDeniedException" });
      await allow([]);
      await node.event("enclave-restarted", refusal, RESTART_MS);
      const words = ["infer", "digits", "--input", SEVEN, "--node", node.url];
      expect(await must(...words, "--policy", policyPath)).toMatch(/probabilities {2}7 /u);
    },
    TWO_BOOTS_MS,
  );
});

function setting(models: string): NodeSetting {
  const machine = { memoryMib: MEMORY_MIB, cacheMib: CACHE_MIB, listen: "127.0.0.1:0" };
  return { folder, image: image.file, models, ...machine };
}

/** The owner's part: a model in clear, and what may be given away. */
async function seal(): Promise<void> {
  const plain = join(folder, "plain");
  const version = join("digits", "1");
  await cp(join(REPOSITORY, "models", version), join(plain, version), { recursive: true });
  digest = (await must("model", "digest", join(plain, version), "--quiet")).trim();
  const key = ["--kms-key", kms.keys[0].alias, "--region", kms.region];
  const reach = ["--kms-endpoint", kms.url, "--kms-ca", kms.caPath];
  await must("model", "seal", plain, "--out", join(folder, "sealed"), ...key, ...reach);
  await rm(plain, { recursive: true });
}

/** The key's policy: of the release that this image is. */
async function allow(more: readonly string[]): Promise<void> {
  const roles = ["--node-role", kms.node.arn, "--owner-role", kms.owner.arn];
  const words = ["--release", join(folder, "release.json"), "--account", "000000000000", ...roles];
  await writeFile(kms.keys[0].policyPath, await must("model", "policy", ...words, ...more));
}

/** The command line, with the owner's credentials. */
async function must(...words: readonly string[]): Promise<string> {
  const environment = { [CREDENTIALS]: kms.owner.credentialsPath };
  const { code, out, errors } = await runProgram(words, { folder, environment });
  if (code !== 0) throw new Error(`${words.join(" ")} ended with ${code}: ${errors}${out}`);
  return out;
}
