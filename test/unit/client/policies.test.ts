import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  appraiseBundle,
  encodeBundle,
  encodeModelSet,
  parsePolicy,
} from "@countersign/attestation";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { writeDevelopmentPolicy } from "../../../client/cli/commands/quickstart.ts";
import { CommandError } from "../../../client/cli/exit.ts";
import { firstUsePolicy } from "../../../client/cli/first-use.ts";
import { hashModel, hashRepository } from "../../../client/cli/models.ts";
import {
  composePolicy,
  encodePolicy,
  loadPolicy,
  type PlatformEntry,
  PolicyError,
} from "../../../client/cli/policies.ts";
import type { Terminal } from "../../../client/cli/terminal.ts";
import { createAttester, makeEpoch, NOW_MS, seededRandom } from "../../fakes/attester.ts";
import { rejection } from "./rejection.ts";

let directory: string;
let attester: ReturnType<typeof createAttester>;
let entry: PlatformEntry;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-test-"));
  attester = createAttester({ random: seededRandom("policies"), nowMs: NOW_MS });
  const register = "11".repeat(48);
  entry = {
    roots: [Buffer.from(attester.rootSha256).toString("hex")],
    rootCertificates: [attester.rootPem],
    measurements: [{ name: "development", pcr0: register, pcr1: register, pcr2: register }],
    debug: false,
  };
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

describe("hashModel", () => {
  it("is the SHA-256 of the manifest of every file", async () => {
    const version = join(directory, "m", "1");
    await mkdir(join(version, "data"), { recursive: true });
    await writeFile(join(version, "model.onnx"), "onnx");
    await writeFile(join(version, "data", "weights.bin"), "");
    const model = await hashModel(version, "m", "1");
    const sorted = model.files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
    expect(sorted.map(({ path, size }) => [path, size])).toEqual([
      ["data/weights.bin", 0],
      ["model.onnx", 4],
    ]);
    const sha256 = createHash("sha256").update("onnx").digest();
    expect(sorted[1]?.sha256).toEqual(new Uint8Array(sha256));
    await writeFile(join(version, "model.onnx"), "onny");
    expect((await hashModel(version, "m", "1")).digest).not.toEqual(model.digest);
  });

  it("refuses hidden files, links, and nothing at all", async () => {
    const version = join(directory, "m", "1");
    await mkdir(version, { recursive: true });
    await expect(hashModel(version, "m", "1")).rejects.toThrow("is empty");
    await symlink("/etc/hostname", join(version, "model.onnx"));
    await expect(hashModel(version, "m", "1")).rejects.toThrow("no plain file");
    await rm(join(version, "model.onnx"));
    await writeFile(join(version, ".hidden"), "");
    await expect(hashModel(version, "m", "1")).rejects.toThrow("is hidden");
  });
});

describe("hashRepository", () => {
  it("lists every version by rising number and passes over what is no model", async () => {
    for (const path of ["b/2", "b/10", "a/1", "a/notes"]) {
      await mkdir(join(directory, path), { recursive: true });
      await writeFile(join(directory, path, "model.onnx"), path);
    }
    await writeFile(join(directory, "README.md"), "");
    const models = await hashRepository(directory);
    expect(models.map(({ id, version }) => [id, version])).toEqual([
      ["a", "1"],
      ["b", "2"],
      ["b", "10"],
    ]);
  });

  it("says where there are no models", async () => {
    await expect(hashRepository(directory)).rejects.toThrow("no models");
    await expect(hashRepository(join(directory, "none"))).rejects.toThrow("no such directory");
  });
});

describe("composePolicy", () => {
  it("makes a policy that the verifier reads", () => {
    const digest = new Uint8Array(32).fill(5);
    const twice = [
      { id: "digits", digest },
      { id: "digits", digest },
    ];
    const file = composePolicy("simulated", entry, twice, NOW_MS);
    const policy = parsePolicy(encodePolicy(file));
    expect(policy.models).toEqual([{ id: "digits", digest }]);
    expect(policy.expiresMs).toBe(Date.UTC(2027, 10, 21));
  });
});

describe("firstUsePolicy", () => {
  it("trusts what the bundle shows, and nothing else", async () => {
    const epoch = await makeEpoch(attester);
    const policy = parsePolicy(encodePolicy(firstUsePolicy(epoch.bundle, NOW_MS)));
    const context = { mode: "live", nowMs: NOW_MS, nonce: null } as const;
    const { verdict } = await appraiseBundle(epoch.bundle, policy, context);
    expect([verdict.result, verdict.measurement]).toEqual(["verified", "first-use"]);
    const other = await makeEpoch(attester);
    const judged = await appraiseBundle(other.bundle, policy, context);
    expect(judged.verdict.failure).toBe("untrusted");
  });

  it("does not trust an enclave in debug mode", async () => {
    const zero = new Uint8Array(48);
    const pcrs = new Map([0, 1, 2].map((index) => [index, zero]));
    const epoch = await makeEpoch(attester, { pcrs });
    expect(() => firstUsePolicy(epoch.bundle, NOW_MS)).toThrow("debug mode");
  });

  it("does not let a node call a root of its own AWS Nitro's", async () => {
    const epoch = await makeEpoch(attester, { platform: "aws-nitro" });
    expect(() => firstUsePolicy(epoch.bundle, NOW_MS)).toThrow("not AWS's");
  });

  it("says that it is the bundle where no policy can be made of it", async () => {
    const { parts } = await makeEpoch(attester);
    const unknown = encodeBundle({ ...parts, platform: "imaginary" });
    expect(() => firstUsePolicy(unknown, NOW_MS)).toThrow(CommandError);
    const none = encodeBundle({ ...parts, models: encodeModelSet([]) });
    expect(() => firstUsePolicy(none, NOW_MS)).toThrow(CommandError);
  });

  it("refuses what is no bundle", () => {
    expect(() => firstUsePolicy(new Uint8Array(10), NOW_MS)).toThrow(CommandError);
  });
});

describe("loadPolicy", () => {
  it("says how to get a policy where there is none", async () => {
    const error = await rejection(loadPolicy(join(directory, "none.json")), PolicyError);
    expect([error.exitCode, error.failure]).toEqual([2, "unreachable"]);
    expect(error.fix).toContain("policy init");
  });

  it("names the place of a mistake, and judges nothing", async () => {
    const path = join(directory, "policy.json");
    const model = { id: "m", digest: new Uint8Array(32) };
    const file = composePolicy("simulated", entry, [model], NOW_MS);
    await writeFile(path, JSON.stringify({ ...file, extra: 1 }, null, 2));
    const error = await rejection(loadPolicy(path), PolicyError);
    expect(error.message).toMatch(/policy\.json:\d+:3: \/extra: unknown key/u);
    expect([error.exitCode, error.failure]).toEqual([2, "malformed"]);
  });
});

describe("the quickstart's policy", () => {
  const said: string[] = [];
  const same = (text: string): string => text;
  const terminal: Terminal = {
    paint: { good: same, bad: same, warn: same, dim: same, bold: same },
    print: (line) => said.push(line),
    note: (line) => said.push(line),
    write: () => undefined,
  };
  const model = (fill: number): { id: string; digest: Uint8Array } => ({
    id: "digits",
    digest: new Uint8Array(32).fill(fill),
  });
  const nowMs = Date.now();

  it("is written once, kept while it fits, and replaced loudly when files changed", async () => {
    const path = join(directory, "policy.json");
    const first = composePolicy("simulated", entry, [model(1)], nowMs);
    await writeDevelopmentPolicy(path, first, terminal);
    const written = await readFile(path, "utf8");
    const later = composePolicy("simulated", entry, [model(1)], nowMs + 5 * 86_400_000);
    await writeDevelopmentPolicy(path, later, terminal);
    expect(await readFile(path, "utf8")).toBe(written);
    await writeDevelopmentPolicy(
      path,
      composePolicy("simulated", entry, [model(2)], nowMs),
      terminal,
    );
    expect(await readFile(`${path}.old`, "utf8")).toBe(written);
    expect(await readFile(path, "utf8")).toContain("02".repeat(32));
    expect(said.at(-1)).toContain("wrote it anew");
  });

  it("leaves a policy that trusts hardware alone", async () => {
    const path = join(directory, "policy.json");
    const mine = JSON.stringify({ platforms: { "aws-nitro": {} } });
    await writeFile(path, mine);
    await writeDevelopmentPolicy(
      path,
      composePolicy("simulated", entry, [model(1)], nowMs),
      terminal,
    );
    expect(await readFile(path, "utf8")).toBe(mine);
    expect(said.at(-1)).toContain("stays as it is");
  });
});
