/** Which commit an image is of, as git and the image's own files say. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile, realpath } from "node:fs/promises";
import { join } from "node:path";

import { KEY_SERVICES, type ReleaseInput, type ReleaseSource } from "@countersign/image";

import { REPOSITORY } from "../paths.ts";

const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/u;
const SHA1_DIGITS = 40;
/** Files of the checkout in an image; packages, wherever npm put them, are the lockfile's. */
const OWN_FILE = /^2:\/app\/(?!(?:.+\/)?node_modules\/)(.+)$/u;
/** The one file of ours that the builder may have been given another one for. */
export const KEY_SERVICES_INPUT: string = `2:/app/${KEY_SERVICES}`;
/** What decides on an image besides: the builder, and the packages that are installed. */
const DECISIVE = ["image", "package.json", "package-lock.json", ".npmrc"];
/** `MODE blob OBJECT<tab>PATH`, of a file that is no link. */
const TREE_LINE = /^100(?:644|755) blob ([0-9a-f]+)\t(.+)$/su;
/** Of output that we read: a commit of some 50 000 files. */
const MAX_CHARACTERS = 8 << 20;

/** A commit, and in what the image is not of it. */
export interface FoundSource {
  /** Null where git names no commit: no checkout, no git, or one that is somebody else's. */
  readonly source: ReleaseSource | null;
  /** Files that in the image are not what they are in this checkout. */
  readonly foreign: readonly string[];
  /** Whether the image has this checkout's file of key services, another one, or none at all. */
  readonly keyServices: "own" | "other" | "none";
}

/** The commit of the checkout at `root`; clean where each of our files in `inputs` is the commit's. */
export async function sourceOf(
  root: string,
  inputs: readonly ReleaseInput[],
): Promise<FoundSource> {
  const foreign: string[] = [];
  const paths: string[] = [];
  let keyServices: FoundSource["keyServices"] = "none";
  for (const { kind, path, sha256 } of inputs) {
    const [, name] = OWN_FILE.exec(path) ?? [];
    if (kind !== "file" || name === undefined) continue;
    const own = (await digestOf(join(root, name))) === sha256;
    if (path === KEY_SERVICES_INPUT) keyServices = own ? "own" : "other";
    // What the builder was given, as it was given a kernel, is of no commit.
    if (path === KEY_SERVICES_INPUT && !own) continue;
    paths.push(name);
    if (!own) foreign.push(name);
  }
  const commit = await commitOf(root);
  const committed = commit === null ? null : await filesOf(root, commit);
  if (commit === null || committed === null) return { source: null, foreign, keyServices };
  const decisive = [...committed.keys()].filter((path) => DECISIVE.some(above(path)));
  let clean = foreign.length === 0 && !(await hasNewFiles(root));
  for (const path of clean ? [...paths, ...decisive] : []) {
    const object = await objectOf(join(root, path), commit);
    clean &&= object !== null && object === committed.get(path);
  }
  return { source: { commit, clean }, foreign, keyServices };
}

/** The version that the checkout's package.json names. */
export async function checkoutVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(REPOSITORY, "package.json"), "utf8"));
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) {
    return String(manifest.version);
  }
  throw new TypeError("package.json has no version");
}

/** Null unless `root` is a checkout's own: a folder in somebody else's has that one's commit. */
async function commitOf(root: string): Promise<string | null> {
  const top = await git(root, ["rev-parse", "--show-toplevel"]);
  if (top === null || top.trimEnd() !== (await realpath(root))) return null;
  const commit = (await git(root, ["rev-parse", "HEAD"]))?.trimEnd();
  return commit !== undefined && COMMIT.test(commit) ? commit : null;
}

/** The commit's files and git's names of their contents. */
async function filesOf(root: string, commit: string): Promise<ReadonlyMap<string, string> | null> {
  const listing = await git(root, ["ls-tree", "-r", "-z", "--full-tree", commit]);
  if (listing === null) return null;
  const files = new Map<string, string>();
  for (const line of listing.split("\0")) {
    const [, object, path] = TREE_LINE.exec(line) ?? [];
    if (object !== undefined && path !== undefined) files.set(path, object);
  }
  return files;
}

/** Whether the builder has files that no commit has. */
async function hasNewFiles(root: string): Promise<boolean> {
  const words = ["status", "--porcelain", "--untracked-files=all", "--", ...DECISIVE];
  return (await git(root, words)) !== "";
}

function above(path: string): (folder: string) => boolean {
  return (folder) => path === folder || path.startsWith(`${folder}/`);
}

/**
 * Git's name of a file's content as it lies there, without the filters and flags by which "git status"
 * passes over a change; null where there is no file.
 */
async function objectOf(file: string, commit: string): Promise<string | null> {
  const content = await contentOf(file);
  if (content === null) return null;
  const hash = createHash(commit.length === SHA1_DIGITS ? "sha1" : "sha256");
  return hash.update(`blob ${content.length}\0`).update(content).digest("hex");
}

/** SHA-256 of a file of the checkout; null where there is none. */
async function digestOf(file: string): Promise<string | null> {
  const content = await contentOf(file);
  return content === null ? null : createHash("sha256").update(content).digest("hex");
}

async function contentOf(file: string): Promise<Uint8Array | null> {
  try {
    return await readFile(file);
  } catch {
    return null;
  }
}

/** What git prints; null where it fails, or prints too much. */
async function git(root: string, words: readonly string[]): Promise<string | null> {
  const child = spawn(
    "git",
    ["--no-optional-locks", "--no-replace-objects", "-C", root, ...words],
    {
      stdio: ["ignore", "pipe", "ignore"],
      // GIT_DIR and its like would point it to another repository.
      env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", LC_ALL: "C" },
    },
  );
  return await new Promise((resolve) => {
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      if (out.length <= MAX_CHARACTERS) out += text;
    });
    child.on("error", () => {
      resolve(null);
    });
    child.on("close", (code) => {
      resolve(code === 0 && out.length <= MAX_CHARACTERS ? out : null);
    });
  });
}
