import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { imageTreeCommand } from "../../../client/cli/commands/image.ts";
import { findCommand } from "../../../client/cli/main.ts";
import { parseArguments, SHARED_OPTIONS } from "../../../client/cli/arguments.ts";
import { moduleGraph } from "../../../image/graph.ts";
import { ENCLAVE_ENTRIES, KEY_SERVICES } from "../../../image/tree.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;

interface Instruction {
  readonly name: string;
  readonly rest: string;
}

interface Stage {
  readonly image: string;
  readonly platform: string;
  readonly name: string | null;
  readonly steps: readonly Instruction[];
}

/** The instructions of Dockerfile.enclave, continued lines joined. */
function instructions(): readonly Instruction[] {
  const text = readFileSync(join(ROOT, "Dockerfile.enclave"), "utf8");
  const lines = text.replaceAll(/\\\n\s*/gu, "").split("\n");
  return lines
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => {
      const [, name = "", rest = ""] = /^([A-Z]+) (.+)$/u.exec(line) ?? [];
      if (name === "") throw new TypeError(`not an instruction: ${line}`);
      return { name, rest };
    });
}

function stages(): readonly Stage[] {
  const found: (Omit<Stage, "steps"> & { steps: Instruction[] })[] = [];
  for (const step of instructions()) {
    const [, platform = "", image = "", name = null] =
      /^(?:--platform=(\S+) )?(\S+)(?: AS (\S+))?$/u.exec(step.rest) ?? [];
    if (step.name === "FROM") found.push({ image, platform, name, steps: [] });
    else found.at(-1)?.steps.push(step);
  }
  return found;
}

/** .dockerignore keeps nothing but what it names with `!`, less what it names after that. */
function context(): (path: string) => boolean {
  const lines = readFileSync(join(ROOT, ".dockerignore"), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  expect(lines[0]).toBe("*");
  const kept = lines.filter((line) => line.startsWith("!")).map((line) => line.slice(1));
  const left = lines.slice(1).filter((line) => !line.startsWith("!"));
  for (const line of left) expect(line).toMatch(/^\*\*\/[\w.]+$/u);
  const folders = left.map((line) => line.slice("**/".length));
  return (path) =>
    kept.some((name) => path === name || path.startsWith(`${name}/`)) &&
    !path.split("/").some((part) => folders.includes(part));
}

describe("Dockerfile.enclave", () => {
  it("begins with images that are pinned by digest, or with nothing", () => {
    const [build, image, ...more] = stages();
    expect(build?.image).toMatch(/^node:24\.\d+\.\d+-bookworm-slim@sha256:[0-9a-f]{64}$/u);
    expect(image?.image).toBe("scratch");
    expect(more).toEqual([]);
    const text = readFileSync(join(ROOT, "Dockerfile.enclave"), "utf8");
    expect(text).not.toMatch(/^#\s*syntax\s*=/mu);
  });

  it("is for the architecture that is asked for, in every stage", () => {
    expect(stages().map(({ platform }) => platform)).toEqual(["linux/${ARCH}", "linux/${ARCH}"]);
    expect(instructions()[0]).toEqual({ name: "ARG", rest: "ARCH=x86_64" });
    const [build] = stages();
    expect(build?.steps[0]).toEqual({ name: "ARG", rest: "ARCH" });
  });

  it("installs by the lockfile, without install scripts", () => {
    const [build] = stages();
    const runs = build?.steps.filter(({ name }) => name === "RUN").map(({ rest }) => rest) ?? [];
    expect(runs[0]).toBe('["npm", "ci", "--omit=dev"]');
    expect(readFileSync(join(ROOT, ".npmrc"), "utf8")).toContain("ignore-scripts=true");
    expect(context()(".npmrc")).toBe(true);
    expect(runs).toHaveLength(2);
  });

  it("takes its tree from the image builder, and that alone", () => {
    const [build, image] = stages();
    const tree = build?.steps.at(-1)?.rest ?? "";
    const [program, file, ...words] = tree.replace('"${ARCH}"', "arm64").split(" ");
    expect([program, file]).toEqual(["node", "client/bin/countersign.js"]);
    const found = findCommand(words);
    expect(found?.command).toBe(imageTreeCommand);
    const args = parseArguments(
      found?.rest ?? [],
      [...imageTreeCommand.options, ...SHARED_OPTIONS],
      [0, 0, ""],
    );
    expect(args.text("out")).toBe("/rootfs");
    expect(args.text("arch")).toBe("arm64");
    expect(build?.name).toBe("build");
    expect(image?.steps.filter(({ name }) => name === "COPY" || name === "ADD")).toEqual([
      { name: "COPY", rest: "--from=build /rootfs /" },
    ]);
  });

  it("has no shell in the image: nothing runs there, and it starts without one", () => {
    const image = stages().at(-1);
    expect(image?.steps.map(({ name }) => name)).toEqual(["COPY", "ENV", "ENTRYPOINT"]);
    const entry: unknown = JSON.parse(image?.steps.at(-1)?.rest ?? "");
    expect(entry).toEqual(["/bin/node", "/app/enclave/main.ts"]);
    expect(ENCLAVE_ENTRIES).toContain("enclave/main.ts");
  });

  it("turns telemetry off", () => {
    const image = stages().at(-1);
    expect(image?.steps).toContainEqual({ name: "ENV", rest: "ORT_DISABLE_TELEMETRY=1" });
  });
});

describe("the build context", () => {
  const inside = context();

  it("has every module that the enclave loads, and those of the builder", () => {
    const entries = [...ENCLAVE_ENTRIES, "client/cli/main.ts"];
    const { modules } = moduleGraph(ROOT, entries);
    expect(modules.length).toBeGreaterThan(200);
    expect(modules.filter((path) => !inside(path))).toEqual([]);
    expect(inside(KEY_SERVICES)).toBe(true);
  });

  it("has the manifest of every workspace, without which npm refuses the lockfile", () => {
    const manifest: unknown = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    const workspaces = new Map<string, unknown>(Object.entries(manifest ?? {})).get("workspaces");
    if (!Array.isArray(workspaces)) throw new TypeError("no workspaces");
    const manifests = workspaces.map((name) => `${String(name)}/package.json`);
    expect(manifests.length).toBeGreaterThan(5);
    expect(manifests.filter((path) => !inside(path))).toEqual([]);
    for (const path of [".npmrc", "package.json", "package-lock.json"]) {
      expect(inside(path), path).toBe(true);
      expect(existsSync(join(ROOT, path)), path).toBe(true);
    }
  });

  it("has no model, no key, no test, no installed package and no history", () => {
    for (const path of [
      ".git/config",
      ".countersign/vendor.key",
      "client/.countersign/policy.json",
      "enclave/node_modules/hono/package.json",
      "node_modules/hono/package.json",
      "models/digits/1/model.onnx",
      "test/fakes/nitro.ts",
      "host/main.ts",
      "release.json",
    ]) {
      expect(inside(path), path).toBe(false);
    }
  });
});
