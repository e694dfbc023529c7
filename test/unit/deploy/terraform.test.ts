import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

const TERRAFORM = new URL("../../../deploy/terraform/", import.meta.url).pathname;
/** Where a machine without a network keeps providers, in the layout of a mirror. */
const PLUGINS = process.env["TERRAFORM_PLUGINS"] ?? "/opt/tf-plugins";

/** Why it cannot be run here; null where it can. */
function obstacle(): string | null {
  if (spawnSync("terraform", ["-version"]).status !== 0) return "no terraform";
  const provider = join(PLUGINS, "registry.terraform.io/hashicorp/aws/5.100.0");
  return existsSync(provider) ? null : `no provider at ${provider}`;
}

const OBSTACLE = obstacle();
if (OBSTACLE !== null) console.warn(`skipped: ${OBSTACLE} to check deploy/terraform with`);

function read(name: string): string {
  return readFileSync(join(TERRAFORM, name), "utf8");
}

describe.skipIf(OBSTACLE !== null)("terraform", () => {
  let folder = "";

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "countersign-terraform-"));
    cpSync(TERRAFORM, folder, { recursive: true });
    // By the lock file that is committed, and by nothing that a network could say.
    run("init", "-backend=false", "-input=false", "-lockfile=readonly", `-plugin-dir=${PLUGINS}`);
  });

  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  function run(...words: readonly string[]): string {
    const { status, stdout, stderr } = spawnSync("terraform", [...words, "-no-color"], {
      cwd: folder,
      encoding: "utf8",
      env: { PATH: process.env["PATH"] ?? "", HOME: folder, CHECKPOINT_DISABLE: "1" },
    });
    if (status === 0) return stdout;
    throw new Error(`terraform ${words[0]}: ${stdout}${stderr}`);
  }

  it("takes the configuration for valid, offline", () => {
    expect(run("validate")).toContain("The configuration is valid");
  });

  it("would write it as it is written", () => {
    expect(run("fmt", "-check", "-recursive", "-diff")).toBe("");
  });

  it("plans what its own tests ask for", () => {
    expect(run("test")).toMatch(/Success! \d+ passed, 0 failed/u);
  });
});

describe("the configuration", () => {
  it("pins its provider, by version and by hash on every platform", () => {
    expect(read("versions.tf")).toContain('version = "5.100.0"');
    const lock = read(".terraform.lock.hcl");
    expect(lock).toContain('version     = "5.100.0"');
    expect(lock.match(/"zh:[0-9a-f]{64}"/gu)?.length).toBeGreaterThan(10);
  });

  it("sends nothing to CloudWatch, opens no SSH and holds no key", () => {
    for (const name of ["main.tf", "variables.tf", "outputs.tf", "user-data.yaml.tftpl"]) {
      expect(read(name), name).not.toMatch(
        /aws_cloudwatch|amazon-cloudwatch-agent|key_name|\b22\b/u,
      );
      expect(read(name), name).not.toMatch(/AKIA[0-9A-Z]{16}|secret_key/u);
    }
    expect(read("main.tf")).toMatch(/monitoring\s+= false/u);
  });
});
