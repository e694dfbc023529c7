/**
 * Debian packages, fetched and unpacked into folders of ours: nothing is installed on this machine,
 * and its own lists of packages stay as they are.
 *
 * apt checks every package against the archive's signed index, with the archive's key as this
 * machine has it.
 */
import { execFile } from "node:child_process";
import { accessSync, constants, readdirSync, readFileSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

const KEYRINGS: readonly string[] = [
  "/usr/share/keyrings/debian-archive-keyring.gpg",
  "/usr/share/keyrings/debian-archive-keyring.pgp",
];
/** An archive of Debian ends so, whatever the mirror's name; its security archive does not. */
const ARCHIVE = /(https?:\/\/[^\s\]]+\/debian)\/?(?=\s|$)/u;
const FETCH_MS = 240_000;
const UNPACK_MS = 60_000;
const MAX_OUTPUT_BYTES = 64 << 20;

/** Why an emulation cannot run on this machine: the tests are skipped, and say this. */
export class Unavailable extends Error {
  override readonly name = "Unavailable";
}

/** A private configuration of apt. */
export interface Archive {
  readonly folder: string;
  readonly options: readonly string[];
}

/**
 * Makes a private apt in `folder` and fetches the lists of `suites`: of packages, and where `kinds` says
 * so of sources.
 *
 * @throws {@link Unavailable}
 */
export async function openArchive(
  folder: string,
  suites: readonly string[],
  kinds: readonly ("deb" | "deb-src")[] = ["deb"],
): Promise<Archive> {
  for (const program of ["apt-get", "apt-cache", "dpkg-deb"]) requireProgram(program);
  const keyring = KEYRINGS.find((path) => readable(path));
  if (keyring === undefined) throw new Unavailable("no key of Debian's archive on this machine");
  const mirror = findMirror();
  for (const part of ["lists/partial", "cache/archives/partial"]) {
    await mkdir(join(folder, part), { recursive: true });
  }
  const lines = suites.flatMap((suite) =>
    kinds.map((kind) => `${kind} [signed-by=${keyring}] ${mirror} ${suite} main\n`),
  );
  await writeFile(join(folder, "sources.list"), lines.join(""));
  await writeFile(join(folder, "status"), "");
  const settings: Readonly<Record<string, string>> = {
    "Dir::Etc::sourcelist": join(folder, "sources.list"),
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::Etc::preferences": "/dev/null",
    "Dir::Etc::preferencesparts": "/dev/null",
    "Dir::State": folder,
    "Dir::State::lists": join(folder, "lists"),
    // No package is installed here, so the whole closure is fetched.
    "Dir::State::status": join(folder, "status"),
    "Dir::Cache": join(folder, "cache"),
    "APT::Sandbox::User": "root",
    "APT::Architecture": "amd64",
    "APT::Architectures": "amd64",
    "APT::Install-Recommends": "false",
    "Acquire::Languages": "none",
    "Debug::NoLocking": "true",
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  const archive = { folder, options };
  await apt(archive, "apt-get", ["update", "--error-on=any"], folder);
  return archive;
}

/** The newest package of `suite` whose name matches. @throws {@link Unavailable} where none does. */
export async function newestPackage(
  archive: Archive,
  words: string,
  name: RegExp,
): Promise<string> {
  const found = await apt(archive, "apt-cache", ["search", "--names-only", words], archive.folder);
  const names = found
    .split("\n")
    .map((line) => line.split(" ", 1)[0] ?? "")
    .filter((candidate) => name.test(candidate));
  const newest = names.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
  if (newest === undefined) throw new Unavailable(`the archive has no package like ${words}`);
  return newest;
}

/** Fetches `names` with all that they depend on, and unpacks them into `tree`. */
export async function unpackClosure(
  archive: Archive,
  suite: string,
  names: readonly string[],
  tree: string,
): Promise<void> {
  const words = ["install", "--yes", "--download-only", "--target-release", suite, ...names];
  await apt(archive, "apt-get", words, archive.folder);
  await unpackAll(join(archive.folder, "cache", "archives"), tree);
}

/** Fetches one package alone, and unpacks it into `tree`. */
export async function unpackPackage(archive: Archive, name: string, tree: string): Promise<void> {
  const folder = join(archive.folder, `only-${name}`);
  await mkdir(folder, { recursive: true });
  await apt(archive, "apt-get", ["download", name], folder);
  await unpackAll(folder, tree);
}

/**
 * Fetches the newest source of `name` that is at least `least` and that the archive still has.
 *
 * @returns the archive file, whose checksum is that of the signed index.
 */
export async function fetchSource(
  archive: Archive,
  name: string,
  least: readonly [number, number],
): Promise<string> {
  const { folder } = archive;
  const shown = await apt(archive, "apt-cache", ["showsrc", name], folder);
  const versions = [...shown.matchAll(/^Version: ((?:\d+:)?(\d+)\.(\d+)\S*)$/gmu)]
    .map(([, version = "", major, minor]) => ({
      version,
      major: Number(major),
      minor: Number(minor),
    }))
    .filter(({ major, minor }) => major > least[0] || (major === least[0] && minor >= least[1]))
    .toSorted((a, b) => b.major - a.major || b.minor - a.minor);
  const failures: string[] = [];
  for (const { version } of versions) {
    const into = join(folder, `source-${failures.length}`);
    await mkdir(into, { recursive: true });
    const words = ["source", "--download-only", "--tar-only", `${name}=${version}`];
    try {
      await apt(archive, "apt-get", words, into);
      const file = (await readdir(into)).find((entry) => entry.endsWith(".orig.tar.xz"));
      if (file !== undefined) return join(into, file);
    } catch (error) {
      // An index may name a source that its mirror has no more; an older one will do.
      if (!(error instanceof Unavailable)) throw error;
      failures.push(error.message);
    }
  }
  throw new Unavailable(`no source of ${name} to be had: ${failures.join("; ")}`);
}

async function unpackAll(folder: string, tree: string): Promise<void> {
  await mkdir(tree, { recursive: true });
  for (const file of (await readdir(folder)).toSorted()) {
    if (!file.endsWith(".deb")) continue;
    await run("dpkg-deb", ["-x", join(folder, file), tree], { timeout: UNPACK_MS });
  }
}

async function apt(
  { options }: Archive,
  program: string,
  words: readonly string[],
  cwd: string,
): Promise<string> {
  const settings = {
    cwd,
    timeout: FETCH_MS,
    maxBuffer: MAX_OUTPUT_BYTES,
    env: { ...process.env, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" },
  };
  try {
    return (await run(program, [...options, ...words], settings)).stdout;
  } catch (cause) {
    const said = cause instanceof Error ? cause.message.split("\n").slice(1, 4).join(" ") : "";
    throw new Unavailable(`${program} ${words[0] ?? ""} failed: ${said}`, { cause });
  }
}

/** The mirror of Debian that this machine itself uses. */
function findMirror(): string {
  for (const path of sourceFiles()) {
    for (const line of readFileSync(path, "utf8").split("\n")) {
      const mirror = line.trimStart().startsWith("#") ? null : ARCHIVE.exec(line);
      if (mirror?.[1] !== undefined) return mirror[1];
    }
  }
  throw new Unavailable("this machine's apt names no mirror of Debian");
}

function sourceFiles(): readonly string[] {
  const folder = "/etc/apt/sources.list.d";
  const parts = readable(folder) ? readdirSync(folder).toSorted() : [];
  const files = parts.filter((name) => /\.(?:list|sources)$/u.test(name));
  return ["/etc/apt/sources.list", ...files.map((name) => join(folder, name))].filter(readable);
}

/** @throws {@link Unavailable} unless `program` is on the path. */
export function requireProgram(program: string): void {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  if (!folders.some((folder) => readable(join(folder, program)))) {
    throw new Unavailable(`no ${program} on this machine`);
  }
}

function readable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
