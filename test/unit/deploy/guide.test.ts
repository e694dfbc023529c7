import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { parsePolicy } from "@countersign/attestation";
import { describe, expect, it } from "vitest";

import { parseArguments, SHARED_OPTIONS } from "../../../client/cli/arguments.ts";
import { findCommand } from "../../../client/cli/main.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;
const GUIDE = readFileSync(join(ROOT, "docs/deploy-nitro.md"), "utf8");

/** The text of the blocks of a language; "" is none. */
function blocks(language: string): readonly string[] {
  const found = GUIDE.matchAll(/^ *```(\w*)\n([\s\S]*?)^ *```$/gmu);
  return [...found].flatMap(([, name, text = ""]) => (name === language ? [text] : []));
}

/** The commands of ours that the guide names, in blocks and in sentences. */
function commands(): readonly string[] {
  const lines = blocks("").flatMap((block) => block.replaceAll(/\\\n\s*/gu, "").split("\n"));
  const spoken = [...GUIDE.matchAll(/`(npx countersign [^`]+)`/gu)].map(([, text = ""]) => text);
  return [...lines, ...spoken]
    .map((line) => line.trim())
    .filter((line) => line.startsWith("npx countersign "))
    .map((line) => line.slice("npx countersign ".length));
}

describe("docs/deploy-nitro.md", () => {
  it.each([...new Set(commands())])("names a command that there is: %s", (line) => {
    const found = findCommand(line.split(" "));
    if (found === null) throw new TypeError("no command");
    const { command, rest } = found;
    // Throws on an option that the command has not, or an operand too many or too few.
    const args = parseArguments(rest, [...command.options, ...SHARED_OPTIONS], command.operands);
    expect(args.operands.length).toBeGreaterThanOrEqual(command.operands[0]);
  });

  it("names the commands of a release", () => {
    const named = commands().join("\n");
    for (const name of ["image build", "release --image", "release rebuild", "measure", "attest"]) {
      expect(named).toContain(name);
    }
  });

  it("names files that there are", () => {
    const named = [...GUIDE.matchAll(/\b(deploy\/[\w@./-]+|Dockerfile\.\w+)/gu)].map(
      ([, path = ""]) => path.replace(/[./]+$/u, ""),
    );
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it("names units, variables and error codes that there are", () => {
    const units = [...GUIDE.matchAll(/`?(countersign-[\w-]+\.service)/gu)].map(([, name]) => name);
    for (const unit of new Set(units)) {
      expect(existsSync(join(ROOT, "deploy/systemd", unit ?? "")), unit).toBe(true);
    }
    const environment = readFileSync(join(ROOT, "deploy/systemd/node.env"), "utf8");
    for (const [name] of GUIDE.matchAll(/COUNTERSIGN_\w+/gu)) expect(environment).toContain(name);
    const sources = ["enclave/errors.ts", "host/errors.ts"];
    const codes = sources.map((path) => readFileSync(join(ROOT, path), "utf8")).join("\n");
    const named = [...GUIDE.matchAll(/`((?:boot|provision|clock|nsm|services)\/[a-z-]+)`/gu)];
    expect(named.length).toBeGreaterThan(7);
    for (const [, code] of named) expect(codes).toContain(`"${code}"`);
  });

  it("has a policy that is one, once its digests are filled in", () => {
    const text = blocks("json").find((block) => block.includes('"platforms"')) ?? "";
    const filled = text
      .replaceAll("<96 hex>", "ab".repeat(48))
      .replaceAll("<64 hex>", "cd".repeat(32));
    const policy = parsePolicy(filled);
    expect([...policy.platforms.keys()]).toEqual(["aws-nitro"]);
    // Both measurements, for the change-over.
    const both = blocks("json").find((block) => block.includes("1.4.0")) ?? "";
    const names = [...both.matchAll(/"name": "([\d.]+)"/gu)].map(([, name]) => name);
    expect(names).toEqual(["1.4.0", "1.5.0"]);
  });
});
