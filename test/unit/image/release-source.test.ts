import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { sourceOf } from "../../../client/cli/commands/release-source.ts";
import type { ReleaseInput } from "../../../image/release.ts";

const GIT = spawnSync("git", ["--version"]).status === 0;
if (!GIT) console.warn("skipped: no git to make a checkout with");

const FILES = {
  "enclave/main.ts": "serve();\n",
  "image/build.ts": "build();\n",
  "README.md": "x\n",
};

let root = "";

function git(...words: readonly string[]): string {
  const identity = [
    "-c",
    "user.name=t",
    "-c",
    "user.email=t@example.org",
    "-c",
    "commit.gpgsign=0",
  ];
  const { status, stdout, stderr } = spawnSync("git", ["-C", root, ...identity, ...words], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  return stdout.trim();
}

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

/** A file of the image, as it would be in a release. */
function inputOf(path: string, text: string): ReleaseInput {
  const sha256 = createHash("sha256").update(text).digest("hex");
  return { kind: "file", path, mode: "0644", bytes: text.length, sha256 };
}

const INPUTS = [
  inputOf("1:/bin/node", "a runtime"),
  inputOf("2:/app/enclave/main.ts", FILES["enclave/main.ts"]),
  inputOf("2:/app/node_modules/hono/index.js", "of the lockfile"),
];

describe.skipIf(!GIT)("the source of an image", () => {
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "countersign-source-"));
    git("init", "-q");
    for (const [path, text] of Object.entries(FILES)) write(path, text);
    git("add", ".");
    git("commit", "-q", "-m", "all of it");
  });

  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(root, { recursive: true });
  });

  it("is the checkout's commit, and clean where nothing that decides was changed", async () => {
    write("README.md", "another text\n");
    write("enclave.eif", "an image that was built here");
    const commit = git("rev-parse", "HEAD");
    expect(await sourceOf(root, INPUTS)).toEqual({
      source: { commit, clean: true },
      foreign: [],
      keyServices: "none",
    });
  });

  it.each([
    ["a file of the builder", "image/build.ts"],
    ["a new file of the builder", "image/more.ts"],
    ["the lockfile", "package-lock.json"],
  ])("is not clean where %s was changed", async (_what, path) => {
    write(path, "changed\n");
    const { source, foreign } = await sourceOf(root, INPUTS);
    expect(source?.clean).toBe(false);
    expect(foreign).toEqual([]);
  });

  it("is not clean where the image has a file that no commit has", async () => {
    write("enclave/new.ts", "more();\n");
    const inputs = [...INPUTS, inputOf("2:/app/enclave/new.ts", "more();\n")];
    const { source, foreign } = await sourceOf(root, inputs);
    expect(source?.clean).toBe(false);
    expect(foreign).toEqual([]);
  });

  it("is not clean where the image has another file than the checkout, which is named", async () => {
    const changed = inputOf("2:/app/enclave/main.ts", "steal();\n");
    const absent = inputOf("2:/app/enclave/absent.ts", "x\n");
    const { source, foreign } = await sourceOf(root, [changed, absent]);
    expect(source?.clean).toBe(false);
    expect(foreign).toEqual(["enclave/main.ts", "enclave/absent.ts"]);
  });

  it("is the commit's, with key services of the commit's or of another file", async () => {
    write("enclave/key-services.json", "{}\n");
    git("add", ".");
    git("commit", "-q", "-m", "key services");
    const found = async (text: string): Promise<unknown> => {
      const input = inputOf("2:/app/enclave/key-services.json", text);
      const { source, ...rest } = await sourceOf(root, [...INPUTS, input]);
      return { clean: source?.clean, ...rest };
    };
    expect(await found("{}\n")).toEqual({ clean: true, foreign: [], keyServices: "own" });
    expect(await found("[]\n")).toEqual({ clean: true, foreign: [], keyServices: "other" });
    // The checkout's own and not the commit's: nobody else has it.
    write("enclave/key-services.json", "[]\n");
    expect(await found("[]\n")).toEqual({ clean: false, foreign: [], keyServices: "own" });
  });

  it.each([
    ["a file that git is told to ignore", "enclave/new.ts", "info/exclude", "enclave/new.ts\n"],
    ["other line ends than the commit", "enclave/main.ts", "info/attributes", "* text eol=lf\n"],
  ])("is not clean where the image has %s", async (_what, path, setting, text) => {
    write(`.git/${setting}`, text);
    write(path, "serve();\r\n");
    // Git looks at the content, and finds nothing to say.
    git("add", ".");
    expect(git("status", "--porcelain")).toBe("");
    const { source, foreign } = await sourceOf(root, [inputOf(`2:/app/${path}`, "serve();\r\n")]);
    expect([source?.clean, foreign]).toEqual([false, []]);
  });

  it.each(["enclave/main.ts", "image/build.ts"])(
    "is not clean where git is told that %s never changes",
    async (path) => {
      git("update-index", "--assume-unchanged", path);
      write(path, "steal();\n");
      const inputs = path === "image/build.ts" ? INPUTS : [inputOf(`2:/app/${path}`, "steal();\n")];
      const { source, foreign } = await sourceOf(root, inputs);
      expect([source?.clean, foreign]).toEqual([false, []]);
    },
  );

  it("is clean with a package that npm put beneath a workspace", async () => {
    write(".git/info/exclude", "node_modules/\n");
    write("enclave/node_modules/hono/index.js", "x\n");
    const inputs = [...INPUTS, inputOf("2:/app/enclave/node_modules/hono/index.js", "x\n")];
    expect((await sourceOf(root, inputs)).source?.clean).toBe(true);
  });

  it("is not that of a checkout which another one lies in", async () => {
    write(".git/info/exclude", "vendor/\n");
    write("vendor/countersign/enclave/main.ts", FILES["enclave/main.ts"]);
    const inner = join(root, "vendor/countersign");
    expect(await sourceOf(inner, INPUTS)).toEqual({
      source: null,
      foreign: [],
      keyServices: "none",
    });
  });

  it("is that of the checkout, whatever the environment says of git", async () => {
    vi.stubEnv("GIT_DIR", join(root, "elsewhere"));
    vi.stubEnv("GIT_WORK_TREE", join(root, "elsewhere"));
    const { source } = await sourceOf(root, INPUTS);
    expect(source?.clean).toBe(true);
  });

  it("is none where there is no checkout", async () => {
    rmSync(join(root, ".git"), { recursive: true });
    vi.stubEnv("GIT_CEILING_DIRECTORIES", tmpdir());
    expect(await sourceOf(root, INPUTS)).toEqual({
      source: null,
      foreign: [],
      keyServices: "none",
    });
  });
});
