/** Which commit an image is of, as git and the image's own files say. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import type { ReleaseInput, ReleaseSource } from "@countersign/image";

import { REPOSITORY } from "../paths.ts";

const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/u;
/** Files of the checkout in an image; packages are the lockfile's. */
const OWN_FILE = /^2:\/app\/(?!node_modules\/)(.+)$/u;
/** What decides on an image besides: the builder, and the packages that are installed. */
const DECISIVE = ["image", "package.json", "package-lock.json", ".npmrc"];
/** Of output that we read; a change is known by its first line. */
const MAX_CHARACTERS = 65_536;

/** A commit, and in what the image is not of it. */
export interface FoundSource {
  /** Null where git names no commit: no checkout, no git, or one that is somebody else's. */
  readonly source: ReleaseSource | null;
  /** Files that in the image are not what they are in this checkout. */
  readonly foreign: readonly string[];
}

/** The commit of the checkout at `root`; clean where each of our files in `inputs` is the commit's. */
export async function sourceOf(
  root: string,
  inputs: readonly ReleaseInput[],
): Promise<FoundSource> {
  const files = inputs.filter(({ kind, path }) => kind === "file" && OWN_FILE.test(path));
  const foreign: string[] = [];
  const paths: string[] = [];
  for (const { path, sha256 } of files) {
    const [, name = ""] = OWN_FILE.exec(path) ?? [];
    paths.push(name);
    if ((await digestOf(join(root, name))) !== sha256) foreign.push(name);
  }
  const commit = await git(root, ["rev-parse", "HEAD"]);
  if (commit === null || !COMMIT.test(commit)) return { source: null, foreign };
  // Literal paths; files that git does not know are changes as well.
  const status = ["status", "--porcelain", "--untracked-files=all", "--", ...DECISIVE, ...paths];
  const changes = await git(root, ["--literal-pathspecs", ...status]);
  if (changes === null) return { source: null, foreign };
  return { source: { commit, clean: changes === "" && foreign.length === 0 }, foreign };
}

/** The version that the checkout's package.json names. */
export async function checkoutVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(REPOSITORY, "package.json"), "utf8"));
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) {
    return String(manifest.version);
  }
  throw new TypeError("package.json has no version");
}

/** SHA-256 of a file of the checkout; null where there is none. */
async function digestOf(file: string): Promise<string | null> {
  try {
    return createHash("sha256")
      .update(await readFile(file))
      .digest("hex");
  } catch {
    return null;
  }
}

/** What git prints, without the last line's end; null where it fails. */
async function git(root: string, words: readonly string[]): Promise<string | null> {
  const child = spawn("git", ["--no-optional-locks", "-C", root, ...words], {
    stdio: ["ignore", "pipe", "ignore"],
    // GIT_DIR and its like would point it to another repository.
    env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", LC_ALL: "C" },
  });
  return await new Promise((resolve) => {
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      if (out.length < MAX_CHARACTERS) out += text;
    });
    child.on("error", () => {
      resolve(null);
    });
    child.on("close", (code) => {
      resolve(code === 0 ? out.trimEnd() : null);
    });
  });
}
