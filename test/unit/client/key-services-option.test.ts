/** `--key-services` from the command line to the host, and to the policy of a simulation. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { encodeHex, parsePolicy } from "@countersign/attestation";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { parseArguments } from "../../../client/cli/arguments.ts";
import { NODE_OPTIONS, nodeWords } from "../../../client/cli/commands/node.ts";
import { policyInitCommand } from "../../../client/cli/commands/policy.ts";
import { parseArguments as parseHostArguments } from "../../../host/args.ts";
import { runCommand } from "./command-line.ts";

const COMMITTED = new URL("../../../enclave/key-services.json", import.meta.url).pathname;

let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "countersign-key-services-"));
  mkdirSync(join(folder, "models/m/1"), { recursive: true });
  writeFileSync(join(folder, "models/m/1/model.onnx"), "a model");
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** PCR0 to PCR2 of the policy that `policy init` writes. */
async function measured(...words: readonly string[]): Promise<readonly string[]> {
  const path = join(folder, "policy.json");
  const local = ["--models", join(folder, "models"), "--state", folder];
  await runCommand(policyInitCommand, ["--policy", path, "--force", ...local, ...words]);
  const simulated = parsePolicy(readFileSync(path, "utf8")).platforms.get("simulated");
  const [first] = simulated?.measurements === "unchecked" ? [] : (simulated?.measurements ?? []);
  return [0, 1, 2].map((index) => encodeHex(first?.registers.get(index) ?? new Uint8Array()));
}

function fileOf(name: string, text: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const NO_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

function brokerOf(roots: readonly string[], rootCertificates: readonly string[]): string {
  const endpoint = roots.length === 0 ? "http://broker.example" : "https://broker.example";
  const services = [{ kind: "broker", key: "*", endpoint, roots }];
  return JSON.stringify({ version: 1, services, rootCertificates });
}

describe("--key-services", () => {
  it("reaches the host as the user meant it", () => {
    const args = parseArguments(["--key-services", "k.json"], NODE_OPTIONS, [0, 0, ""]);
    const invocation = parseHostArguments(nodeWords(args), "/", 1024 ** 3);
    expect(invocation).toMatchObject({ options: { keyServices: join(process.cwd(), "k.json") } });
  });

  it("is in PCR0 and PCR2 of the simulation, and of its policy", async () => {
    const own = await measured();
    const same = await measured("--key-services", fileOf("same.json", readFileSync(COMMITTED)));
    expect(same).toEqual(own);
    const text = '{"version":1,"services":[],"rootCertificates":[]}';
    const other = await measured("--key-services", fileOf("other.json", text));
    expect(other.map((value, index) => value === own[index])).toEqual([false, true, false]);
  });

  it.each([
    ["none", null, /^cannot read the key services .*: there is no such file$/u],
    ["no list", '{"version":1}', /: key-services\/structure: /u],
    [
      "a root that nobody has",
      brokerOf(["ab".repeat(32)], []),
      /has the SHA-256 (?:ab){32}, a root/u,
    ],
    ["a certificate that is none", brokerOf([], [NO_CERTIFICATE]), /cannot be read$/u],
  ])("that names %s is said in words, and no policy is written", async (name, text, words) => {
    const file = text === null ? join(folder, name) : fileOf(name, text);
    await expect(measured("--key-services", file)).rejects.toThrow(words);
  });

  it("is no part of a policy that comes from a node", async () => {
    const words = ["--trust-on-first-use", "--key-services", "k.json"];
    const run = runCommand(policyInitCommand, ["--policy", join(folder, "x.json"), ...words]);
    await expect(run).rejects.toThrow("--key-services with --trust-on-first-use");
  });
});
